//! Who takes part.

/// A process with a place in the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Node {
    /// A leadership of a master; each election makes one.
    Master(usize),
    /// An agent.
    Agent(usize),
    /// A framework.
    Framework(usize),
}

impl std::fmt::Display for Node {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Master(index) => write!(out, "m{index}"),
            Self::Agent(index) => write!(out, "a{index}"),
            Self::Framework(index) => write!(out, "f{index}"),
        }
    }
}
