//! A whole cluster in one thread, from one seed: the real cores of masters, agents and frameworks, with a network, disks,
//! kernels, a registry and clocks that are made up. Start at [`run_seed`], [`Plan`] and [`Sim`].
#![forbid(unsafe_code)]

mod actors;
mod archive;
mod checks;
mod coordination;
mod faults;
mod history;
mod journal;
mod look;
mod message;
mod network;
mod node;
mod nodes;
mod operators;
mod plan;
mod queue;
mod random;
mod registry;
mod run;
pub mod scale;
mod sim;
mod tally;
mod versions;

/// The scenarios that are here, by the numbers of the list of what must hold. Each is the tests `scenario_N_…`.
pub const SCENARIOS: [u32; 40] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 14, 15, 16, 17, 18, 19, 20, 21, 22, 24, 25, 26, 27, 28, 29, 31, 32, 34,
    36, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52,
];

pub use actors::{Manner, Trouble};
pub use checks::Heard;
pub use history::History;
pub use node::Node;
pub use plan::Plan;
pub use random::Rng;
pub use run::{Failure, Report, run_plan, run_seed};
pub use sim::Sim;
pub use tally::{Met, Tally};
