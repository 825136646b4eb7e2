//! The arithmetic of a rolling replacement: from how many there are of which kind to how many go and come. Derived from
//! what is there, never from what was done before.
//!
//! Source: Marathon's task replacement; where it counts events, this compares numbers.

/// How many instances of an app count toward its target, by kind. Those on their way out are in none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Of the new configuration, doing their work.
    pub(crate) fresh_good: usize,
    /// Of the new configuration, not doing it yet or any more.
    pub(crate) fresh_bad: usize,
    /// Of an old configuration, doing their work.
    pub(crate) stale_good: usize,
    /// Of an old configuration, not doing it.
    pub(crate) stale_bad: usize,
    /// Of an old configuration and out of reach, but not for so long that they count no more.
    pub(crate) stale_away: usize,
    /// How many of the good ones of either kind nobody has spoken of yet since the master was asked: they may be no more.
    pub(crate) unheard: usize,
}

/// What there shall be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// How many in all, in the end.
    pub(crate) target: usize,
    /// How many do their work at any time.
    pub(crate) least_good: usize,
    /// How many of the new configuration for now: all, or fewer while a canary is watched.
    pub(crate) fresh: usize,
}

/// How many go and come. Of each kind the worst go first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moves {
    pub(crate) stop_fresh: usize,
    pub(crate) stop_stale_bad: usize,
    pub(crate) stop_stale_away: usize,
    pub(crate) stop_stale_good: usize,
    pub(crate) add_fresh: usize,
    /// Places that are filled with the configuration before.
    pub(crate) add_stale: usize,
}

impl Standing {
    pub(crate) fn fresh(self) -> usize {
        self.fresh_good + self.fresh_bad
    }

    pub(crate) fn stale(self) -> usize {
        self.stale_good + self.stale_bad + self.stale_away
    }
}

/// How many of `good` instances may go, so many of which nobody has spoken of yet, while `least` are to be left. Where none need
/// be left, all may.
pub(crate) fn spare(good: usize, unheard: usize, least: usize) -> usize {
    if least == 0 { good } else { good.saturating_sub(unheard + least) }
}

/// What brings an app nearer to its new configuration.
///
/// Who is out of reach is neither stopped nor made up for before the rest is replaced: it may come back, and it is still
/// counted by the most there may be at once.
pub(crate) fn replace(standing: Standing, wanted: Wanted) -> Moves {
    let Standing { fresh_good, fresh_bad, stale_good, stale_bad, stale_away, unheard } = standing;
    let kept_stale = wanted.target.saturating_sub(wanted.fresh);
    let may_go = |good| spare(good, unheard, wanted.least_good);
    let fresh_surplus = standing.fresh().saturating_sub(wanted.target);
    let stop_fresh = fresh_surplus.min(fresh_bad + may_go(fresh_good + stale_good));
    let good = fresh_good - stop_fresh.saturating_sub(fresh_bad) + stale_good;
    let surplus = standing.stale().saturating_sub(kept_stale);
    let stop_stale_bad = stale_bad.min(surplus);
    let replaced = fresh_good >= wanted.target + unheard;
    Moves {
        stop_fresh,
        stop_stale_bad,
        stop_stale_away: if replaced { stale_away } else { 0 },
        stop_stale_good: stale_good
            .min(may_go(good))
            .min(surplus.saturating_sub(stop_stale_bad + stale_away)),
        add_fresh: wanted.fresh.min(wanted.target).saturating_sub(standing.fresh()),
        add_stale: kept_stale.saturating_sub(standing.stale()),
    }
}

/// What keeps an app as it was when its deployment was paused: so many new ones, so many old ones.
pub(crate) fn hold(standing: Standing, fresh: usize, stale: usize) -> Moves {
    Moves {
        add_fresh: fresh.saturating_sub(standing.fresh()),
        add_stale: stale.saturating_sub(standing.stale()),
        ..Moves::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::UpgradeStrategy;

    /// An app on a cluster that does at once what it is told to.
    struct App {
        standing: Standing,
        wanted: Wanted,
        most: usize,
        /// Places that wait until there is room.
        waiting: usize,
        steps: Vec<(usize, usize)>,
    }

    impl App {
        fn new(from: usize, to: u32, least: f64, over: f64) -> Self {
            let strategy = UpgradeStrategy { minimum_health_capacity: least, maximum_over_capacity: over };
            let wanted = Wanted {
                target: to as usize,
                least_good: strategy.least_good(to) as usize,
                fresh: to as usize,
            };
            let standing = Standing { stale_good: from, ..Standing::default() };
            let most = strategy.most_at_once(to) as usize;
            Self { standing, wanted, most, waiting: 0, steps: Vec::new() }
        }

        /// Old and new ones after each round in which as many start as may, and then one of them gets well.
        fn run(mut self) -> Vec<(usize, usize)> {
            for _ in 0..100 {
                while self.converge() {}
                let launched = self.standing.fresh_bad - self.waiting;
                if launched > 0 {
                    self.standing.fresh_bad -= 1;
                    self.standing.fresh_good += 1;
                } else if self.standing.stale() == 0 && self.standing.fresh_good == self.wanted.target {
                    return self.steps;
                }
            }
            panic!("does not end: {:?}", self.steps)
        }

        fn converge(&mut self) -> bool {
            let moves = replace(self.standing, self.wanted);
            let good = self.standing.fresh_good + self.standing.stale_good - moves.stop_stale_good;
            assert!(moves.stop_stale_good == 0 || good >= self.wanted.least_good, "{moves:?}");
            self.standing.stale_good -= moves.stop_stale_good;
            self.standing.stale_bad -= moves.stop_stale_bad;
            self.standing.fresh_bad += moves.add_fresh;
            self.waiting += moves.add_fresh;
            let alive = self.standing.stale() + self.standing.fresh() - self.waiting;
            let launch = self.waiting.min(self.most.saturating_sub(alive));
            self.waiting -= launch;
            let before = self.steps.last().copied();
            let now = (self.standing.stale(), self.standing.fresh() - self.waiting);
            if before != Some(now) {
                self.steps.push(now);
            }
            moves != Moves::default() || launch > 0
        }
    }

    #[test]
    fn the_examples_of_marathon_come_out() {
        assert_eq!(App::new(4, 4, 1.0, 1.0).run(), [(4, 4), (3, 4), (2, 4), (1, 4), (0, 4)]);
        assert_eq!(App::new(4, 4, 0.5, 0.0).run(), [(2, 2), (1, 3), (0, 4)]);
        assert_eq!(App::new(4, 4, 0.0, 0.0).run(), [(0, 4)]);
        let one_by_one = [(4, 1), (3, 2), (2, 3), (1, 4), (0, 4)];
        assert_eq!(App::new(4, 4, 1.0, 0.0).run(), one_by_one, "one more than the strategy says");
        assert_eq!(App::new(4, 4, 0.9, 0.1).run(), one_by_one);
    }

    #[test]
    fn a_change_that_also_scales_ends_what_is_too_many_at_once() {
        assert_eq!(App::new(10, 2, 1.0, 0.0).run().first(), Some(&(2, 1)), "most is 3");
        assert_eq!(App::new(10, 4, 1.0, 0.5).run().first(), Some(&(4, 2)));
        let up = App::new(2, 10, 1.0, 0.0).run();
        assert_eq!(up.first(), Some(&(2, 9)), "2 old ones stay until 10 are well; most is 11");
        assert_eq!(up.last(), Some(&(0, 10)));
    }

    #[test]
    fn the_bad_ones_go_first_and_at_once() {
        let standing = Standing { stale_good: 3, stale_bad: 1, ..Standing::default() };
        let wanted = Wanted { target: 4, least_good: 4, fresh: 4 };
        let moves = Moves { stop_stale_bad: 1, add_fresh: 4, ..Moves::default() };
        assert_eq!(replace(standing, wanted), moves);
    }

    #[test]
    fn who_is_out_of_reach_is_stopped_only_when_all_else_is_replaced() {
        let wanted = Wanted { target: 4, least_good: 4, fresh: 4 };
        let before = Standing { stale_good: 3, stale_away: 1, ..Standing::default() };
        assert_eq!(replace(before, wanted).stop_stale_away, 0);
        let after = Standing { fresh_good: 4, stale_away: 1, ..Standing::default() };
        assert_eq!(replace(after, wanted), Moves { stop_stale_away: 1, ..Moves::default() });
        let believed = Standing { unheard: 1, ..after };
        assert_eq!(
            replace(believed, wanted),
            Moves::default(),
            "one of those that replaced them may be no more"
        );
    }

    #[test]
    fn a_canary_keeps_the_others_as_they_are() {
        let wanted = Wanted { target: 4, least_good: 4, fresh: 1 };
        let standing = |fresh_good, stale_good| Standing { fresh_good, stale_good, ..Standing::default() };
        assert_eq!(replace(standing(0, 4), wanted), Moves { add_fresh: 1, ..Moves::default() });
        assert_eq!(replace(standing(1, 4), wanted), Moves { stop_stale_good: 1, ..Moves::default() });
        assert_eq!(replace(standing(1, 3), wanted), Moves::default());
        assert_eq!(replace(standing(1, 2), wanted), Moves { add_stale: 1, ..Moves::default() });
    }

    #[test]
    fn a_pause_only_fills_up() {
        let standing = Standing { fresh_good: 2, stale_good: 1, ..Standing::default() };
        assert_eq!(hold(standing, 2, 2), Moves { add_stale: 1, ..Moves::default() });
        assert_eq!(hold(standing, 1, 1), Moves::default());
    }

    #[test]
    fn surplus_new_ones_go_by_those_that_are_heard_of_unless_none_need_be_left() {
        let wanted = Wanted { target: 2, least_good: 2, fresh: 2 };
        let standing =
            |unheard| Standing { fresh_good: 3, fresh_bad: 1, stale_good: 1, unheard, ..Standing::default() };
        let stops = |moves: Moves| (moves.stop_fresh, moves.stop_stale_good);
        assert_eq!(stops(replace(standing(0), wanted)), (2, 1));
        assert_eq!(stops(replace(standing(1), wanted)), (2, 0));
        assert_eq!(stops(replace(standing(2), wanted)), (1, 0), "the bad one");
        assert_eq!(stops(replace(standing(4), Wanted { least_good: 0, ..wanted })), (2, 1));
    }
}
