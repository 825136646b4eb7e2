//! Those who follow the cluster: nobody misses anything or hears it twice, and nobody holds more than it may.

use std::collections::BTreeMap;

use chapada_master_core::{Cut, CutReason, EventLog, FollowBounds, FollowerId, Next, NotResumed, Position};
use proptest::prelude::*;

const BOUNDS: FollowBounds = FollowBounds {
    batch_events: 4,
    batch_bytes: 40,
    kept_bytes: 100,
    behind_bytes: 60,
    flight_of_one: 60,
    flight_of_all: 150,
    followers: 8,
};

fn log() -> EventLog<u64> {
    EventLog::new(7, BOUNDS)
}

fn at(sequence: u64) -> Position {
    Position { epoch: 7, sequence }
}

/// Adds so many events of ten bytes and makes them available.
fn happen(log: &mut EventLog<u64>, count: u64) -> Vec<Cut> {
    let mut cut: Vec<Cut> = Vec::new();
    for _ in 0..count {
        cut.extend(log.push(log.position().sequence + 1, 10));
    }
    cut.extend(log.close());
    cut
}

/// All that a follower can be handed now.
fn read(log: &mut EventLog<u64>, follower: FollowerId) -> Vec<u64> {
    let mut events = Vec::new();
    while let Next::Batch(batch, had) = log.next(follower) {
        let (first, after) = batch.after(had);
        assert_eq!(after.first(), Some(&first));
        events.extend(after);
    }
    events
}

#[test]
fn a_follower_resumes_in_the_middle_of_a_batch() {
    let mut log = log();
    happen(&mut log, 4);
    let (follower, _) = log.join(at(2)).unwrap();
    assert_eq!(read(&mut log, follower), [3, 4]);
    happen(&mut log, 1);
    assert_eq!(read(&mut log, follower), [5]);
    assert!(matches!(log.next(follower), Next::Wait));
}

#[test]
fn what_is_not_yet_available_is_not_missed() {
    let mut log = log();
    log.push(1, 10);
    let (follower, _) = log.join(log.position()).unwrap();
    log.push(2, 10);
    assert!(matches!(log.next(follower), Next::Wait));
    log.close();
    assert_eq!(read(&mut log, follower), [2]);
}

#[test]
fn who_cannot_resume_is_told_why() {
    let mut log = log();
    assert_eq!(log.check(at(0)), Ok(()));
    happen(&mut log, 20);
    let oldest = log.oldest();
    assert!(oldest > 1, "some are forgotten");
    assert_eq!(log.check(at(oldest - 1)), Ok(()));
    assert_eq!(log.check(at(oldest - 2)), Err(NotResumed::Forgotten { oldest }));
    assert_eq!(log.check(at(20)), Ok(()));
    assert_eq!(log.check(at(21)), Err(NotResumed::Unknown { asked: 21, last: 20 }));
    assert_eq!(log.check(at(u64::MAX)), Err(NotResumed::Unknown { asked: u64::MAX, last: 20 }));
    let old = Position { epoch: 6, sequence: 20 };
    assert_eq!(log.check(old), Err(NotResumed::OtherEpoch { asked: 6, ours: 7 }));
}

#[test]
fn one_that_is_too_far_behind_is_cut_in_time_to_go_on_and_the_others_are_not() {
    let mut log = log();
    let (stalled, _) = log.join(at(0)).unwrap();
    let (reader, _) = log.join(at(0)).unwrap();
    let mut heard = Vec::new();
    let mut cut = Vec::new();
    for _ in 0..20 {
        let more = happen(&mut log, 1);
        heard.extend(read(&mut log, reader));
        if !more.is_empty() {
            assert_eq!(log.check(at(0)), Ok(()), "it can come back");
        }
        cut.extend(more);
    }
    assert_eq!(cut, [Cut { follower: stalled, reason: CutReason::Behind }]);
    assert_eq!(heard, (1..=20).collect::<Vec<u64>>());
    assert!(matches!(log.next(stalled), Next::Gone));
}

#[test]
fn one_that_holds_too_much_is_cut() {
    let mut log = log();
    let (follower, _) = log.join(at(0)).unwrap();
    assert_eq!(log.handed(follower, 60), []);
    assert_eq!(log.handed(follower, 1), [Cut { follower, reason: CutReason::Holding }]);
    assert_eq!(log.flight(), 0, "what it held counts for nobody");
    log.written(follower, 61);
    assert_eq!(log.flight(), 0);
}

#[test]
fn when_all_hold_too_much_the_one_that_has_read_nothing_for_longest_is_cut() {
    let mut log = log();
    let followers: Vec<FollowerId> = (0..3).map(|_| log.join(at(0)).unwrap().0).collect();
    happen(&mut log, 1);
    // The one that came first is the farthest behind, and reads all the while.
    assert_eq!(log.handed(followers[0], 60), []);
    read(&mut log, followers[1]);
    read(&mut log, followers[2]);
    assert_eq!(log.handed(followers[1], 40), []);
    assert_eq!(log.handed(followers[2], 40), []);
    log.written(followers[0], 1);
    let cut = log.handed(followers[2], 15);
    assert_eq!(cut, [Cut { follower: followers[1], reason: CutReason::Crowded }]);
}

#[test]
fn one_too_many_cuts_the_first() {
    let mut log = log();
    let first = log.join(at(0)).unwrap().0;
    for _ in 1..BOUNDS.followers {
        assert_eq!(log.join(at(0)).unwrap().1, []);
    }
    let (_, cut) = log.join(at(0)).unwrap();
    assert_eq!(cut, [Cut { follower: first, reason: CutReason::Oldest }]);
    assert_eq!(log.followers(), BOUNDS.followers);
}

#[test]
fn one_that_comes_back_from_far_behind_may_catch_up_once() {
    let mut log = log();
    happen(&mut log, 8);
    let (back, _) = log.join(at(0)).unwrap();
    assert_eq!(happen(&mut log, 1), [], "80 bytes behind, and still kept");
    assert_eq!(read(&mut log, back), (1..=9).collect::<Vec<u64>>());
    assert_eq!(happen(&mut log, 1), []);
    let mut cut = Vec::new();
    for _ in 0..6 {
        cut.extend(happen(&mut log, 1));
    }
    assert_eq!(cut, [Cut { follower: back, reason: CutReason::Behind }], "then as everyone");
}

/// What a follower of the random histories has had, and holds.
#[derive(Default)]
struct Seen {
    had: u64,
    flight: Vec<usize>,
}

#[derive(Clone, Debug)]
enum Step {
    Push(usize),
    Close,
    Join(u64),
    Read(usize, usize),
    Written(usize),
    Leave(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0_usize..30).prop_map(Step::Push),
        4 => Just(Step::Close),
        2 => (0_u64..40).prop_map(Step::Join),
        8 => (any::<usize>(), 0_usize..30).prop_map(|(who, bytes)| Step::Read(who, bytes)),
        6 => any::<usize>().prop_map(Step::Written),
        1 => any::<usize>().prop_map(Step::Leave),
    ]
}

fn pick(seen: &BTreeMap<FollowerId, Seen>, which: usize) -> Option<FollowerId> {
    seen.keys().nth(which.checked_rem(seen.len())?).copied()
}

proptest! {
    #[test]
    fn no_history_loses_repeats_or_holds_too_much(steps in prop::collection::vec(step(), 0..300)) {
        let mut log = log();
        let mut seen: BTreeMap<FollowerId, Seen> = BTreeMap::new();
        for step in steps {
            let mut cut = Vec::new();
            match step {
                Step::Push(bytes) => cut = log.push(log.position().sequence + 1, bytes),
                Step::Close => cut = log.close(),
                Step::Join(back) => {
                    let position = at(log.position().sequence.saturating_sub(back));
                    match log.join(position) {
                        Ok((id, more)) => {
                            cut = more;
                            seen.insert(id, Seen { had: position.sequence, ..Seen::default() });
                        }
                        Err(error) => prop_assert_eq!(error, NotResumed::Forgotten { oldest: log.oldest() }),
                    }
                }
                Step::Read(who, bytes) => if let Some(id) = pick(&seen, who) {
                    if let Next::Batch(batch, had) = log.next(id) {
                        let one = seen.get_mut(&id).unwrap();
                        prop_assert_eq!(had, one.had, "it goes on where it was");
                        let (_, events) = batch.after(had);
                        let expected: Vec<u64> = (had + 1..=batch.last()).collect();
                        prop_assert_eq!(events, &expected[..], "nothing is left out or comes twice");
                        prop_assert!(!events.is_empty());
                        one.had = batch.last();
                    }
                    seen.get_mut(&id).unwrap().flight.push(bytes);
                    cut = log.handed(id, bytes);
                },
                Step::Written(who) => if let Some(id) = pick(&seen, who) {
                    let bytes = seen.get_mut(&id).unwrap().flight.pop().unwrap_or(0);
                    log.written(id, bytes);
                },
                Step::Leave(who) => if let Some(id) = pick(&seen, who) {
                    log.leave(id);
                    seen.remove(&id);
                },
            }
            for Cut { follower, reason } in cut {
                let gone = seen.remove(&follower).expect("only one that is there is cut");
                let held = gone.flight.iter().sum::<usize>();
                match reason {
                    CutReason::Behind => prop_assert!(gone.had < log.position().sequence, "it had everything"),
                    CutReason::Holding => prop_assert!(held > BOUNDS.flight_of_one),
                    CutReason::Crowded => prop_assert!(held > 0, "it holds nothing"),
                    CutReason::Oldest => prop_assert!(seen.keys().all(|other| follower < *other)),
                }
                prop_assert!(matches!(log.next(follower), Next::Gone));
            }
            let flight: usize = seen.values().flat_map(|one| &one.flight).sum();
            prop_assert_eq!(log.flight(), flight);
            prop_assert_eq!(log.followers(), seen.len());
            prop_assert!(flight <= BOUNDS.flight_of_all);
            prop_assert!(seen.len() <= BOUNDS.followers);
            // One batch is kept however large, and an event may be larger than a batch.
            prop_assert!(log.kept_bytes() <= BOUNDS.kept_bytes.max(BOUNDS.batch_bytes));
            for one in seen.values() {
                prop_assert!(one.had + 1 >= log.oldest(), "what a follower has not had is all there");
                prop_assert!(one.flight.iter().sum::<usize>() <= BOUNDS.flight_of_one);
            }
        }
    }
}
