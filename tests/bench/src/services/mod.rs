//! Benches of a real services process, on a real master over loopback.
//!
//! - `many`, `scale`, `events`, `health`: the agents are simulated (`crowd`): they speak the real agent link, say that what they are
//!   told to launch runs, and run nothing;
//! - `containers`: one real agent and real containers;
//! - `peer`: what a client of the REST API sees; `wait`: how all of them wait.

mod crowd;
mod events;
mod health;
mod many;
mod peer;
mod scale;
mod wait;

pub(crate) mod containers;

pub(crate) use events::{many_events, many_subscribers};
pub(crate) use health::run as health_checks;
pub(crate) use many::{in_a_file, in_zookeeper};
pub(crate) use scale::run as scale_up;
