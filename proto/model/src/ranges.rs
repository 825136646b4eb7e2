//! Sets of whole numbers as inclusive ranges: ports, above all.

/// From `begin` to `end`, both included; `begin <= end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Range {
    /// The first number.
    pub begin: u64,
    /// The last number.
    pub end: u64,
}

/// Numbers as sorted ranges that neither overlap nor touch, so that equal sets are equal values.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(from = "Vec<Range>")]
pub struct Ranges(Vec<Range>);

impl Ranges {
    /// Takes ranges in any order; ranges that overlap or touch become one, those that end before they begin are left out.
    pub fn new(ranges: impl IntoIterator<Item = Range>) -> Self {
        let mut sorted: Vec<Range> = ranges.into_iter().filter(|range| range.begin <= range.end).collect();
        sorted.sort_unstable();
        let mut merged: Vec<Range> = Vec::with_capacity(sorted.len());
        for range in sorted {
            match merged.last_mut() {
                Some(last) if range.begin <= last.end.saturating_add(1) => last.end = last.end.max(range.end),
                Some(_) | None => merged.push(range),
            }
        }
        Self(merged)
    }

    /// The ranges in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = Range> + '_ {
        self.0.iter().copied()
    }

    /// Each number in ascending order. Take only as many as you need: a range may be very long.
    pub fn numbers(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().flat_map(|range| range.begin..=range.end)
    }

    /// Whether there are no numbers.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many numbers there are; stops at `u64::MAX`.
    pub fn count(&self) -> u64 {
        self.0.iter().fold(0, |sum, range| sum.saturating_add((range.end - range.begin).saturating_add(1)))
    }

    /// Whether every number of `other` is here.
    pub fn contains(&self, other: &Self) -> bool {
        other.0.iter().all(|wanted| {
            let at = self.0.partition_point(|range| range.end < wanted.begin);
            self.0.get(at).is_some_and(|range| range.begin <= wanted.begin && wanted.end <= range.end)
        })
    }

    /// Whether any number is in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        other.0.iter().any(|wanted| {
            let at = self.0.partition_point(|range| range.end < wanted.begin);
            self.0.get(at).is_some_and(|range| range.begin <= wanted.end)
        })
    }

    /// The numbers that are in both.
    pub fn intersection(&self, other: &Self) -> Self {
        let (mut mine, mut theirs) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut common = Vec::new();
        while let (Some(a), Some(b)) = (mine.peek(), theirs.peek()) {
            let (begin, end) = (a.begin.max(b.begin), a.end.min(b.end));
            if begin <= end {
                common.push(Range { begin, end });
            }
            match a.end <= b.end {
                true => mine.next(),
                false => theirs.next(),
            };
        }
        Self(common)
    }

    /// The numbers of both; `None` when they share one, for then one number would be two.
    pub fn checked_add(&self, other: &Self) -> Option<Self> {
        (!self.overlaps(other)).then(|| Self::new(self.0.iter().chain(&other.0).copied()))
    }

    /// The numbers of this that are not in `other`; `None` when `other` has one that is not here.
    pub fn checked_sub(&self, other: &Self) -> Option<Self> {
        if !self.contains(other) {
            return None;
        }
        let mut left = Vec::with_capacity(self.0.len() + other.0.len());
        let mut taken = other.0.iter().peekable();
        for range in &self.0 {
            let mut begin = Some(range.begin);
            while let Some(hole) = taken.next_if(|hole| hole.end <= range.end) {
                if let Some(first) = begin.filter(|first| *first < hole.begin) {
                    left.push(Range { begin: first, end: hole.begin - 1 });
                }
                begin = hole.end.checked_add(1);
            }
            if let Some(begin) = begin.filter(|begin| *begin <= range.end) {
                left.push(Range { begin, end: range.end });
            }
        }
        Some(Self(left))
    }
}

impl FromIterator<Range> for Ranges {
    fn from_iter<I: IntoIterator<Item = Range>>(ranges: I) -> Self {
        Self::new(ranges)
    }
}

/// For stored values: what reads back is a set again, whatever was done to the text.
impl From<Vec<Range>> for Ranges {
    fn from(ranges: Vec<Range>) -> Self {
        Self::new(ranges)
    }
}

impl std::fmt::Display for Ranges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[")?;
        for (index, range) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{}-{}", range.begin, range.end)?;
        }
        f.write_str("]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(pairs: &[(u64, u64)]) -> Ranges {
        pairs.iter().map(|&(begin, end)| Range { begin, end }).collect()
    }

    #[test]
    fn neighbours_become_one() {
        assert_eq!(ranges(&[(5, 6), (1, 4), (9, 9), (8, 7)]), ranges(&[(1, 6), (9, 9)]));
        assert_eq!(ranges(&[(0, u64::MAX), (3, 4)]).count(), u64::MAX);
    }

    #[test]
    fn holes_are_cut_and_filled() {
        let all = ranges(&[(10, 20), (30, 40)]);
        let some = ranges(&[(10, 11), (15, 15), (40, 40)]);
        let left = all.checked_sub(&some).unwrap();
        assert_eq!(left, ranges(&[(12, 14), (16, 20), (30, 39)]));
        assert_eq!(left.checked_add(&some).unwrap(), all);
        assert_eq!(all.checked_sub(&ranges(&[(19, 31)])), None);
        assert_eq!(all.checked_add(&ranges(&[(1, 10)])), None);
    }

    #[test]
    fn the_largest_number_can_be_taken() {
        let all = ranges(&[(0, u64::MAX)]);
        assert_eq!(all.checked_sub(&ranges(&[(1, u64::MAX)])).unwrap(), ranges(&[(0, 0)]));
    }
}
