//! Quantities in thousandths: floats lose the books, ten tasks of 0.1 CPU are not one CPU.

/// The largest quantity that comes in from outside: 2^53 thousandths, which a float still holds exactly.
const MAX_EXACT: u64 = 1 << 53;

/// A quantity in thousandths of whatever unit the API speaks: 1.5 CPUs is `Milli(1_500)`, 1 MiB of memory `Milli(1_000)`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct Milli(pub u64);

impl Milli {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// So many whole units. Stops at the largest quantity.
    pub fn whole(units: u64) -> Self {
        Self(units.saturating_mul(1_000))
    }

    /// Rounds to the nearest thousandth. `None` if negative, not a number, infinite or above 2^53 thousandths.
    pub fn from_f64(units: f64) -> Option<Self> {
        let milli = (units * 1_000.0).round();
        // NaN fails both comparisons. The cast is exact: the value is whole and at most 2^53.
        (milli >= 0.0 && milli <= MAX_EXACT as f64 && units >= 0.0).then_some(Self(milli as u64))
    }

    /// The quantity as the API's floating point number.
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / 1_000.0
    }

    /// The sum; `None` when it is too large to count.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference; `None` when `other` is larger, for nothing is negative here.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// Whether this is nothing.
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl std::fmt::Display for Milli {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, rest) = (self.0 / 1_000, self.0 % 1_000);
        if rest == 0 {
            return write!(f, "{whole}");
        }
        let digits = format!("{rest:03}");
        write!(f, "{whole}.{}", digits.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_only_what_can_be_counted() {
        assert_eq!(Milli::from_f64(0.1), Some(Milli(100)));
        assert_eq!(Milli::from_f64(0.0004), Some(Milli(0)));
        for bad in [-0.1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, -0.0001] {
            assert_eq!(Milli::from_f64(bad), None, "{bad}");
        }
    }

    #[test]
    fn reads_as_people_write_it() {
        assert_eq!(Milli(1_500).to_string(), "1.5");
        assert_eq!(Milli(23_049_000).to_string(), "23049");
        assert_eq!(Milli(7).to_string(), "0.007");
    }
}
