//! What a task needs of an offer.

use std::collections::BTreeSet;

use chapada_model::{AgentId, Milli, Text};

/// What has to be in an offer for a task to run there. The default needs nothing and fits everywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Request {
    /// CPUs, in thousandths.
    pub cpus: Milli,
    /// Memory, in thousandths of a MiB.
    pub mem: Milli,
    /// Disk, in thousandths of a MiB.
    pub disk: Milli,
    /// GPUs, in thousandths; only whole ones are ever offered.
    pub gpus: Milli,
    /// Ports, in the order in which the task wants to hear of them.
    pub ports: Vec<PortWish>,
    /// All of them must hold.
    pub constraints: Vec<Constraint>,
}

/// One port of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum PortWish {
    /// Any that is offered.
    Any,
    /// This one.
    Exactly(u16),
}

/// A condition on the agent.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Constraint {
    /// The attribute is there.
    Has(Text),
    /// The attribute says one of these.
    Attribute(Text, BTreeSet<Text>),
    /// The attribute is absent or says none of these.
    NotAttribute(Text, BTreeSet<Text>),
    /// The host is one of these.
    Hostname(BTreeSet<Text>),
    /// The host is none of these; to spread copies, name the hosts that have one.
    NotHostname(BTreeSet<Text>),
    /// The agent is none of these.
    NotAgent(BTreeSet<AgentId>),
}

impl Request {
    /// So many CPUs and MiB of memory, both rounded to thousandths. Negative and absurd amounts count as nothing.
    pub fn new(cpus: f64, mem: f64) -> Self {
        Self {
            cpus: Milli::from_f64(cpus).unwrap_or_default(),
            mem: Milli::from_f64(mem).unwrap_or_default(),
            ..Self::default()
        }
    }

    /// The same with so many ports of any number.
    #[must_use]
    pub fn any_ports(mut self, count: usize) -> Self {
        self.ports.extend(std::iter::repeat_n(PortWish::Any, count));
        self
    }
}
