//! Those who follow the cluster. The decisions are the core's; its shell's bounds stand here in small.

use std::collections::VecDeque;

use chapada_master_core::{Cut, CutReason, EventLog, FollowBounds, FollowerId, Next, NotResumed, Position};
use chapada_simulator::Rng;

const BOUNDS: FollowBounds = FollowBounds {
    batch_events: 64,
    batch_bytes: 32 << 10,
    kept_bytes: 2 << 20,
    behind_bytes: 1 << 20,
    flight_of_one: 256 << 10,
    flight_of_all: 64 << 20,
    followers: 2_000,
};
const READERS: usize = 1_000;
/// A connection takes no more while this waits in it.
const WINDOW: usize = 128 << 10;
const EVENTS_A_STEP: u64 = 20;
const STEPS: u64 = 300;

/// One at the other end of a connection.
struct Reader {
    id: FollowerId,
    /// Number and size of each event that was handed to it and has not arrived.
    flight: VecDeque<(u64, usize)>,
    heard: u64,
}

impl Reader {
    fn join(log: &mut EventLog<usize>, position: Position) -> Result<Self, NotResumed> {
        let (id, cut) = log.join(position)?;
        assert_eq!(cut, [], "there is room");
        Ok(Self { id, flight: VecDeque::new(), heard: position.sequence })
    }

    fn waiting(&self) -> usize {
        self.flight.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Its connection takes what there is room for.
    fn take(&mut self, log: &mut EventLog<usize>) -> Vec<Cut> {
        let mut cut = Vec::new();
        while self.waiting() < WINDOW {
            let Next::Batch(batch, had) = log.next(self.id) else { break };
            let (first, sizes) = batch.after(had);
            self.flight.extend((first..).zip(sizes.iter().copied()));
            cut.extend(log.handed(self.id, sizes.iter().sum()));
        }
        cut
    }

    /// It reads so many events, which must come without a gap.
    fn read(&mut self, log: &mut EventLog<usize>, most: usize) {
        for _ in 0..most {
            let Some((number, bytes)) = self.flight.pop_front() else { return };
            assert_eq!(number, self.heard + 1, "in order, none missing, none twice");
            self.heard = number;
            log.written(self.id, bytes);
        }
    }
}

#[test]
fn scenario_47_one_subscriber_stops_reading_and_a_thousand_do_not() {
    let mut rng = Rng::new(47);
    let mut log = EventLog::new(3, BOUNDS);
    let start = log.position();
    let join = |log: &mut EventLog<usize>| Reader::join(log, start).expect("nothing is forgotten yet");
    let mut readers: Vec<Reader> = (0..READERS).map(|_| join(&mut log)).collect();
    let mut stalled = join(&mut log);
    let (mut cut, mut most_held, mut is_cut, mut back) = (Vec::new(), 0, false, None);
    for step in 0..STEPS {
        for _ in 0..EVENTS_A_STEP {
            let bytes = 200 + usize::try_from(rng.below(1_000)).expect("small");
            cut.extend(log.push(bytes, bytes));
        }
        cut.extend(log.close());
        for reader in &mut readers {
            cut.extend(reader.take(&mut log));
            // Each is slow for a moment now and then, and catches up.
            let most = if rng.below(10) == 0 { 0 } else { 200 };
            reader.read(&mut log, most);
        }
        cut.extend(stalled.take(&mut log));
        if step < STEPS / 10 {
            stalled.read(&mut log, 200);
        }
        most_held = most_held.max(stalled.waiting());
        assert!(log.flight() <= BOUNDS.flight_of_all && log.kept_bytes() <= BOUNDS.kept_bytes, "I8");
        if !cut.is_empty() && !std::mem::replace(&mut is_cut, true) {
            // What was on its way arrives no more; it comes back with the position it read last.
            let token = Position { epoch: 3, sequence: stalled.heard };
            back = Some(Reader::join(&mut log, token).expect("it is cut in time to go on"));
        }
        if let Some(back) = &mut back {
            cut.extend(back.take(&mut log));
            back.read(&mut log, 400);
        }
    }
    assert!(back.is_some());
    assert_eq!(cut, [Cut { follower: stalled.id, reason: CutReason::Behind }], "it alone is cut");
    assert!(most_held <= 256 << 10, "it held {most_held} bytes");
    for reader in readers.iter_mut().chain(&mut back) {
        while reader.heard < STEPS * EVENTS_A_STEP {
            let before = reader.heard;
            reader.take(&mut log);
            reader.read(&mut log, usize::MAX);
            assert!(reader.heard > before, "nothing comes after {before}");
        }
    }
}

#[test]
fn scenario_47_one_that_is_cut_early_enough_resumes_and_misses_nothing() {
    let mut log = EventLog::new(3, BOUNDS);
    let start = log.position();
    let mut reader = Reader::join(&mut log, start).expect("the beginning is there");
    let happen = |log: &mut EventLog<usize>| {
        for _ in 0..500 {
            assert_eq!(log.push(300, 300), []);
        }
        assert_eq!(log.close(), []);
    };
    happen(&mut log);
    reader.take(&mut log);
    reader.read(&mut log, 123);
    // The connection breaks with much on its way.
    log.leave(reader.id);
    happen(&mut log);
    let token = Position { epoch: 3, sequence: reader.heard };
    let mut again = Reader::join(&mut log, token).expect("all of it is still kept");
    while again.heard < 1_000 {
        let before = again.heard;
        again.take(&mut log);
        again.read(&mut log, usize::MAX);
        assert!(again.heard > before, "nothing comes after {before}");
    }
    // Another leader counts from 0 again: the position is none of its own.
    let other: EventLog<usize> = EventLog::new(4, BOUNDS);
    assert_eq!(other.check(token), Err(NotResumed::OtherEpoch { asked: 3, ours: 4 }));
}
