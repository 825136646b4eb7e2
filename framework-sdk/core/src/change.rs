//! What could be changed about a request so that more offers fit.

use chapada_model::{Milli, Text};

use crate::constraint::Constraint;
use crate::disks::DiskWish;
use crate::mismatch::Mismatch;
use crate::request::{PortWish, Request};

/// One change of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Resources reserved for any role are accepted.
    AnyRole,
    /// This constraint is left out.
    Drop(Constraint),
    /// So much is enough.
    Lower {
        /// `cpus`, `mem`, `disk` or `gpus`.
        resource: &'static str,
        /// In the resource's unit.
        to: Milli,
    },
    /// A disk so small is enough for this volume.
    SmallerDisk {
        /// The number of the wish in the request.
        number: usize,
        /// In thousandths of a MiB.
        to: Milli,
    },
    /// A disk so large may be taken as a whole for this volume.
    LargerDisk {
        /// The number of the wish in the request.
        number: usize,
        /// In thousandths of a MiB.
        to: Milli,
    },
    /// Ports of any number will do.
    AnyPorts,
    /// So many ports are enough.
    FewerPorts(usize),
}

/// A change without its amount: what is changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Changed {
    Roles,
    Constraint(Vec<Text>),
    Amount(&'static str),
    Disk(usize),
    PortNumbers,
    PortCount,
}

impl Change {
    /// Makes the change.
    pub fn apply(&self, request: &mut Request) {
        match self {
            Self::AnyRole => request.accepted_roles.clear(),
            Self::Drop(constraint) => request.constraints.retain(|other| other != constraint),
            Self::Lower { resource, to } => match *resource {
                "cpus" => request.cpus = *to,
                "mem" => request.mem = *to,
                "gpus" => request.gpus = *to,
                _ => request.disk = *to,
            },
            Self::SmallerDisk { number, to } => {
                request.disks.get_mut(*number).into_iter().for_each(|wish| wish.size = *to);
            }
            Self::LargerDisk { number, to } => {
                request.disks.get_mut(*number).into_iter().for_each(|wish| wish.max_size = Some(*to));
            }
            Self::AnyPorts => request.ports.iter_mut().for_each(|wish| *wish = PortWish::Any),
            Self::FewerPorts(count) => request.ports.truncate(*count),
        }
    }

    pub(crate) fn changed(&self) -> Changed {
        match self {
            Self::AnyRole => Changed::Roles,
            Self::Drop(constraint) => Changed::Constraint(constraint.words()),
            Self::Lower { resource, .. } => Changed::Amount(resource),
            Self::SmallerDisk { number, .. } | Self::LargerDisk { number, .. } => Changed::Disk(*number),
            Self::AnyPorts => Changed::PortNumbers,
            Self::FewerPorts(_) => Changed::PortCount,
        }
    }

    /// The change of the request that overcomes the mismatch and how much of a change that is, in thousandths of
    /// what was wanted; `None` when no change of the request does.
    pub(crate) fn against(mismatch: &Mismatch, request: &Request) -> Option<(Self, u64)> {
        match mismatch {
            Mismatch::Role => Some((Self::AnyRole, 600)),
            Mismatch::Constraint { constraint, .. } => Some((Self::Drop(constraint.clone()), 500)),
            Mismatch::Short { resource, wanted, offered } => {
                let to = round_down(resource, *offered);
                let cost = share(wanted.0.saturating_sub(to.0), wanted.0);
                (!to.is_zero()).then_some((Self::Lower { resource, to }, cost))
            }
            Mismatch::NoDisk { number, wish, found } => Self::of_disk(*number, wish, (*found)?, request.disk),
            Mismatch::PortNotOffered(_) => Some((Self::AnyPorts, 300)),
            Mismatch::FewPorts { wanted, offered } => {
                let cost = share(wanted.saturating_sub(*offered) as u64, *wanted as u64);
                (*offered > 0 && offered < wanted).then_some((Self::FewerPorts(*offered), cost))
            }
            Mismatch::NoReservation
            | Mismatch::NoVolume(_)
            | Mismatch::Leaving { .. }
            | Mismatch::Scarce(_) => None,
        }
    }

    fn of_disk(number: usize, wish: &DiskWish, found: Milli, own: Milli) -> Option<(Self, u64)> {
        if wish.is_too_large(found) {
            let most = wish.max_size.unwrap_or(found);
            return Some((Self::LargerDisk { number, to: found }, share(found.0 - most.0, most.0)));
        }
        // What the task itself needs of the agent's disk stays free; whole MiB, as a person would write.
        let beside = if wish.kind.is_none() { own.0 } else { 0 };
        let to = Milli(found.0.saturating_sub(beside) / 1_000 * 1_000);
        let cost = share(wish.size.0.saturating_sub(to.0), wish.size.0);
        (!to.is_zero()).then_some((Self::SmallerDisk { number, to }, cost))
    }
}

/// `part` of `whole` in thousandths.
pub(crate) fn share(part: u64, whole: u64) -> u64 {
    part.saturating_mul(1_000) / whole.max(1)
}

/// The largest amount a person would write that is no more than `offered`: whole GPUs, tenths of a CPU, MiB that are whole or,
/// from 1 GiB on, multiples of 128.
fn round_down(resource: &str, offered: Milli) -> Milli {
    const GIB: u64 = 1_024_000;
    let step = match resource {
        "gpus" => 1_000,
        "cpus" if offered.0 >= 100 => 100,
        "cpus" => 10,
        _ if offered.0 >= GIB => GIB / 8,
        _ => 1_000,
    };
    Milli(offered.0 / step * step)
}
