//! The API over a real socket and the real loop, with a pretended master and a store in memory.

mod api;
mod around;
mod cluster;
mod events;
mod pretended;
