//! Time as an argument. Every timeout uses [`Mono`]; [`Wall`] is only shown and stored.

use std::ops::Add;
use std::time::Duration;

/// Nanoseconds since some fixed moment of this process; never goes back.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct Mono(pub u64);

/// Nanoseconds since 1970 as the machine's clock has it; may jump either way.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct Wall(pub u64);

/// The moment at which something is decided, by both clocks.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct Now {
    /// For timeouts.
    pub mono: Mono,
    /// For people.
    pub wall: Wall,
}

/// The nanoseconds of a duration, at most `u64::MAX` (584 years).
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Mono {
    /// How long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Mono {
    type Output = Self;
    /// Stops at the end of time instead of overflowing.
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }
}

impl Wall {
    /// Milliseconds since 1970.
    pub fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Seconds since 1970, as the API's timestamps have it.
    pub fn as_secs_f64(self) -> f64 {
        Duration::from_nanos(self.0).as_secs_f64()
    }

    /// From seconds since 1970. `None` if negative, not a number or past the year 2554.
    pub fn from_secs_f64(seconds: f64) -> Option<Self> {
        let duration = Duration::try_from_secs_f64(seconds).ok()?;
        u64::try_from(duration.as_nanos()).ok().map(Self)
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Wall {
    type Output = Self;
    /// Stops at the end of time instead of overflowing.
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adding_stops_at_the_end_of_time() {
        assert_eq!(Mono(1) + Duration::MAX, Mono(u64::MAX));
        assert_eq!(Mono(5).since(Mono(9)), Duration::ZERO);
    }

    #[test]
    fn wall_seconds_refuse_nonsense() {
        assert_eq!(Wall::from_secs_f64(-1.0), None);
        assert_eq!(Wall::from_secs_f64(f64::NAN), None);
        assert_eq!(Wall::from_secs_f64(f64::INFINITY), None);
        assert_eq!(Wall::from_secs_f64(1.5), Some(Wall(1_500_000_000)));
    }
}
