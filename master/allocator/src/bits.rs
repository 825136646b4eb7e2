//! A set of small numbers.

/// A set of small numbers, one bit each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    pub(crate) fn contains(&self, number: u32) -> bool {
        self.0.get(number as usize / 64).is_some_and(|word| word & (1 << (number % 64)) != 0)
    }

    pub(crate) fn insert(&mut self, number: u32) {
        let word = number as usize / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (number % 64);
    }

    pub(crate) fn remove(&mut self, number: u32) {
        if let Some(word) = self.0.get_mut(number as usize / 64) {
            *word &= !(1 << (number % 64));
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// Whether all of these are in `other`.
    pub(crate) fn is_within(&self, other: &Self) -> bool {
        let more = |(index, word): (usize, &u64)| word & !other.0.get(index).copied().unwrap_or(0) != 0;
        !self.0.iter().enumerate().any(more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_was_put_in() {
        let (mut small, mut large) = (Bits::default(), Bits::default());
        for number in [3, 64, 700] {
            small.insert(number);
            large.insert(number);
        }
        large.insert(5);
        assert!(small.is_within(&large) && !large.is_within(&small));
        assert!(small.contains(700) && !small.contains(701) && !small.contains(100_000));
        large.remove(64);
        assert!(!small.is_within(&large));
        small.clear();
        assert!(small.is_within(&large) && small.is_within(&Bits::default()));
    }
}
