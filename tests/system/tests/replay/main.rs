//! What a real Mesos answered, asked of a cluster of ours.
//!
//! `data/recordings` has requests to a Mesos 1.12 master and its answers. Every request is sent again, byte for byte but
//! for ids; what comes back must have the same status, the same headers that clients read, and the same JSON shape.
//! Start reading at [`scheduler`], [`reads`] and [`events`].

mod connection;
mod events;
mod findings;
mod message;
mod reads;
mod run;
mod scheduler;
mod shape;
mod stream;
