//! GPUs of NVIDIA as whole devices: found by what their driver shows, given to one container at a time as device nodes. No
//! library of the driver is linked or mounted.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use chapada_model::{Milli, Resource, Resources};
use chapada_shim::{Device, DeviceKind, DeviceRule};
use nix::sys::stat::{major, minor};

use crate::config::AgentConfig;
use crate::error::AgentError;
use crate::layout::Layout;
use crate::leases::Leases;

const NAME: &str = "gpus";
/// Where the driver lists its devices.
const LISTED: &str = "proc/driver/nvidia/gpus";
/// What every program that uses a GPU opens as well, as far as it is there.
const SHARED: [&str; 4] = ["nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset"];

/// The GPUs of this agent.
#[derive(Debug)]
pub(crate) struct Gpus {
    /// By the number in the name of the node.
    devices: Vec<(u32, Device)>,
    shared: Vec<Device>,
    leases: Leases,
}

impl Gpus {
    /// Finds what the driver shows, and of it what the operator names.
    ///
    /// # Errors
    /// [`AgentError::Flag`] for a device that is not there.
    pub(crate) fn discover(config: &AgentConfig, layout: &Layout) -> Result<Self, AgentError> {
        let root = &config.nvidia_driver_root;
        let listed = listed(&root.join(LISTED));
        let wanted = match &config.nvidia_gpu_devices[..] {
            [] => listed,
            named => {
                if let Some(missing) = named.iter().find(|number| !listed.contains(number)) {
                    let problem = format!("the driver shows no device {missing}; it shows {listed:?}");
                    return Err(AgentError::flag("nvidia-gpu-devices", problem));
                }
                named.to_vec()
            }
        };
        let node = |name: &str| device(&root.join("dev"), name);
        let mut devices = Vec::new();
        for number in wanted {
            let name = format!("nvidia{number}");
            let problem = |error| AgentError::flag("nvidia-driver-root", format!("dev/{name}: {error}"));
            devices.push((number, node(&name).map_err(problem)?));
        }
        let shared =
            SHARED.iter().filter(|_| !devices.is_empty()).filter_map(|name| node(name).ok()).collect();
        let leases = Leases::open(layout.gpus()).map_err(AgentError::directory("read", layout.gpus()))?;
        Ok(Self { devices, shared, leases })
    }

    /// What the agent offers, with its GPUs: all, or as many as the operator says.
    ///
    /// # Errors
    /// [`AgentError::Flag`] when the operator says more than there are, or a part of one.
    pub(crate) fn offered(&self, mut resources: Resources) -> Result<Resources, AgentError> {
        let there = self.devices.len() as u64;
        let refuse = |problem: String| Err(AgentError::flag("resources", problem));
        if resources.iter().any(|resource| &*resource.name == NAME) {
            let said = resources.scalar(NAME);
            if whole(said).is_none_or(|said| said > there) {
                return refuse(format!(
                    "gpus:{said} must be a whole number up to {there}, as many as the driver shows"
                ));
            }
        } else if there > 0 {
            let all = Resources::from(vec![Resource::scalar(NAME, Milli::whole(there))]);
            resources.add(&all).map_err(|error| AgentError::flag("resources", error))?;
        }
        Ok(resources)
    }

    /// Gives a container as many as its resources say, and what goes with them.
    ///
    /// # Errors
    /// When there are not so many free, or it cannot be written down.
    pub(crate) fn take(&self, container: &str, resources: &[Resources]) -> io::Result<Vec<Device>> {
        let wanted = resources.iter().fold(Milli::ZERO, |sum, one| Milli(sum.0 + one.scalar(NAME).0));
        let Some(wanted) = whole(wanted) else {
            return Err(io::Error::other("gpus must be a whole number"));
        };
        if wanted == 0 {
            return Ok(Vec::new());
        }
        let numbers: Vec<_> = self.devices.iter().map(|(number, _)| *number..=*number).collect();
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        let taken = self.leases.take(container, wanted, &numbers)?;
        let of_number = |number: &u32| self.devices.iter().find(|(known, _)| known == number);
        let own = taken.iter().filter_map(of_number).map(|(_, device)| device);
        Ok(own.chain(&self.shared).cloned().collect())
    }

    pub(crate) fn leases(&self) -> &Leases {
        &self.leases
    }
}

/// So many, if it is a whole number.
pub(crate) fn whole(amount: Milli) -> Option<u64> {
    amount.0.is_multiple_of(1000).then_some(amount.0 / 1000)
}

/// The numbers of the devices that the driver has; none without a driver.
fn listed(directory: &Path) -> Vec<u32> {
    let minor = |entry: fs::DirEntry| {
        let text = fs::read_to_string(entry.path().join("information")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Device Minor:"))?;
        line.trim().parse().ok()
    };
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut numbers: Vec<u32> = entries.filter_map(minor).collect();
    numbers.sort_unstable();
    numbers
}

fn device(directory: &Path, name: &str) -> io::Result<Device> {
    let found = fs::symlink_metadata(directory.join(name))?;
    if !found.file_type().is_char_device() {
        return Err(io::Error::other("it is no character device"));
    }
    let number = |part: u64| u32::try_from(part).map_err(io::Error::other);
    let rule = DeviceRule {
        kind: DeviceKind::Character,
        major: number(major(found.rdev()))?,
        minor: Some(number(minor(found.rdev()))?),
        read: true,
        write: true,
    };
    Ok(Device { name: name.into(), rule })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a driver with these devices shows, but for the nodes: `/dev/null` stands for all of them.
    fn driver(numbers: &[u32]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for number in numbers {
            let place = root.path().join(LISTED).join(format!("0000:0{number}:00.0"));
            fs::create_dir_all(&place).unwrap();
            let text = format!("Model: \t\t Fake\nIRQ:   \t\t 16\nDevice Minor: \t {number}\n");
            fs::write(place.join("information"), text).unwrap();
        }
        root
    }

    #[test]
    fn what_the_driver_lists_is_found_and_what_it_does_not_is_refused() {
        let root = driver(&[1, 0]);
        assert_eq!(listed(&root.path().join(LISTED)), [0, 1]);
        assert!(listed(Path::new("/nowhere")).is_empty());
        let layout = Layout::new(root.path().join("work"));
        let config = |named: &[u32]| AgentConfig {
            nvidia_driver_root: root.path().to_owned(),
            nvidia_gpu_devices: named.to_vec(),
            ..AgentConfig::default()
        };
        let error = Gpus::discover(&config(&[2]), &layout).unwrap_err().to_string();
        assert!(error.starts_with("--nvidia-gpu-devices: the driver shows no device 2"), "{error}");
        let error = Gpus::discover(&config(&[]), &layout).unwrap_err().to_string();
        assert!(error.starts_with("--nvidia-driver-root: dev/nvidia0: "), "{error}");
        assert_eq!(device(Path::new("/dev"), "null").unwrap().rule.minor, Some(3));
    }

    #[test]
    fn gpus_are_whole_and_no_more_than_there_are() {
        let null = || device(Path::new("/dev"), "null").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let leases = Leases::open(folder.path().join("gpus")).unwrap();
        let gpus = Gpus { devices: vec![(0, null()), (4, null())], shared: vec![null()], leases };
        let offered = |text: &str| gpus.offered(text.parse().unwrap());
        assert_eq!(offered("cpus:1").unwrap().scalar(NAME), Milli::whole(2));
        assert_eq!(offered("cpus:1;gpus:1").unwrap().scalar(NAME), Milli::whole(1));
        for bad in ["gpus:3", "gpus:0.5"] {
            let error = offered(bad).unwrap_err().to_string();
            assert!(error.starts_with("--resources: gpus:"), "{error}");
        }
        let of = |text: &str| vec![text.parse::<Resources>().unwrap()];
        assert_eq!(gpus.take("none", &of("cpus:1")).unwrap().len(), 0);
        assert!(gpus.take("half", &of("gpus:0.5")).is_err());
        assert_eq!(gpus.take("one", &of("gpus:1")).unwrap().len(), 2);
        assert_eq!(gpus.leases().of("one"), [0]);
        assert!(gpus.take("two", &of("gpus:2")).is_err());
        gpus.leases().release("one");
        assert_eq!(gpus.take("two", &of("gpus:2")).unwrap().len(), 3);
    }
}
