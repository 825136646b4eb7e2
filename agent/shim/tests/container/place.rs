//! A place for containers on the real kernel: cgroups and directories of its own, gone when the test is.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use chapada_shim::*;

/// Far longer than anything here takes; only a broken test waits so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Place {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) launcher: Launcher,
}

impl Place {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        assert!(nix::unistd::geteuid().is_root(), "these tests make containers: run them as root");
        let name = format!("chapada-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let cgroups = Cgroups::discover(name).unwrap();
        let launcher = Launcher::new(chapada_shim_image::SHIM_IMAGE, cgroups).unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("sandboxes")).unwrap();
        Self { dir, launcher }
    }

    pub(crate) fn runtime_root(&self) -> PathBuf {
        self.dir.path().join("run")
    }

    /// A container with a sandbox, and the path that a shell expects.
    pub(crate) fn spec(&self, id: &str, script: &str) -> ContainerSpec {
        let sandbox = self.dir.path().join("sandboxes").join(id);
        fs::create_dir_all(&sandbox).unwrap();
        let mut spec = ContainerSpec::new(id, &self.runtime_root(), sandbox, Command::Shell(script.into()));
        spec.environment = vec![("PATH".into(), "/usr/sbin:/usr/bin:/sbin:/bin".into())];
        spec
    }

    /// Launches and waits for the end.
    pub(crate) fn run(&self, spec: &ContainerSpec) -> ExitReport {
        exit_of(&mut self.launcher.launch(spec).unwrap().client)
    }

    /// Launches, waits for the end, and gives what the command wrote.
    pub(crate) fn output(&self, script: &str) -> String {
        self.output_of(&self.spec("only", script))
    }

    pub(crate) fn output_of(&self, spec: &ContainerSpec) -> String {
        let report = self.run(spec);
        let read = |name| fs::read_to_string(spec.sandbox.join(name)).unwrap_or_default();
        assert_eq!(report.outcome, Outcome::Exited { code: 0 }, "stderr: {}", read("stderr"));
        read("stdout")
    }

    pub(crate) fn sandbox_file(&self, id: &str, name: &str) -> String {
        fs::read_to_string(self.dir.path().join("sandboxes").join(id).join(name)).unwrap_or_default()
    }

    /// Every cgroup directory of this place that exists now.
    pub(crate) fn groups(&self) -> Vec<PathBuf> {
        let cgroups = self.launcher.cgroups();
        let hierarchies = cgroups.hierarchies();
        let points = hierarchies.v1.values().chain(hierarchies.v2.as_ref().map(|tree| &tree.mount_point));
        let mut found: Vec<_> =
            points.map(|point| point.join(cgroups.parent())).filter(|path| path.exists()).collect();
        found.dedup();
        found
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for container in recover(&self.runtime_root()).unwrap() {
            cleanup(self.launcher.cgroups(), &self.runtime_root(), &container.id).unwrap();
        }
        self.launcher.remove_cgroups().unwrap();
        if !std::thread::panicking() {
            assert_eq!(self.groups(), Vec::<PathBuf>::new(), "cgroups stayed behind");
            let processes = processes_naming(self.dir.path());
            assert_eq!(processes, Vec::<String>::new(), "processes stayed behind");
        }
    }
}

/// Processes whose working directory is below `path`.
pub(crate) fn processes_naming(path: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        if fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(path)) {
            found.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    found
}

pub(crate) fn started(client: &mut ShimClient) -> i32 {
    loop {
        match client.wait_event(PATIENCE).unwrap() {
            Event::Started { pid, .. } => return pid,
            Event::Starting => {}
            other => panic!("expected the start, got {other:?}"),
        }
    }
}

pub(crate) fn exit_of(client: &mut ShimClient) -> ExitReport {
    loop {
        if let Event::Exited { report } = client.wait_event(PATIENCE).unwrap() {
            return *report;
        }
    }
}

pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "never happened: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// The value of a `Key:\tvalue` line, as in `/proc/self/status`.
pub(crate) fn status_field<'a>(text: &'a str, key: &str) -> &'a str {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim).unwrap_or_default()
}

pub(crate) fn alive(pid: i32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}
