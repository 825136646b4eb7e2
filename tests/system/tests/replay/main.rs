//! What a real Mesos answered, asked of a cluster of ours.
//!
//! `data/recordings` has requests to a Mesos 1.12 master and its answers. Every request is sent again, byte for byte but
//! for ids; what comes back must have the same status, the same headers that clients read, and the same JSON shape.
//! Where we mean to differ is listed in [`differences`], and nowhere else.
//!
//! To add a recording: put `NAME.request` and `NAME.response` into a folder of `data/recordings`, in the order of their
//! names, and send the folder in a function that starts a [`run::Replay`] and gives its findings; name it in [`REPLAYS`].
//! A folder whose requests belong to one subscription is named in `run::follows`: ids are taken over from its events, and
//! a request waits for the update or the offer that it answers to. Start reading at [`reservations`] and [`scheduler`].

mod connection;
mod containers;
mod differences;
mod executor;
mod findings;
mod message;
mod operator;
mod reads;
mod reservations;
mod run;
mod scheduler;
mod shape;
mod stream;

use findings::Findings;

/// Replays some recordings and says what was found.
type Play = fn() -> Findings;

/// All that is replayed, each on a cluster of its own.
const REPLAYS: [(&str, Play); 7] = [
    ("a framework's life", scheduler::replay),
    ("reservations", reservations::replay),
    ("an operator", operator::replay),
    ("containers of no task", containers::replay),
    ("a master alone", reads::no_agent),
    ("a master and an agent", reads::idle),
    ("a running task", reads::running),
];

/// One test, because what is listed as a difference must be found in one of them.
#[test]
fn everything_recorded_is_answered_as_by_mesos() {
    let mut findings = Findings::default();
    let mut unfinished = Vec::new();
    std::thread::scope(|scope| {
        let running = REPLAYS.map(|(name, replay)| (name, scope.spawn(replay)));
        for (name, replay) in running {
            match replay.join() {
                Ok(found) => findings.merge(found),
                Err(_) => unfinished.push(name),
            }
        }
    });
    findings.report();
    assert!(unfinished.is_empty(), "did not come to their ends, see above: {unfinished:?}");
    findings.conclude();
}
