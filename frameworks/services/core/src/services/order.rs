//! The offers that an app may use, in the order in which they are tried.

use std::collections::BTreeSet;

use chapada_sdk_core::MismatchKind;

/// The offers that are open to an app, that of the agent with the fewest of its tasks first. Kept while its instances are
/// placed one after the other.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// How many tasks the app has there, and which offer.
    open: BTreeSet<(usize, usize)>,
    /// Why some are not tried any more.
    passed: Vec<MismatchKind>,
}

impl Order {
    /// From how many tasks the app has at each offer, and which.
    pub(super) fn of(open: impl IntoIterator<Item = (usize, usize)>) -> Self {
        Self { open: open.into_iter().collect(), passed: Vec::new() }
    }

    /// Uses the first that `take` takes; the second number is that of the offer. `lasting` is whether those that it does not
    /// take need not be tried for the next instance.
    ///
    /// # Errors
    /// When none is taken: why not, for each that was open at first.
    pub(super) fn first<T>(
        &mut self,
        lasting: bool,
        mut take: impl FnMut(usize) -> Result<T, MismatchKind>,
    ) -> Result<(usize, T), Vec<MismatchKind>> {
        let (mut found, mut refused) = (None, Vec::new());
        for (count, index) in &self.open {
            match take(*index) {
                Ok(taken) => {
                    found = Some((*count, *index, taken));
                    break;
                }
                Err(why) => refused.push((*count, *index, why)),
            }
        }
        if lasting {
            for (count, index, why) in refused.drain(..) {
                self.open.remove(&(count, index));
                self.passed.push(why);
            }
        }
        match found {
            Some((count, index, taken)) => {
                self.open.remove(&(count, index));
                self.open.insert((count + 1, index));
                Ok((index, taken))
            }
            None => {
                let refused = refused.into_iter().map(|(_, _, why)| why);
                Err(self.passed.iter().copied().chain(refused).collect())
            }
        }
    }

    /// An offer takes no more.
    pub(super) fn close(&mut self, index: usize) {
        self.open.retain(|(_, open)| *open != index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHY: MismatchKind = MismatchKind::InsufficientCpus;

    #[test]
    fn the_agent_with_the_fewest_is_tried_first() {
        let mut order = Order::of([(1, 0), (0, 1), (0, 2)]);
        let mut used = Vec::new();
        for _ in 0..5 {
            used.push(order.first(true, Ok::<usize, MismatchKind>).unwrap().0);
        }
        assert_eq!(used, [1, 2, 0, 1, 2]);
        order.close(1);
        assert_eq!(order.first(true, Ok::<usize, MismatchKind>).unwrap().0, 0);
    }

    #[test]
    fn what_does_not_fit_is_tried_once_if_that_lasts() {
        for (lasting, tries) in [(true, 1), (false, 3)] {
            let mut order = Order::of([(0, 0), (5, 1)]);
            let mut tried = 0;
            let mut take = |index: usize| {
                tried += usize::from(index == 0);
                if index == 0 { Err(WHY) } else { Ok(()) }
            };
            for _ in 0..3 {
                assert_eq!(order.first(lasting, &mut take), Ok((1, ())));
            }
            assert_eq!(tried, tries);
            let none = order.first(lasting, |_| Err::<(), _>(WHY));
            assert_eq!(none, Err(vec![WHY, WHY]), "each is counted once");
        }
    }
}
