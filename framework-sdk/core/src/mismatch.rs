//! Why an offer does not hold what a request needs.

use std::fmt;

use chapada_model::{Milli, Text, Wall};

use crate::constraint::Constraint;
use crate::disks::DiskWish;

/// Everything that keeps a request from an offer, in the order of [`MismatchKind`]. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct WhyNot {
    /// Each with what was wanted and what was found.
    pub mismatches: Vec<Mismatch>,
}

/// One thing that keeps a request from an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// Nothing that is offered may be used: all of it is kept for roles that are not accepted, or is not for plain use.
    Role,
    /// A constraint does not hold.
    Constraint {
        /// Which.
        constraint: Constraint,
        /// What the agent says of its field.
        found: Option<Text>,
        /// How many of the same kind are where the same is said; 0 for constraints that do not ask.
        beside: u32,
    },
    /// Nothing is reserved with the labels that are asked for.
    NoReservation,
    /// This volume is not offered.
    NoVolume(Text),
    /// The machine is away, or is to be left too soon.
    Leaving {
        /// From when it is to be left.
        from: Wall,
    },
    /// There is less than wanted.
    Short {
        /// `cpus`, `mem`, `disk` or `gpus`.
        resource: &'static str,
        /// In the resource's unit.
        wanted: Milli,
        /// In the resource's unit.
        offered: Milli,
    },
    /// There is no disk of which a volume can be made.
    NoDisk {
        /// The number of the wish in the request.
        number: usize,
        /// What is wanted.
        wish: DiskWish,
        /// How large the disk of its kind is that comes nearest; `None` when there is none.
        found: Option<Milli>,
    },
    /// This port is not offered.
    PortNotOffered(u16),
    /// Too few ports are offered.
    FewPorts {
        /// How many.
        wanted: usize,
        /// How many, the fixed ones included.
        offered: usize,
    },
    /// There is something rare, such as `gpus`, that is left to those who need it.
    Scarce(&'static str),
}

/// What is looked at, in this order; the first that fails is the one that counts.
///
/// Source: the names and the order of the funnel of offers in Marathon's launch queue, where its clients read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum MismatchKind {
    /// [`Mismatch::Role`].
    UnfulfilledRole,
    /// [`Mismatch::Constraint`].
    UnfulfilledConstraint,
    /// [`Mismatch::NoReservation`] and [`Mismatch::NoVolume`].
    NoCorrespondingReservationFound,
    /// [`Mismatch::Leaving`].
    AgentMaintenance,
    /// Too few CPUs.
    InsufficientCpus,
    /// Too little memory.
    InsufficientMemory,
    /// Too little disk, and [`Mismatch::NoDisk`].
    InsufficientDisk,
    /// Too few GPUs.
    InsufficientGpus,
    /// [`Mismatch::PortNotOffered`] and [`Mismatch::FewPorts`].
    InsufficientPorts,
    /// [`Mismatch::Scarce`].
    DeclinedScarceResources,
}

impl MismatchKind {
    /// Each, in the order in which they are looked at.
    pub const ALL: [Self; 10] = [
        Self::UnfulfilledRole,
        Self::UnfulfilledConstraint,
        Self::NoCorrespondingReservationFound,
        Self::AgentMaintenance,
        Self::InsufficientCpus,
        Self::InsufficientMemory,
        Self::InsufficientDisk,
        Self::InsufficientGpus,
        Self::InsufficientPorts,
        Self::DeclinedScarceResources,
    ];
}

impl Mismatch {
    /// Which step of the funnel it fails at.
    pub fn kind(&self) -> MismatchKind {
        match self {
            Self::Role => MismatchKind::UnfulfilledRole,
            Self::Constraint { .. } => MismatchKind::UnfulfilledConstraint,
            Self::NoReservation | Self::NoVolume(_) => MismatchKind::NoCorrespondingReservationFound,
            Self::Leaving { .. } => MismatchKind::AgentMaintenance,
            Self::Short { resource: "cpus", .. } => MismatchKind::InsufficientCpus,
            Self::Short { resource: "mem", .. } => MismatchKind::InsufficientMemory,
            Self::Short { resource: "gpus", .. } => MismatchKind::InsufficientGpus,
            Self::Short { .. } | Self::NoDisk { .. } => MismatchKind::InsufficientDisk,
            Self::PortNotOffered(_) | Self::FewPorts { .. } => MismatchKind::InsufficientPorts,
            Self::Scarce(_) => MismatchKind::DeclinedScarceResources,
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Role => write!(out, "nothing is offered in an accepted role"),
            Self::Constraint { constraint, found, beside } => {
                let found = found.as_deref().unwrap_or("none");
                write!(out, "needs {}, found {found}", constraint.words().join(" "))?;
                if *beside > 0 {
                    write!(out, ", which {beside} of its kind have")?;
                }
                Ok(())
            }
            Self::NoReservation => write!(out, "nothing is reserved with its labels"),
            Self::NoVolume(id) => write!(out, "volume {id} is not offered"),
            Self::Leaving { .. } => write!(out, "the machine is to be left"),
            Self::Short { resource, wanted, offered } => {
                write!(out, "needs {wanted} {resource}, offered {offered}")
            }
            Self::NoDisk { wish, found, .. } => {
                write!(out, "needs a disk of {} for volume {}, ", wish.size, wish.name)?;
                match found {
                    Some(found) => write!(out, "the nearest has {found}"),
                    None => write!(out, "none of its kind is offered"),
                }
            }
            Self::PortNotOffered(port) => write!(out, "port {port} is not offered"),
            Self::FewPorts { wanted, offered } => write!(out, "needs {wanted} ports, offered {offered}"),
            Self::Scarce(resource) => write!(out, "its {resource} are left to those who need some"),
        }
    }
}

impl fmt::Display for WhyNot {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mismatch) in self.mismatches.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(out, "{separator}{mismatch}")?;
        }
        Ok(())
    }
}
