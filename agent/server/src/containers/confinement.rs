//! How a container is confined: its `linux_info`, what `docker run` would have been told, its volumes, and whether its root
//! is the machine's. What is asked for is compared with what the operator allows before anything is made.

use chapada_agent_core::LaunchRefusal;
use chapada_isolation::privileges::Privileges;
use chapada_shim::{ContainerSpec, Device, Pid1, Rlimit, SystemCalls};
use chapada_wire::v1;

use super::bounds::Bounds;
use super::description::{refusal, unsupported};
use super::image::{ImageWish, image_of};
use super::mounts::{self, Mount, Origin, Whose};
use super::parameters::{NamedFilter, NamedMount, Parameters};
use crate::policy::{Asked, Capabilities, Policy};

const MIB: u64 = 1 << 20;
/// Kernel numbers of capabilities are those of the API less this.
const FIRST_CAPABILITY: i32 = 1000;

/// What a container may do, as far as its operator allows.
#[derive(Debug, Default)]
pub(super) struct Confinement {
    pub(super) mounts: Vec<Mount>,
    /// Its files are an image's.
    pub(super) has_image: bool,
    privileged: bool,
    privileges: Privileges,
    filter: Option<NamedFilter>,
    read_only_root: bool,
    without_init: bool,
    share_user_namespace: bool,
    groups: Vec<u32>,
    shm_bytes: Option<u64>,
    rlimits: Vec<Rlimit>,
    bounds: Bounds,
    devices: Vec<Device>,
}

impl Confinement {
    /// Of this container; `field` is where it stands.
    ///
    /// # Errors
    /// Names the first field that this agent cannot honour, or that its operator does not allow.
    pub(super) fn of(
        field: &str,
        container: Option<&v1::ContainerInfo>,
        whose: Whose,
        policy: &Policy,
    ) -> Result<Self, LaunchRefusal> {
        let Some(container) = container else {
            let privileges = policy.capabilities.decide(&Asked::default()).map_err(refusal)?;
            return Ok(Self { privileges, ..Self::default() });
        };
        let image = image_of(field, container)?;
        let has_image = image.is_some();
        let privileged = image.as_ref().is_some_and(|image| image.privileged || image.parameters.privileged);
        let parameters = image.map(|image: ImageWish| image.parameters).unwrap_or_default();
        if privileged && !policy.privileged {
            let remedy =
                "run without privileges, or have an operator start the agent with --allow-privileged";
            return Err(unsupported(&format!("{field}.docker.privileged"), remedy));
        }
        let linux = container.linux_info.clone().unwrap_or_default();
        let mut mounts = mounts::mounts(field, container, whose, policy)?;
        let field = |name: &str| format!("{field}.{name}");
        for mount in &parameters.mounts {
            mounts.push(of_parameter(&field("docker.parameters"), mount, whose, policy)?);
        }
        let privileges = privileges(&field("linux_info"), &linux, &parameters, privileged, policy)?;
        let mut bounds = parameters.bounds.clone();
        bounds.add(&field("linux_info"), &linux)?;
        let found = Self {
            devices: bounds.devices(policy)?,
            bounds,
            mounts,
            has_image,
            privileged,
            privileges,
            filter: filter(&field("linux_info.seccomp"), &linux, &parameters, policy)?,
            read_only_root: linux.read_only_root() || parameters.read_only_root,
            without_init: linux.command_is_pid1() || parameters.without_init,
            share_user_namespace: linux.share_user_namespace() || parameters.share_user_namespace,
            groups: [linux.supplementary_groups.as_slice(), &parameters.groups].concat(),
            shm_bytes: linux.shm_size.map(|mebibytes| u64::from(mebibytes) * MIB).or(parameters.shm_bytes),
            rlimits: parameters.rlimits,
        };
        found.check(&field("linux_info"), &linux, policy).map_or(Ok(found), Err)
    }

    /// Names what cannot be.
    fn check(&self, field: &str, linux: &v1::LinuxInfo, policy: &Policy) -> Option<LaunchRefusal> {
        let named = |name: &str| format!("{field}.{name}");
        if linux.share_pid_namespace() {
            let remedy = "every container has processes of its own; see the others through their agent";
            return Some(unsupported(&named("share_pid_namespace"), remedy));
        }
        if linux.ipc_mode() == v1::linux_info::IpcMode::ShareParent {
            return Some(unsupported(&named("ipc_mode SHARE_PARENT"), "use PRIVATE, and share a volume"));
        }
        if self.read_only_root && !self.has_image {
            return Some(unsupported(&named("read_only_root"), "give the container an image"));
        }
        let opts_out = self.share_user_namespace && self.has_image;
        let host = opts_out || self.exception(None, policy).is_some() || !self.has_image;
        if host && !self.groups.is_empty() && !policy.host_root {
            let remedy = "a group of the machine opens what root gave to it: give the container an image and a user \
                          namespace, or have an operator start the agent with --allow-host-root";
            return Some(unsupported(&named("supplementary_groups"), remedy));
        }
        let strong = Capabilities::leads_to_root(&self.privileges);
        if let (true, false, Some(name)) = (host, policy.host_root || self.privileged, strong) {
            let remedy = "on the files of the machine it makes any user as good as root: give the container an image and \
                          a user namespace, or have an operator start the agent with --allow-host-root";
            return Some(unsupported(&named(&format!("effective_capabilities {name}")), remedy));
        }
        None
    }

    /// Why the root of a container with an image is the machine's, if it is; `port` is one below 1024 of the machine's
    /// network.
    pub(super) fn exception(&self, port: Option<u64>, policy: &Policy) -> Option<String> {
        let is_host = |mount: &&Mount| matches!(mount.origin, Origin::Host(_));
        if !self.has_image {
            None
        } else if !policy.user_namespaces {
            Some("the agent runs with --user-namespaces=false".to_owned())
        } else if self.privileged {
            Some("it is privileged".to_owned())
        } else if self.share_user_namespace {
            Some("its description asks for that".to_owned())
        } else if let Some(mount) = self.mounts.iter().find(is_host) {
            Some(format!("it has a volume of the machine at {}", mount.target.display()))
        } else {
            port.map(|port| format!("it has port {port} of the machine's network"))
        }
    }

    /// Sets everything of a spec but its volumes; its root and user namespace are set already. Blocks for a look at a small
    /// file.
    ///
    /// # Errors
    /// Says what is wrong with a profile of system calls.
    pub(super) fn apply(&self, spec: &mut ContainerSpec, policy: &Policy) -> Result<(), String> {
        self.bounds.apply(spec, &self.devices);
        spec.never_host_root = !policy.host_root && !self.privileged;
        spec.privileges = Privileges { groups: self.groups.clone(), ..self.privileges.clone() };
        let bounding = self.privileges.bounding.as_deref();
        spec.system_calls = match &self.filter {
            Some(NamedFilter::Unconfined) => SystemCalls::Unconfined,
            Some(NamedFilter::Profile(name)) => policy.profiles.filter(Some(name), bounding)?,
            None if self.privileged => SystemCalls::Unconfined,
            None => policy.profiles.filter(None, bounding)?,
        };
        if let Some(root) = &mut spec.root {
            root.read_only = self.read_only_root;
        }
        if self.without_init {
            spec.pid1 = Pid1::Command;
        }
        if let Some(bytes) = self.shm_bytes {
            spec.shm_bytes = bytes;
        }
        spec.rlimits.extend(self.rlimits.iter().cloned());
        Ok(())
    }
}

fn of_parameter(
    field: &str,
    mount: &NamedMount,
    whose: Whose,
    policy: &Policy,
) -> Result<Mount, LaunchRefusal> {
    let target = mounts::target(field, &mount.target, whose)?;
    let origin = match &mount.host {
        Some(path) => mounts::host(field, path, mount.read_only, policy)?,
        None => Origin::Memory(mount.size),
    };
    Ok(Mount { origin, target, read_only: mount.read_only })
}

fn privileges(
    field: &str,
    linux: &v1::LinuxInfo,
    parameters: &Parameters,
    privileged: bool,
    policy: &Policy,
) -> Result<Privileges, LaunchRefusal> {
    if privileged {
        return Ok(Capabilities::all());
    }
    let set = |name: &str, info: &Option<v1::CapabilityInfo>| {
        let named = format!("{field}.{name}");
        info.as_ref().map(|info| numbers(&named, info)).transpose()
    };
    let old = set("capability_info", &linux.capability_info)?;
    let effective = set("effective_capabilities", &linux.effective_capabilities)?;
    if old.is_some() && effective.is_some() {
        return Err(refusal(format!("{field} has both capability_info and effective_capabilities")));
    }
    let bounding = set("bounding_capabilities", &linux.bounding_capabilities)?;
    let asked =
        Asked { effective: old.or(effective), bounding: bounding.or(parameters.capabilities.clone()) };
    policy.capabilities.decide(&asked).map_err(|problem| refusal(format!("{field}: {problem}")))
}

fn numbers(field: &str, info: &v1::CapabilityInfo) -> Result<Vec<u32>, LaunchRefusal> {
    let number = |number: &i32| {
        let known = v1::capability_info::Capability::try_from(*number).ok();
        let kernels = known.and_then(|known| u32::try_from(known as i32 - FIRST_CAPABILITY).ok());
        kernels.ok_or_else(|| refusal(format!("{field} has one that is unknown")))
    };
    info.capabilities.iter().map(number).collect()
}

fn filter(
    field: &str,
    linux: &v1::LinuxInfo,
    parameters: &Parameters,
    policy: &Policy,
) -> Result<Option<NamedFilter>, LaunchRefusal> {
    let wanted = match linux.seccomp.as_ref() {
        None => parameters.filter.clone(),
        Some(v1::SeccompInfo { profile_name: Some(_), unconfined: Some(true) }) => {
            return Err(refusal(format!("{field} has both profile_name and unconfined")));
        }
        Some(v1::SeccompInfo { profile_name: Some(name), .. }) => Some(NamedFilter::Profile(name.clone())),
        Some(v1::SeccompInfo { unconfined: Some(true), .. }) => Some(NamedFilter::Unconfined),
        Some(_) => None,
    };
    match &wanted {
        Some(NamedFilter::Unconfined) if !policy.privileged => {
            let remedy = "name a profile, or have an operator start the agent with --allow-privileged";
            Err(unsupported(&format!("{field}.unconfined"), remedy))
        }
        Some(NamedFilter::Profile(name)) => {
            let checked = policy.profiles.check(name);
            checked.map_err(|problem| refusal(format!("{field}.profile_name: {problem}")))?;
            Ok(wanted)
        }
        Some(NamedFilter::Unconfined) | None => Ok(wanted),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn of(container: Value, policy: &Policy) -> Result<Confinement, String> {
        let container: v1::ContainerInfo =
            chapada_wire::Json::from_json(container.to_string().as_bytes()).unwrap();
        let found = Confinement::of("container", Some(&container), Whose::Single, policy);
        found.map_err(|refusal| refusal.message)
    }

    fn linux(info: Value) -> Value {
        json!({"type": "MESOS", "linux_info": info})
    }

    fn image(more: Value) -> Value {
        let mut docker = json!({"image": "box:v1"});
        docker.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"type": "DOCKER", "docker": docker})
    }

    fn spec(found: &Confinement, policy: &Policy) -> ContainerSpec {
        let mut spec = ContainerSpec::new(
            "c",
            "/run".as_ref(),
            "/sandbox",
            chapada_shim::Command::Shell("true".to_owned()),
        );
        found.apply(&mut spec, policy).unwrap();
        spec
    }

    #[test]
    fn by_default_nothing_of_the_machine_is_given_away() {
        let policy = Policy::with(|_| {});
        let plain = spec(&of(json!({"type": "MESOS"}), &policy).unwrap(), &policy);
        assert!(plain.never_host_root && plain.privileges == Privileges::default());
        let parameter = |key: &str, value: &str| json!({"parameters": [{"key": key, "value": value}]});
        for (container, message) in [
            (image(json!({"privileged": true})), "container.docker.privileged is not"),
            (image(parameter("privileged", "")), "container.docker.privileged is not"),
            (image(parameter("cap-add", "SYS_ADMIN")), "container.linux_info: SYS_ADMIN is more"),
            (
                image(parameter("security-opt", "seccomp=unconfined")),
                "container.linux_info.seccomp.unconfined is not",
            ),
            (
                image(parameter("volume", "/:/host")),
                "container.docker.parameters: \"/\" is a path of the machine",
            ),
            (
                linux(json!({"effective_capabilities": {"capabilities": ["SYS_ADMIN"]}})),
                "container.linux_info: SYS_ADMIN is more",
            ),
            (
                linux(json!({"effective_capabilities": {"capabilities": ["SETUID"]}})),
                "container.linux_info.effective_capabilities SETUID is not",
            ),
            (
                linux(json!({"capability_info": {"capabilities": []}, "effective_capabilities": {}})),
                "container.linux_info has both capability_info and",
            ),
            (
                linux(json!({"seccomp": {"unconfined": true}})),
                "container.linux_info.seccomp.unconfined is not",
            ),
            (linux(json!({"seccomp": {"profile_name": "x"}})), "container.linux_info.seccomp.profile_name: "),
            (linux(json!({"share_pid_namespace": true})), "container.linux_info.share_pid_namespace is not"),
            (linux(json!({"ipc_mode": "SHARE_PARENT"})), "container.linux_info.ipc_mode SHARE_PARENT is not"),
            (linux(json!({"read_only_root": true})), "container.linux_info.read_only_root is not"),
            (linux(json!({"supplementary_groups": [6]})), "container.linux_info.supplementary_groups is not"),
        ] {
            let said = of(container, &policy).unwrap_err();
            assert!(said.starts_with(message), "{said}");
        }
    }

    #[test]
    fn what_is_asked_for_and_allowed_is_done() {
        let policy = Policy::with(|config| {
            (config.allow_privileged, config.allow_host_root) = (true, true);
            config.bounding_capabilities = Some("NET_RAW,SETUID".to_owned());
        });
        let info = json!({"effective_capabilities": {"capabilities": ["NET_RAW"]}, "shm_size": 2,
            "seccomp": {"unconfined": true}, "command_is_pid1": true, "supplementary_groups": [6],
            "ipc_mode": "PRIVATE"});
        let done = spec(&of(linux(info), &policy).unwrap(), &policy);
        assert_eq!(
            (done.privileges.ambient.as_slice(), done.privileges.groups.as_slice()),
            (&[13][..], &[6][..])
        );
        assert_eq!((done.pid1, done.shm_bytes), (Pid1::Command, 2 << 20));
        assert!(!done.never_host_root && done.system_calls == SystemCalls::Unconfined);
        let all = of(image(json!({"privileged": true})), &policy).unwrap();
        let done = spec(&all, &policy);
        assert_eq!(done.system_calls, SystemCalls::Unconfined);
        assert!(done.privileges.bounding.unwrap().contains(&21) && all.exception(None, &policy).is_some());
    }

    #[test]
    fn each_exception_from_a_user_namespace_says_why() {
        let policy = Policy::with(|config| config.allowed_host_paths = vec!["/usr".to_owned()]);
        let why = |container: Value, port| of(container, &policy).unwrap().exception(port, &policy);
        assert_eq!(why(image(json!({})), None), None);
        assert_eq!(why(json!({"type": "MESOS"}), Some(80)), None);
        assert_eq!(
            why(image(json!({})), Some(80)),
            Some("it has port 80 of the machine's network".to_owned())
        );
        let mut volume = image(json!({}));
        volume["volumes"] = json!([{"mode": "RO", "container_path": "/x", "host_path": "/usr/share"}]);
        assert_eq!(why(volume, None), Some("it has a volume of the machine at /x".to_owned()));
        let mut shared = image(json!({}));
        shared["linux_info"] = json!({"share_user_namespace": true});
        assert_eq!(why(shared, None), Some("its description asks for that".to_owned()));
    }
}
