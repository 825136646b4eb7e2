//! Clusters in virtual time: the real books and the real codec, with agents, frameworks, a network, disks and a registry
//! that are made up.
//!
//! Every message crosses as the bytes that the codec of its door made. The CPU that a host spends on decoding, deciding
//! and encoding is measured and passes on that host's own clock: a host has one core, and what arrives while it is at
//! work waits; a master may be given a second one, on which messages are read and written, as the real one's connections do. Nothing breaks here, and no run is like another; that is what `tests/simulator` is for, whose cores, network
//! and clocks are free of CPU so that a run replays bit for bit.
//!
//! What is missing: the sockets, HTTP and gRPC framing, TLS, and the kernel.

mod agent;
mod chance;
mod cluster;
mod cpu;
mod disk;
pub(crate) mod framework;
mod full;
mod host;
pub(crate) mod master;
mod network;
pub(crate) mod queue;
pub(crate) mod wire;

pub(crate) use chance::Chance;
pub(crate) use cluster::{Cluster, Shape};
pub(crate) use framework::{Demand, Manner};
pub(crate) use master::{MASTER_ID, describe_master};
