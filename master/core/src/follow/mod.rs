//! Those who follow the cluster: what they may still be sent, where each of them is, and when one is cut.
//!
//! Events are numbered and kept in *batches*, a bounded number of them, shared by everyone: a follower is a place in that
//! ring and costs nothing while it lags. What is on its way to a follower is counted, for itself and for all together. Who
//! falls out of the ring or holds too much is cut, and nobody else notices.
//!
//! It decides and holds; encoding, waiting and sockets are the shell's.

mod followers;
mod log;
mod position;

pub use followers::{Cut, CutReason, FollowerId, Next};
pub use log::{Batch, EventLog, FollowBounds};
pub use position::{NotResumed, Position};
