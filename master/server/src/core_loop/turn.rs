//! How much the loop does before it looks after readers and the registry.

use std::collections::VecDeque;
use std::time::Duration;

use chapada_model::Mono;

/// Inputs that one look at the queue takes at most.
pub(super) const BATCH: usize = 256;
/// After so long a turn takes no further input. Most take microseconds; a framework with 50,000 tasks that is back takes 30 ms, and
/// after a failover they all are back at once.
const LIMIT: Duration = Duration::from_millis(10);

/// Takes inputs until none is left or the time is up; at least one. What is left waits for the next turn.
pub(super) fn take<I>(inputs: &mut VecDeque<I>, now: impl Fn() -> Mono, mut each: impl FnMut(I)) {
    let end = now() + LIMIT;
    while let Some(input) = inputs.pop_front() {
        each(input);
        if now() >= end {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// How many of `inputs`, each of which takes so long, go into the first turn.
    fn taken(inputs: usize, each: Duration) -> usize {
        let now = Cell::new(Mono(1));
        let mut inputs: VecDeque<usize> = (0..inputs).collect();
        let mut taken = Vec::new();
        take(
            &mut inputs,
            || now.get(),
            |input| {
                now.set(now.get() + each);
                taken.push(input);
            },
        );
        assert!(
            taken.iter().chain(&inputs).copied().eq(0..taken.len() + inputs.len()),
            "in order, none lost"
        );
        taken.len()
    }

    #[test]
    fn a_turn_ends_when_its_time_is_up() {
        assert_eq!(taken(5, LIMIT * 3 / 5), 2);
        assert_eq!(taken(5, LIMIT * 2), 1, "one is taken however long it takes");
        assert_eq!(taken(BATCH, Duration::from_micros(5)), BATCH);
        assert_eq!(taken(0, LIMIT), 0);
    }
}
