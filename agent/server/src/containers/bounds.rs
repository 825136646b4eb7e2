//! What the kernel can bound, or give, beyond the resources that are offered: processes, the processors themselves, disks, huge
//! pages, devices of the machine.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use chapada_agent_core::LaunchRefusal;
use chapada_shim::{ContainerSpec, Device, DeviceKind, DeviceRule, DiskLimit, Limits};
use chapada_wire::v1;
use chapada_wire::v1::linux_info;
use nix::sys::stat::{major, minor};

use super::description::{refusal, text, unsupported};
use super::image::image_of;
use crate::policy::Policy;

/// More would let one container take all that the machine has.
const MOST_PROCESSES: u32 = 32_768;
const WEIGHTS: std::ops::RangeInclusive<u16> = 1..=10_000;

/// As asked for by one container; what is absent is as everybody has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bounds {
    processes: Option<u64>,
    processors: Option<String>,
    weight: Option<u16>,
    disks: Vec<DiskLimit>,
    huge_pages: BTreeMap<String, u64>,
    /// Where each stands, and what it says; nobody has looked yet whether it may.
    pub(super) devices: Vec<(String, String)>,
}

impl Bounds {
    /// Those of a container, whose secrets and volumes are not looked at: an executor's are gone after a restart, its bounds are not.
    ///
    /// # Errors
    /// Names the first field that cannot be.
    pub(super) fn of(field: &str, container: Option<&v1::ContainerInfo>) -> Result<Self, LaunchRefusal> {
        let Some(container) = container else { return Ok(Self::default()) };
        let mut bounds = image_of(field, container)?.map(|image| image.parameters.bounds).unwrap_or_default();
        if let Some(linux) = &container.linux_info {
            bounds.add(&format!("{field}.linux_info"), linux)?;
        }
        Ok(bounds)
    }

    /// Adds what a `LinuxInfo` says; `field` is where it stands. Blocks for a look at nodes of `/dev`.
    ///
    /// # Errors
    /// Names the first field that cannot be.
    pub(super) fn add(&mut self, field: &str, linux: &v1::LinuxInfo) -> Result<(), LaunchRefusal> {
        let named = |name: &str| format!("{field}.{name}");
        if let Some(most) = linux.max_processes {
            self.processes(most, &named("max_processes"))?;
        }
        if let Some(list) = &linux.processors {
            self.processors(list, &named("processors"))?;
        }
        if let Some(weight) = linux.io_weight {
            self.weight(weight, &named("io_weight"))?;
        }
        for (index, limit) in linux.disk_limits.iter().enumerate() {
            self.disk(limit, &named(&format!("disk_limits[{index}].device")))?;
        }
        for (index, limit) in linux.huge_page_limits.iter().enumerate() {
            let field = named(&format!("huge_page_limits[{index}]"));
            let size = text(&limit.page_size);
            let bytes = limit.bytes.ok_or_else(|| refusal(format!("{field}.bytes is required")))?;
            if !Path::new("/sys/kernel/mm/hugepages").join(kernel_name(size)).exists() {
                return Err(refusal(format!(
                    "{field}.page_size: this machine has no huge pages of {size:?}"
                )));
            }
            self.huge_pages.insert(size.to_owned(), bytes);
        }
        let devices = linux.devices.iter().enumerate();
        self.devices
            .extend(devices.map(|(index, device)| (named(&format!("devices[{index}]")), device.clone())));
        Ok(())
    }

    pub(super) fn processes(&mut self, most: u32, field: &str) -> Result<(), LaunchRefusal> {
        if !(1..=MOST_PROCESSES).contains(&most) {
            return Err(refusal(format!("{field} is 1 to {MOST_PROCESSES}, not {most}")));
        }
        self.processes = Some(most.into());
        Ok(())
    }

    pub(super) fn processors(&mut self, list: &str, field: &str) -> Result<(), LaunchRefusal> {
        let is_number = |text: &str| text.parse::<u16>().is_ok();
        let is_range = |part: &str| match part.split_once('-') {
            Some((first, last)) => is_number(first) && is_number(last),
            None => is_number(part),
        };
        if !list.split(',').all(is_range) {
            return Err(refusal(format!("{field} lists processors as 0-3,8 does, not {list:?}")));
        }
        self.processors = Some(list.to_owned());
        Ok(())
    }

    pub(super) fn weight(&mut self, weight: u32, field: &str) -> Result<(), LaunchRefusal> {
        let found = u16::try_from(weight).ok().filter(|weight| WEIGHTS.contains(weight));
        let weight = found.ok_or_else(|| refusal(format!("{field} is 1 to 10000, not {weight}")))?;
        self.weight = Some(weight);
        Ok(())
    }

    /// Blocks for a look at the node of the disk.
    pub(super) fn disk(&mut self, asked: &linux_info::DiskLimit, field: &str) -> Result<(), LaunchRefusal> {
        let path = text(&asked.device);
        let (kind, number) = node(path).map_err(|problem| refusal(format!("{field}: {problem}")))?;
        if kind != DeviceKind::Block {
            return Err(refusal(format!("{field}: {path} is no disk")));
        }
        let (major, minor) = number;
        let mut limit =
            DiskLimit { major, minor, read_bytes: None, write_bytes: None, reads: None, writes: None };
        if let Some(known) = self.disks.iter().position(|disk| (disk.major, disk.minor) == number) {
            limit = self.disks.swap_remove(known);
        }
        self.disks.push(DiskLimit {
            read_bytes: asked.read_bytes.or(limit.read_bytes),
            write_bytes: asked.write_bytes.or(limit.write_bytes),
            reads: asked.reads.or(limit.reads),
            writes: asked.writes.or(limit.writes),
            ..limit
        });
        Ok(())
    }

    /// Its limits with these.
    pub(super) fn limit(&self, limits: Limits) -> Limits {
        let mut limits = Limits {
            processes: self.processes.or(limits.processes),
            processors: self.processors.clone().or(limits.processors),
            ..limits
        };
        limits.io.weight = self.weight.or(limits.io.weight);
        limits
            .io
            .disks
            .retain(|disk| self.disks.iter().all(|own| (own.major, own.minor) != (disk.major, disk.minor)));
        limits.io.disks.extend(self.disks.iter().copied());
        limits.huge_pages.extend(self.huge_pages.clone());
        limits
    }

    /// The devices, as far as an operator allows them.
    ///
    /// # Errors
    /// Names the first that is not allowed or not there.
    pub(super) fn devices(&self, policy: &Policy) -> Result<Vec<Device>, LaunchRefusal> {
        self.devices.iter().map(|(field, asked)| device(field, asked, policy)).collect()
    }

    pub(super) fn apply(&self, spec: &mut ContainerSpec, devices: &[Device]) {
        spec.resources = self.limit(std::mem::take(&mut spec.resources));
        spec.devices.extend(devices.iter().cloned());
    }
}

/// `/dev/fuse`, `/dev/fuse:r`, or as Docker has it `/dev/fuse:/dev/fuse:rw`.
fn device(field: &str, asked: &str, policy: &Policy) -> Result<Device, LaunchRefusal> {
    let mut parts: Vec<&str> = asked.split(':').collect();
    let access = match parts.last().copied() {
        Some(last) if parts.len() > 1 && !last.starts_with('/') => parts.pop().unwrap_or_default(),
        _ => "rw",
    };
    let (read, write) = (access.contains('r'), access.contains('w'));
    let path = match parts[..] {
        [path] => path,
        [path, target] if path == target => path,
        _ => {
            return Err(unsupported(
                field,
                "a device has the name that the machine gives it: /dev/NAME[:rw]",
            ));
        }
    };
    // `m`, to make its node, nobody can anyway.
    if access.is_empty() || !access.chars().all(|letter| "rwm".contains(letter)) {
        return Err(refusal(format!("{field}: {access:?} is no access: r, w or rw")));
    }
    if !policy.allows_device(path, write) {
        let remedy = format!("have an operator start the agent with --allowed-devices={path}");
        return Err(unsupported(&format!("{field} {path}"), &remedy));
    }
    let (kind, (major, minor)) = node(path).map_err(|problem| refusal(format!("{field}: {problem}")))?;
    let name = path.trim_start_matches("/dev/").into();
    let rule = DeviceRule { kind, major, minor: Some(minor), read, write };
    Ok(Device { name, rule })
}

/// What a node of `/dev` is.
fn node(path: &str) -> Result<(DeviceKind, (u32, u32)), String> {
    let is_plain = path.strip_prefix("/dev/").is_some_and(|name| {
        !name.is_empty() && name.split('/').all(|part| !part.is_empty() && part != ".." && part != ".")
    });
    if !is_plain {
        return Err(format!("{path:?} is no path below /dev"));
    }
    // Links, such as /dev/disk/by-id has, are the machine's own.
    let found = fs::metadata(path).map_err(|error| format!("{path}: {error}"))?;
    let kind = match found.file_type() {
        kind if kind.is_block_device() => DeviceKind::Block,
        kind if kind.is_char_device() => DeviceKind::Character,
        _ => return Err(format!("{path} is no device")),
    };
    let number =
        |number: u64| u32::try_from(number).map_err(|_| format!("{path} has a number that is too large"));
    Ok((kind, (number(major(found.rdev()))?, number(minor(found.rdev()))?)))
}

/// `2MB` is `hugepages-2048kB` there.
fn kernel_name(size: &str) -> String {
    let digits = size.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let shift = match &size[digits.len()..] {
        "KB" => 0,
        "MB" => 10,
        "GB" => 20,
        _ => return "unknown".to_owned(),
    };
    digits
        .parse::<u64>()
        .map_or_else(|_| "unknown".to_owned(), |number| format!("hugepages-{}kB", number << shift))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_named() {
        let said = |change: &dyn Fn(&mut v1::LinuxInfo)| {
            let mut linux = v1::LinuxInfo::default();
            change(&mut linux);
            Bounds::default().add("linux_info", &linux).unwrap_err().message
        };
        let disk =
            |device: &str| linux_info::DiskLimit { device: Some(device.to_owned()), ..Default::default() };
        let pages =
            |size: &str| linux_info::HugePageLimit { page_size: Some(size.to_owned()), bytes: Some(0) };
        type Change<'a> = &'a dyn Fn(&mut v1::LinuxInfo);
        let cases: [(Change<'_>, &str); 8] = [
            (&|linux| linux.max_processes = Some(0), "linux_info.max_processes is 1 to 32768, not 0"),
            (&|linux| linux.max_processes = Some(1 << 20), "linux_info.max_processes is"),
            (&|linux| linux.processors = Some("0-x".to_owned()), "linux_info.processors lists"),
            (&|linux| linux.io_weight = Some(10_001), "linux_info.io_weight is 1 to 10000"),
            (&|linux| linux.disk_limits = vec![disk("/dev/../etc")], "linux_info.disk_limits[0].device: "),
            (
                &|linux| linux.disk_limits = vec![disk("/dev/null")],
                "linux_info.disk_limits[0].device: /dev/null is no disk",
            ),
            (
                &|linux| linux.huge_page_limits = vec![pages("3MB")],
                "linux_info.huge_page_limits[0].page_size: ",
            ),
            (
                &|linux| linux.huge_page_limits = vec![pages("../x")],
                "linux_info.huge_page_limits[0].page_size: ",
            ),
        ];
        for (change, message) in cases {
            let said = said(change);
            assert!(said.starts_with(message), "{said}");
        }
    }

    #[test]
    fn an_executor_whose_secrets_are_gone_has_its_bounds() {
        let secret = v1::Secret { r#type: Some(v1::secret::Type::Value as i32), ..v1::Secret::default() };
        let source = v1::volume::Source {
            r#type: Some(v1::volume::source::Type::Secret as i32),
            secret: Some(secret),
            ..v1::volume::Source::default()
        };
        let volume = v1::Volume {
            container_path: Some("key".to_owned()),
            source: Some(source),
            ..v1::Volume::default()
        };
        let linux = v1::LinuxInfo { max_processes: Some(77), ..v1::LinuxInfo::default() };
        let container = v1::ContainerInfo {
            volumes: vec![volume],
            linux_info: Some(linux),
            ..v1::ContainerInfo::default()
        };
        let found = Bounds::of("executor.container", Some(&container)).map(|bounds| bounds.processes);
        assert_eq!(found.map_err(|refusal| refusal.message), Ok(Some(77)));
    }

    #[test]
    fn a_device_needs_its_operators_leave_and_no_more_than_that() {
        let allowed = Policy::with(|config| {
            config.allowed_devices = vec!["/dev/zero:r".parse().unwrap(), "/dev/full".parse().unwrap()];
        });
        let asked = |text: &str| device("f", text, &allowed).map_err(|refusal| refusal.message);
        let found = asked("/dev/zero:r").unwrap();
        assert_eq!((found.name.to_str(), found.rule.minor, found.rule.write), (Some("zero"), Some(5), false));
        assert!(asked("/dev/full:/dev/full:rwm").unwrap().rule.write);
        for (text, message) in [
            ("/dev/zero", "--allowed-devices=/dev/zero"),
            ("/dev/kmsg:r", "--allowed-devices=/dev/kmsg"),
            ("/dev/full:/dev/other", "has the name that the machine gives it"),
            ("/dev/full:x", "is no access"),
            ("/dev/shm/../full", "--allowed-devices"),
        ] {
            let said = asked(text).unwrap_err();
            assert!(said.contains(message), "{said}");
        }
    }
}
