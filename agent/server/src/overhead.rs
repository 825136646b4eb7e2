//! What containers cost this machine beside what their tasks asked for: the memory of their shims, which are in one group with
//! one bound. What a container writes, checks and runs beside its command is charged to the container; what the agent
//! itself takes is in the part of the machine that is kept back.

use chapada_shim::Cgroups;

use crate::bytes::Bytes;
use crate::error::AgentError;
use crate::machine;

/// A container is expected for so much of the machine's memory.
const MEMORY_OF_ONE: u64 = 16 << 20;
/// What each takes of the shims' group. Measured on v1 with five hundred tasks under an agent: 390 KiB, 270 KiB of which are the
/// kernel's, for the namespaces that a shim makes and what process 1 had before it was in groups of its own. A session beside
/// a command takes up to 160 KiB.
const EACH: u64 = 512 << 10;
/// The process that divides itself into shims, and those that wait ahead.
const BASE: u64 = 2 << 20;
/// No agent is to be held to less.
const FLOOR: u64 = 8 << 20;

/// The bound of all shims together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overhead {
    bytes: u64,
}

impl Overhead {
    /// What the operator says, or what this machine's memory gives.
    pub(crate) fn new(named: Option<Bytes>) -> Result<Self, AgentError> {
        match named {
            Some(Bytes(bytes)) if bytes < FLOOR => {
                let problem = format!("shims need at least {}", Bytes(FLOOR));
                Err(AgentError::flag("shims-memory", problem))
            }
            Some(Bytes(bytes)) => Ok(Self { bytes }),
            None => Ok(Self::of_memory(machine::memory_bytes()?)),
        }
    }

    fn of_memory(bytes: u64) -> Self {
        Self { bytes: (BASE + bytes / MEMORY_OF_ONE * EACH).max(FLOOR) }
    }

    /// What is not offered, rounded up.
    pub(crate) fn mib(self) -> u64 {
        self.bytes.div_ceil(1 << 20)
    }

    /// No more containers than this fit for certain.
    pub(crate) fn containers(self) -> usize {
        usize::try_from((self.bytes - BASE) / EACH).unwrap_or(usize::MAX)
    }

    /// Has the kernel keep the bound. Where it cannot, because those that run take more by now, they go on.
    pub(crate) fn impose(self, cgroups: &Cgroups) {
        if let Err(error) = cgroups.cap_shims(self.bytes) {
            tracing::error!(error = chapada_model::chain(&error), "the memory of shims has no bound");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_sets_a_thirtieth_of_its_memory_aside() {
        let of = |gib: u64| Overhead::of_memory(gib << 30);
        assert_eq!((of(8).mib(), of(8).containers()), (258, 512));
        assert_eq!((of(64).mib(), of(64).containers()), (2050, 4096));
        assert_eq!((Overhead::of_memory(0).mib(), Overhead::of_memory(0).containers()), (8, 12));
    }

    #[test]
    fn too_little_is_refused_by_its_flag() {
        let error = Overhead::new(Some(Bytes(1 << 20))).unwrap_err();
        assert_eq!(error.to_string(), "--shims-memory: shims need at least 8MB");
        assert_eq!(Overhead::new(Some(Bytes((8 << 20) + 1))).unwrap().mib(), 9);
    }
}
