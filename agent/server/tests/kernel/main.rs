//! The agent on a real kernel, with real containers, told by a scripted master. Needs root and cgroups.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which may fail only by failing their test")]

mod artifacts;
mod attach;
mod checks;
mod completed;
mod disk;
mod executors;
mod fetch;
mod files;
mod gpus;
mod history;
mod hostile;
mod images;
mod link;
mod memory;
mod nested;
mod networks;
mod operations;
mod operator;
mod overhead;
mod pods;
mod policy;
mod restart;
mod scenarios;
mod sockets;
mod statistics;
mod support;
mod surviving;
mod sweeping;
mod tasks;
mod terminals;
mod versions;
mod volumes;
