//! Classes of packets (`net_cls` of cgroup v1), one for each container, by which an operator's `tc` tells them apart.

use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;

use chapada_shim::Cgroups;
use chapada_wire::v1;

use crate::config::AgentConfig;
use crate::error::AgentError;
use crate::layout::Layout;
use crate::leases::Leases;

/// Source: Mesos' default for `--cgroups_net_cls_secondary_handles`: all but 0, which is the class of the primary itself.
const ALL: RangeInclusive<u16> = 1..=u16::MAX;

/// The classes of an agent. Clones are the same; by default there are none.
#[derive(Clone, Debug, Default)]
pub(crate) struct NetworkClasses(Option<Arc<Classes>>);

#[derive(Debug)]
struct Classes {
    /// The upper half of each.
    primary: u16,
    secondaries: RangeInclusive<u32>,
    leases: Leases,
}

impl NetworkClasses {
    /// Those that the operator wants.
    ///
    /// # Errors
    /// [`AgentError::Flag`] for what is no handle, and on a machine without `net_cls`.
    pub(crate) fn open(config: &AgentConfig, layout: &Layout, cgroups: &Cgroups) -> Result<Self, AgentError> {
        const PRIMARY: &str = "cgroups-net-cls-primary-handle";
        const SECONDARY: &str = "cgroups-net-cls-secondary-handles";
        let Some(primary) = &config.cgroups_net_cls_primary_handle else {
            return match config.cgroups_net_cls_secondary_handles {
                Some(_) => Err(AgentError::flag(SECONDARY, "it needs --cgroups-net-cls-primary-handle")),
                None => Ok(Self::default()),
            };
        };
        let primary = handle(primary).map_err(|problem| AgentError::flag(PRIMARY, problem))?;
        let secondaries = match &config.cgroups_net_cls_secondary_handles {
            Some(text) => range(text).map_err(|problem| AgentError::flag(SECONDARY, problem))?,
            None => ALL,
        };
        if !cgroups.hierarchies().has("net_cls") {
            return Err(AgentError::flag(
                PRIMARY,
                "this machine has no net_cls hierarchy of cgroup v1: mount it",
            ));
        }
        let directory = layout.network_classes();
        let leases = Leases::open(directory.clone()).map_err(AgentError::directory("read", directory))?;
        let secondaries = u32::from(*secondaries.start())..=u32::from(*secondaries.end());
        Ok(Self(Some(Arc::new(Classes { primary, secondaries, leases }))))
    }

    /// A class that no other container has; nothing when there are to be none.
    ///
    /// # Errors
    /// When all are taken, or it cannot be written down.
    pub(crate) fn take(&self, container: &str) -> io::Result<Option<u32>> {
        if let Some(classes) = &self.0 {
            classes.leases.take(container, 1, std::slice::from_ref(&classes.secondaries))?;
        }
        Ok(self.of(container))
    }

    fn of(&self, container: &str) -> Option<u32> {
        let classes = self.0.as_ref()?;
        Some(u32::from(classes.primary) << 16 | classes.leases.of(container).first()?)
    }

    /// What is said of a container with a class.
    pub(crate) fn shown(&self, container: &str) -> Option<v1::CgroupInfo> {
        let classid = Some(self.of(container)?);
        Some(v1::CgroupInfo { net_cls: Some(v1::cgroup_info::NetCls { classid }) })
    }

    /// Takes back what a container has.
    pub(crate) fn release(&self, container: &str) {
        self.0.iter().for_each(|classes| classes.leases.release(container));
    }

    /// Takes back what belongs to none of these containers.
    pub(crate) fn retain(&self, known: &[String]) {
        self.0.iter().for_each(|classes| classes.leases.retain(known));
    }
}

/// `0x0012`, or the same without a prefix.
fn handle(text: &str) -> Result<u16, String> {
    let digits = text.trim().trim_start_matches("0x");
    let number = u16::from_str_radix(digits, 16).ok().filter(|number| *number > 0);
    number.ok_or_else(|| format!("{text:?} is no handle; write 16 bits in hexadecimal, not 0, as 0x0012"))
}

/// `0x0001,0xffff`: the first and the last.
fn range(text: &str) -> Result<RangeInclusive<u16>, String> {
    let (first, last) =
        text.split_once(',').ok_or("write the first and the last handle, as 0x0001,0xffff")?;
    let range = handle(first)?..=handle(last)?;
    if range.is_empty() { Err(format!("{text:?} ends before it begins")) } else { Ok(range) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_hexadecimal_and_never_nothing() {
        assert_eq!((handle("0x0012"), handle("FFFF"), range("0x1,0x10")), (Ok(0x12), Ok(0xffff), Ok(1..=16)));
        for bad in ["", "0x0", "0x10000", "x", "-1"] {
            assert!(handle(bad).is_err(), "{bad}");
        }
        for bad in ["0x1", "0x2,0x1", "0x0,0x1"] {
            assert!(range(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn each_container_has_a_class_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let leases = Leases::open(folder.path().join("classes")).unwrap();
        let classes = NetworkClasses(Some(Arc::new(Classes { primary: 0x12, secondaries: 1..=2, leases })));
        let taken = (classes.take("a").unwrap(), classes.take("b").unwrap());
        assert_eq!(taken, (Some(0x12_0001), Some(0x12_0002)));
        assert!(classes.take("c").is_err());
        assert_eq!((classes.of("b"), classes.of("c")), (Some(0x12_0002), None));
    }
}
