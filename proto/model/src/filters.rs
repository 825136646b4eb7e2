//! What a framework says beside an answer.

use std::time::Duration;

/// For how long a declined offer is not made again when nothing was said. Source: the v1 API.
pub const DEFAULT_REFUSAL: Duration = Duration::from_secs(5);

/// The longest refusal; more is cut to it. Source: Mesos' allocator.
pub const MAX_REFUSAL: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// What happens with resources that were not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Filters {
    /// For how long the same or less of that agent is not to be offered again; zero for at once.
    pub refuse: Duration,
}

impl Default for Filters {
    fn default() -> Self {
        Self { refuse: DEFAULT_REFUSAL }
    }
}

impl Filters {
    /// From `refuse_seconds` as it came: absent, negative or not a number means the default, too long means the longest.
    pub fn from_seconds(seconds: Option<f64>) -> Self {
        match seconds {
            Some(seconds) if seconds >= MAX_REFUSAL.as_secs_f64() => Self { refuse: MAX_REFUSAL },
            Some(seconds) => Self { refuse: Duration::try_from_secs_f64(seconds).unwrap_or(DEFAULT_REFUSAL) },
            None => Self::default(),
        }
    }
}

/// How gently a task is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct KillPolicy {
    /// How long it may take from SIGTERM to SIGKILL; absent for the executor's own default.
    pub grace_period: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_seconds_have_a_meaning() {
        assert_eq!(Filters::from_seconds(None).refuse, DEFAULT_REFUSAL);
        assert_eq!(Filters::from_seconds(Some(-1.0)).refuse, DEFAULT_REFUSAL);
        assert_eq!(Filters::from_seconds(Some(f64::NAN)).refuse, DEFAULT_REFUSAL);
        assert_eq!(Filters::from_seconds(Some(f64::INFINITY)).refuse, MAX_REFUSAL);
        assert_eq!(Filters::from_seconds(Some(0.0)).refuse, Duration::ZERO);
        assert_eq!(Filters::from_seconds(Some(0.5)).refuse, Duration::from_millis(500));
    }
}
