//! The same container by `runc`, from the Debian package of that name. What its caller does for it counts: the layers are mounted
//! for each container, and its description is written for each.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::{Value, json};

use super::Maker;
use super::place::{IDS, Place, SANDBOX, Signal};

/// What our root may do; see `chapada_isolation::capabilities`.
const CAPABILITIES: [&str; 11] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_SETFCAP",
];
/// What our filter denies, by the names that libseccomp has for it.
const DENIED: &str = "acct add_key bpf clock_adjtime clock_settime delete_module fanotify_init finit_module init_module \
    ioperm iopl kcmp kexec_file_load kexec_load keyctl lookup_dcookie mount move_pages name_to_handle_at nfsservctl \
    open_by_handle_at perf_event_open pivot_root quotactl reboot request_key setns settimeofday swapoff swapon syslog \
    umount2 unshare userfaultfd ustat vhangup";

pub(super) struct Runc<'a> {
    place: &'a Place,
    signal: Signal,
    layer: PathBuf,
    sandbox: PathBuf,
    description: Value,
}

impl<'a> Runc<'a> {
    /// Asks runc for its default description and makes it ask for what ours has.
    pub(super) fn new(place: &'a Place) -> Result<Self> {
        let sandbox = place.directory("runc", Some(IDS.first))?;
        let layer = place.base_layer("runc-layer", Some(IDS.first))?;
        let bundle = place.directory("runc-spec", None)?;
        let made = Command::new("runc").arg("spec").arg("--bundle").arg(&bundle).status();
        ensure!(made.context("the Debian package runc is missing")?.success(), "runc spec failed");
        let text = fs::read_to_string(bundle.join("config.json"))?;
        let mut description: Value = serde_json::from_str(&text)?;
        describe(&mut description, &sandbox)?;
        Ok(Self { place, signal: Signal::new(&sandbox)?, layer, sandbox, description })
    }
}

fn describe(description: &mut Value, sandbox: &std::path::Path) -> Result<()> {
    let process = &mut description["process"];
    process["terminal"] = json!(false);
    process["args"] = json!(["/bin/first", Signal::inside()]);
    process["env"] = json!(["PATH=/bin"]);
    process["noNewPrivileges"] = json!(true);
    for set in ["bounding", "effective", "permitted"] {
        process["capabilities"][set] = json!(CAPABILITIES);
    }
    description["root"]["readonly"] = json!(false);
    description["hostname"] = json!("bench");
    let bind = json!({
        "destination": SANDBOX, "type": "bind", "source": sandbox, "options": ["rbind", "rw", "nosuid", "nodev"],
    });
    description["mounts"].as_array_mut().context("runc describes no mounts")?.push(bind);
    let linux = &mut description["linux"];
    let namespaces =
        ["pid", "network", "ipc", "uts", "mount", "cgroup", "user"].map(|kind| json!({"type": kind}));
    linux["namespaces"] = json!(namespaces);
    let ids = json!([{"containerID": 0, "hostID": IDS.first, "size": IDS.count}]);
    linux["uidMappings"] = ids.clone();
    linux["gidMappings"] = ids;
    linux["cgroupsPath"] = json!(format!("/chapada-bench-runc-{}", std::process::id()));
    linux["resources"]["memory"] = json!({"limit": 64 << 20});
    linux["resources"]["cpu"] = json!({"shares": 1024, "quota": 100_000, "period": 100_000});
    linux["resources"]["pids"] = json!({"limit": 100});
    let denied: Vec<&str> = DENIED.split_whitespace().collect();
    linux["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": denied, "action": "SCMP_ACT_ERRNO"}],
    });
    Ok(())
}

impl Maker for Runc<'_> {
    fn start(&mut self, number: usize) -> Result<f64> {
        let id = format!("bench-{}-{number}", std::process::id());
        let begun = Instant::now();
        let upper = self.place.directory(&format!("{id}-upper"), Some(IDS.first))?;
        let work = self.place.directory(&format!("{id}-work"), None)?;
        let bundle = self.place.directory(&id, None)?;
        let root = self.place.directory(&format!("{id}/rootfs"), None)?;
        let data = format!(
            "lowerdir={},upperdir={},workdir={}",
            self.layer.display(),
            upper.display(),
            work.display()
        );
        mount(Some("overlay"), &root, Some("overlay"), MsFlags::empty(), Some(data.as_str()))?;
        let outcome = self.run(&id, &bundle, begun);
        umount2(&root, MntFlags::MNT_DETACH)?;
        outcome
    }
}

impl Runc<'_> {
    fn run(&mut self, id: &str, bundle: &std::path::Path, begun: Instant) -> Result<f64> {
        fs::write(bundle.join("config.json"), self.description.to_string())?;
        let mut running = Command::new("runc")
            .arg("--root")
            .arg(self.place.path("runc-state"))
            .args(["run", "--bundle"])
            .arg(bundle)
            .arg(id)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        let taken = self.signal.wait(begun);
        let status = running.wait()?;
        let sandbox = self.sandbox.display();
        ensure!(status.success(), "runc ended with {status}; the sandbox is {sandbox}");
        taken
    }
}
