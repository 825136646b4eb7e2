//! The API over a real socket and the real loop, with a pretended master and a store in memory.

mod access;
mod api;
mod around;
pub(crate) mod cluster;
mod definitions;
mod deployments;
mod events;
mod groups;
mod pages;
mod pods;
mod pretended;
mod stats;
mod suite;
mod why;
