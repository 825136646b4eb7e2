//! Options of `docker run`, as containers of type DOCKER pass them on: those that mean something here, by their long names.

use chapada_agent_core::LaunchRefusal;
use chapada_isolation::capabilities::{ALL, ROOT_DEFAULT, by_name};
use chapada_shim::Rlimit;
use chapada_wire::v1;
use chapada_wire::v1::linux_info::DiskLimit;

use super::bounds::Bounds;
use super::description::{refusal, text, unsupported};

/// What is done of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parameters {
    /// Below what the task itself says.
    pub(super) environment: Vec<(String, String)>,
    pub(super) hostname: Option<String>,
    pub(super) user: Option<String>,
    /// Where the command starts, absolute.
    pub(super) directory: Option<String>,
    /// What root of the container may have, when that is not what it has anyway.
    pub(super) capabilities: Option<Vec<u32>>,
    pub(super) privileged: bool,
    pub(super) read_only_root: bool,
    /// The command is process 1 itself.
    pub(super) without_init: bool,
    /// The container's root is to be the machine's.
    pub(super) share_user_namespace: bool,
    pub(super) filter: Option<NamedFilter>,
    pub(super) shm_bytes: Option<u64>,
    pub(super) groups: Vec<u32>,
    pub(super) rlimits: Vec<Rlimit>,
    pub(super) mounts: Vec<NamedMount>,
    pub(super) bounds: Bounds,
}

/// A filter of system calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NamedFilter {
    /// None at all.
    Unconfined,
    /// A profile of the operator's.
    Profile(String),
}

/// What is to show in the container; nobody has looked yet whether it may.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NamedMount {
    /// A path of the machine; `None`: memory.
    pub(super) host: Option<String>,
    pub(super) target: String,
    pub(super) read_only: bool,
    pub(super) size: Option<u64>,
}

impl Parameters {
    /// # Errors
    /// Names the first one that this agent cannot honour.
    pub(super) fn of(field: &str, list: &[v1::Parameter]) -> Result<Self, LaunchRefusal> {
        let mut found = Self::default();
        let mut kept: Vec<u32> = ROOT_DEFAULT.to_vec();
        for (index, parameter) in list.iter().enumerate() {
            let (key, value) = (text(&parameter.key), text(&parameter.value));
            let named = format!("{field}[{index}] {key}");
            let wrong = |what: &str| refusal(format!("{named} is not {what}"));
            match key {
                "cap-add" => kept.extend(capability(value).ok_or_else(|| wrong("a capability"))?),
                "cap-drop" => {
                    let dropped = capability(value).ok_or_else(|| wrong("a capability"))?;
                    kept.retain(|number| !dropped.contains(number));
                }
                _ => found.take(key, value, &named)?,
            }
            kept.sort_unstable();
            kept.dedup();
        }
        found.capabilities = (kept != ROOT_DEFAULT).then_some(kept);
        Ok(found)
    }

    fn take(&mut self, key: &str, value: &str, named: &str) -> Result<(), LaunchRefusal> {
        let wrong = |what: &str| refusal(format!("{named} is not {what}"));
        let or = |parsed: Option<bool>| parsed.ok_or_else(|| wrong("true or false"));
        match key {
            "env" => {
                let (name, value) = value.split_once('=').ok_or_else(|| wrong("NAME=VALUE"))?;
                if name.is_empty() {
                    return Err(wrong("NAME=VALUE"));
                }
                self.environment.push((name.to_owned(), value.to_owned()));
            }
            "group-add" => self.groups.push(value.parse().map_err(|_| wrong("the number of a group"))?),
            "hostname" => self.hostname = Some(value.to_owned()),
            "init" => self.without_init = !or(truth(value))?,
            "ipc" if value == "private" => {}
            // Nobody here reads them: those of the task are shown.
            "label" => {}
            "privileged" => self.privileged = or(truth(value))?,
            "read-only" => self.read_only_root = or(truth(value))?,
            "security-opt" => return self.security(value, named),
            "shm-size" => self.shm_bytes = Some(bytes(value).ok_or_else(|| wrong("a size such as 64m"))?),
            "tmpfs" => self.mounts.push(memory(value).ok_or_else(|| wrong("PATH or PATH:size=SIZE"))?),
            "pids-limit" => {
                self.bounds.processes(value.parse().map_err(|_| wrong("a number of processes"))?, named)?
            }
            "cpuset-cpus" => self.bounds.processors(value, named)?,
            "blkio-weight" => self.bounds.weight(value.parse().map_err(|_| wrong("1 to 10000"))?, named)?,
            "device-read-bps" | "device-write-bps" | "device-read-iops" | "device-write-iops" => {
                let (device, speed) = value.split_once(':').ok_or_else(|| wrong("/dev/DISK:SPEED"))?;
                let speed = if key.ends_with("bps") { bytes(speed) } else { speed.parse().ok() };
                let speed = speed.filter(|speed| *speed > 0).ok_or_else(|| wrong("/dev/DISK:SPEED"))?;
                let limit = match key {
                    "device-read-bps" => DiskLimit { read_bytes: Some(speed), ..DiskLimit::default() },
                    "device-write-bps" => DiskLimit { write_bytes: Some(speed), ..DiskLimit::default() },
                    "device-read-iops" => DiskLimit { reads: Some(speed), ..DiskLimit::default() },
                    _ => DiskLimit { writes: Some(speed), ..DiskLimit::default() },
                };
                self.bounds.disk(&DiskLimit { device: Some(device.to_owned()), ..limit }, named)?;
            }
            "device" => self.bounds.devices.push((named.to_owned(), value.to_owned())),
            "ulimit" => self.rlimits.push(ulimit(value).ok_or_else(|| wrong("NAME=SOFT[:HARD]"))?),
            "user" => self.user = Some(value.to_owned()),
            "userns" if value == "host" => self.share_user_namespace = true,
            "volume" => self.mounts.push(host(value).ok_or_else(|| wrong("/PATH:/TARGET[:ro|:rw]"))?),
            "workdir" if value.starts_with('/') => self.directory = Some(value.to_owned()),
            "workdir" => return Err(wrong("an absolute path")),
            _ => {
                let remedy = "blkio-weight, cap-add, cap-drop, cpuset-cpus, device, device-read-bps (and -write, and -iops), \
                              env, group-add, hostname, init, label, pids-limit, privileged, read-only, security-opt, \
                              shm-size, tmpfs, ulimit, user, userns host, volume and workdir are";
                return Err(unsupported(named, remedy));
            }
        }
        Ok(())
    }

    fn security(&mut self, value: &str, named: &str) -> Result<(), LaunchRefusal> {
        match value.split_once(['=', ':']).unwrap_or((value, "true")) {
            // As it always is.
            ("no-new-privileges", "true") => {}
            ("seccomp", "unconfined") => self.filter = Some(NamedFilter::Unconfined),
            ("seccomp", profile) => self.filter = Some(NamedFilter::Profile(profile.to_owned())),
            _ => return Err(unsupported(&format!("{named} {value}"), "no-new-privileges and seccomp=… are")),
        }
        Ok(())
    }
}

/// `NET_RAW`, `cap_net_raw` or `ALL`.
fn capability(name: &str) -> Option<Vec<u32>> {
    match name.to_ascii_uppercase().as_str() {
        "ALL" => Some(ALL.collect()),
        name => by_name(name).map(|number| vec![number]),
    }
}

/// A flag that is named is set.
fn truth(value: &str) -> Option<bool> {
    match value {
        "" | "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// As Docker writes sizes: a number, and `b`, `k`, `m` or `g`.
fn bytes(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches(['b', 'k', 'm', 'g']);
    let shift = match &lower[digits.len()..] {
        "" | "b" => 0,
        "k" | "kb" => 10,
        "m" | "mb" => 20,
        "g" | "gb" => 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift).filter(|bytes| *bytes > 0)
}

/// `/path` or `/path:size=64m,ro`.
fn memory(text: &str) -> Option<NamedMount> {
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    let mut mount = NamedMount { host: None, target: target.to_owned(), read_only: false, size: None };
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some(("size", size)) => mount.size = Some(bytes(size)?),
            None if option == "ro" => mount.read_only = true,
            // As it always is.
            None if ["rw", "nosuid", "nodev"].contains(&option) => {}
            _ => return None,
        }
    }
    target.starts_with('/').then_some(mount)
}

/// `/path:/target`, read and written unless it says `ro`.
fn host(text: &str) -> Option<NamedMount> {
    let mut parts = text.split(':');
    let (host, target, mode) = (parts.next()?, parts.next()?, parts.next().unwrap_or("rw"));
    let fits = host.starts_with('/') && target.starts_with('/') && parts.next().is_none();
    let read_only = match mode {
        "ro" => true,
        "rw" => false,
        _ => return None,
    };
    let (host, target) = (Some(host.to_owned()), target.to_owned());
    fits.then_some(NamedMount { host, target, read_only, size: None })
}

/// `nofile=64:128`; -1 is no limit.
fn ulimit(text: &str) -> Option<Rlimit> {
    let (name, bounds) = text.split_once('=')?;
    let (soft, hard) = bounds.split_once(':').unwrap_or((bounds, bounds));
    let bound = |text: &str| match text {
        "-1" => Some(u64::MAX),
        text => text.parse().ok(),
    };
    Some(Rlimit { name: name.to_owned(), soft: Some(bound(soft)?), hard: Some(bound(hard)?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(list: &[(&str, &str)]) -> Result<Parameters, String> {
        let parameter = |(key, value): &(&str, &str)| v1::Parameter {
            key: Some((*key).to_owned()),
            value: Some((*value).to_owned()),
        };
        let list: Vec<_> = list.iter().map(parameter).collect();
        Parameters::of("p", &list).map_err(|refusal| refusal.message)
    }

    #[test]
    fn the_ones_that_are_known_are_done() {
        let found = parameters(&[
            ("env", "A=b=c"),
            ("user", "www"),
            ("workdir", "/srv"),
            ("hostname", "h"),
            ("label", "x"),
            ("init", "false"),
            ("read-only", ""),
            ("userns", "host"),
            ("shm-size", "1g"),
            ("group-add", "44"),
            ("ulimit", "nofile=64:-1"),
            ("security-opt", "no-new-privileges"),
            ("security-opt", "seccomp=strict.json"),
            ("tmpfs", "/run:size=64k,nosuid"),
            ("volume", "/data:/srv/data:ro"),
        ]);
        let mount = |host: Option<&str>, target: &str, read_only, size| NamedMount {
            host: host.map(str::to_owned),
            target: target.to_owned(),
            read_only,
            size,
        };
        let expected = Parameters {
            environment: vec![("A".to_owned(), "b=c".to_owned())],
            hostname: Some("h".to_owned()),
            user: Some("www".to_owned()),
            directory: Some("/srv".to_owned()),
            without_init: true,
            read_only_root: true,
            share_user_namespace: true,
            shm_bytes: Some(1 << 30),
            groups: vec![44],
            rlimits: vec![Rlimit { name: "nofile".to_owned(), soft: Some(64), hard: Some(u64::MAX) }],
            filter: Some(NamedFilter::Profile("strict.json".to_owned())),
            mounts: vec![
                mount(None, "/run", false, Some(64 << 10)),
                mount(Some("/data"), "/srv/data", true, None),
            ],
            ..Parameters::default()
        };
        assert_eq!(found, Ok(expected));
    }

    #[test]
    fn capabilities_are_added_and_dropped_in_order() {
        let kept = |list: &[(&str, &str)]| parameters(list).unwrap().capabilities;
        assert_eq!(kept(&[("cap-add", "CHOWN")]), None);
        assert_eq!(kept(&[("cap-drop", "all"), ("cap-add", "CAP_NET_RAW")]), Some(vec![13]));
        assert_eq!(kept(&[("cap-add", "ALL")]).unwrap().len(), ALL.len());
    }

    #[test]
    fn others_are_named() {
        for (key, value, message) in [
            ("network", "host", "p[0] network is not supported"),
            ("cpu-shares", "512", "p[0] cpu-shares is not supported"),
            ("pid", "host", "p[0] pid is not supported"),
            ("ipc", "host", "p[0] ipc is not supported"),
            ("userns", "keep", "p[0] userns is not supported"),
            ("security-opt", "apparmor=unconfined", "p[0] security-opt apparmor=unconfined is not supported"),
            ("cap-add", "FLY", "p[0] cap-add is not a capability"),
            ("volume", "named:/srv", "p[0] volume is not /PATH"),
            ("volume", "/a:/b:z", "p[0] volume is not /PATH"),
            ("tmpfs", "/x:exec", "p[0] tmpfs is not PATH"),
            ("shm-size", "much", "p[0] shm-size is not a size"),
            ("ulimit", "nofile", "p[0] ulimit is not NAME"),
            ("read-only", "perhaps", "p[0] read-only is not true or false"),
            ("group-add", "docker", "p[0] group-add is not the number"),
            ("env", "A", "p[0] env is not NAME=VALUE"),
            ("workdir", "srv", "p[0] workdir is not an absolute path"),
        ] {
            let said = parameters(&[(key, value)]).unwrap_err();
            assert!(said.starts_with(message), "{said}");
        }
    }
}
