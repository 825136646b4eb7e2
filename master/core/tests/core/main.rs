//! Tests of the core from outside, each in a small cluster that audits the books after every event.

mod absent;
mod accept;
mod agents;
mod brake;
mod capabilities;
mod draining;
mod drains;
mod early_kills;
mod follow;
mod frameworks;
mod groups;
mod histories;
mod late_kills;
mod maintenance;
mod operations;
mod operator;
mod patience;
mod quota;
mod record_bound;
mod sharing;
mod silence;
mod states;
mod tasks;
mod tickets;
mod tombstones;
mod world;
