//! What a task needs of an offer.

use std::time::Duration;

use chapada_model::{Labels, Milli, Text};

use crate::constraint::Constraint;
use crate::disks::DiskWish;

/// What has to be in an offer for a task to run there. The default needs nothing and fits everywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
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
    /// Take only what is reserved for one of these roles; `*` is what is reserved for nobody. Empty: anything.
    pub accepted_roles: Vec<Text>,
    /// Take only what is reserved with all of these labels, whatever its role. Empty: what is reserved with any labels is kept
    /// for those who name them, and is not taken.
    pub reserved_with: Labels,
    /// Persistent volumes by their ids; each is taken as a whole.
    pub volumes: Vec<Text>,
    /// Disks for volumes that are yet to be made, beside `disk`.
    pub disks: Vec<DiskWish>,
    /// Take nothing of a machine that has GPUs unless some are needed.
    pub spares_gpus: bool,
    /// How long before a machine is to be left it is not used any more. Only [`place`](crate::place) looks at it.
    pub leaves_before: Duration,
}

/// One port of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum PortWish {
    /// Any that is offered.
    Any,
    /// This one.
    Exactly(u16),
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

    /// The amounts by their resources, in the order of the funnel.
    pub(crate) fn amounts(&self) -> [(&'static str, Milli); 4] {
        [("cpus", self.cpus), ("mem", self.mem), ("disk", self.disk), ("gpus", self.gpus)]
    }

    pub(crate) fn wants_anything(&self) -> bool {
        !self.ports.is_empty() || self.amounts().iter().any(|(_, amount)| !amount.is_zero())
    }
}
