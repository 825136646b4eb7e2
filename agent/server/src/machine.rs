//! What this machine has, and which boot it is in.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use chapada_model::{Milli, Range, Ranges, Reservation, Resource, ResourceValue, Resources, Role};

use crate::error::AgentError;
use crate::overhead::Overhead;

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
const BYTES_PER_KIB: u64 = 1024;
const BYTES_PER_MIB: u64 = 1024 * 1024;
/// What is kept back of memory and disk for the machine itself and for the agent, as Mesos does: a gigabyte and five of them, or half
/// when there is less than twice that.
const MEM_KEPT_MIB: u64 = 1024;
const DISK_KEPT_MIB: u64 = 5 * 1024;
/// Source: Mesos' `DEFAULT_PORTS`.
const PORTS: (u64, u64) = (31_000, 32_000);

/// The kernel's boot id.
pub(crate) fn boot_id(file: Option<&Path>) -> Result<String, AgentError> {
    let text = fs::read_to_string(file.unwrap_or(Path::new(BOOT_ID))).map_err(machine("the boot id"))?;
    Ok(text.trim().to_owned())
}

/// How this machine is reached, when the operator does not say: by the address listened on, or by its own name when that
/// is every address.
pub(crate) fn name_of(ip: IpAddr) -> Result<String, AgentError> {
    if !ip.is_unspecified() {
        return Ok(ip.to_string());
    }
    let name = nix::unistd::gethostname().map_err(|error| machine("the name")(error.into()))?;
    Ok(name.to_string_lossy().into_owned())
}

/// What the operator names, and of the rest what the machine has.
pub(crate) fn resources(
    named: Option<&str>,
    role: &str,
    work_dir: &Path,
    overhead: Overhead,
) -> Result<Resources, AgentError> {
    let named = crate::resources::named(named.unwrap_or_default())?;
    let mut all: Vec<Resource> = named.iter().cloned().collect();
    for (name, detect) in DETECTED {
        if !named.iter().any(|resource| &*resource.name == *name) {
            all.push(Resource::new(*name, detect(work_dir, overhead)?));
        }
    }
    let role = Role::new(role).map_err(|error| AgentError::flag("default-role", error))?;
    if !role.is_star() {
        for resource in all.iter_mut().filter(|resource| resource.reservations.is_empty()) {
            resource.reservations.push(Reservation::fixed(role.clone()));
        }
    }
    Resources::from_list(all).map_err(|error| AgentError::flag("resources", error))
}

type Detect = fn(&Path, Overhead) -> Result<ResourceValue, AgentError>;

const DETECTED: &[(&str, Detect)] = &[("cpus", cpus), ("mem", memory), ("disk", disk), ("ports", ports)];

fn cpus(_: &Path, _: Overhead) -> Result<ResourceValue, AgentError> {
    let count = std::thread::available_parallelism().map_err(machine("the number of processors"))?;
    Ok(ResourceValue::Scalar(Milli::whole(count.get() as u64)))
}

fn memory(_: &Path, overhead: Overhead) -> Result<ResourceValue, AgentError> {
    let mib = kept_back(memory_bytes()? / BYTES_PER_MIB, MEM_KEPT_MIB);
    Ok(ResourceValue::Scalar(Milli::whole(mib.saturating_sub(overhead.mib()))))
}

/// All memory of this machine.
pub(crate) fn memory_bytes() -> Result<u64, AgentError> {
    let text = fs::read_to_string("/proc/meminfo").map_err(machine("the memory"))?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let total = total.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    let total = total.ok_or_else(|| machine("the memory")(io::ErrorKind::InvalidData.into()))?;
    Ok(total * BYTES_PER_KIB)
}

fn disk(work_dir: &Path, _: Overhead) -> Result<ResourceValue, AgentError> {
    let of = rustix::fs::statvfs(work_dir).map_err(|error| machine("the disk")(error.into()))?;
    let total = u128::from(of.f_blocks) * u128::from(of.f_frsize) / u128::from(BYTES_PER_MIB);
    let total = u64::try_from(total).unwrap_or(u64::MAX);
    Ok(ResourceValue::Scalar(Milli::whole(kept_back(total, DISK_KEPT_MIB))))
}

fn ports(_: &Path, _: Overhead) -> Result<ResourceValue, AgentError> {
    Ok(ResourceValue::Ranges(Ranges::new([Range { begin: PORTS.0, end: PORTS.1 }])))
}

fn kept_back(total: u64, kept: u64) -> u64 {
    if total >= kept * 2 { total - kept } else { total / 2 }
}

fn machine(what: &'static str) -> impl FnOnce(io::Error) -> AgentError {
    move |source| AgentError::Machine { what, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::Bytes;

    fn resources(named: Option<&str>, role: &str, _: &Path) -> Result<Resources, AgentError> {
        super::resources(named, role, Path::new("/"), Overhead::new(None).unwrap())
    }

    #[test]
    fn what_shims_take_is_off_what_is_detected_and_not_off_what_is_named() {
        let mem = |named, mib: u64| {
            let overhead = Overhead::new(Some(Bytes(mib << 20))).unwrap();
            super::resources(named, "*", Path::new("/"), overhead).unwrap().mem()
        };
        assert_eq!(mem(None, 64).0 - mem(None, 100).0, Milli::whole(36).0);
        assert_eq!((mem(Some("mem:64"), 64), mem(Some("mem:64"), 100)), (Milli::whole(64), Milli::whole(64)));
    }

    #[test]
    fn what_is_not_named_is_detected() {
        let resources = resources(Some("cpus:1.5;mem:64"), "*", Path::new("/")).unwrap();
        assert_eq!((resources.cpus(), resources.mem()), (Milli(1_500), Milli::whole(64)));
        assert!(!resources.disk().is_zero());
        assert_eq!((resources.ports().min(), resources.ports().max()), (Some(31_000), Some(32_000)));
    }

    #[test]
    fn a_default_role_takes_what_has_none() {
        let resources = resources(Some("cpus:1;mem(ops):64"), "web", Path::new("/")).unwrap();
        let role = |name: &str| {
            let found = resources.iter().find(|resource| &*resource.name == name).unwrap();
            found.reserved_role().unwrap().to_string()
        };
        assert_eq!((role("cpus"), role("mem")), ("web".to_owned(), "ops".to_owned()));
    }

    #[test]
    fn nonsense_is_refused_by_its_flag() {
        let error = resources(Some("cpus:many"), "*", Path::new("/")).unwrap_err();
        assert!(error.to_string().starts_with("--resources: "), "{error}");
        let error = resources(None, "a//b", Path::new("/")).unwrap_err();
        assert!(error.to_string().starts_with("--default-role: "), "{error}");
    }
}
