//! Agents under test.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use chapada_agent::{AgentConfig, AgentError, run};
use chapada_shim::Cgroups;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const CONFIG: &str = "CHAPADA_TEST_AGENT_CONFIG";

/// An agent's directories and cgroups, which go when this does, with all that runs in them.
pub(crate) struct TestAgent {
    directory: Option<tempfile::TempDir>,
    pub(crate) config: AgentConfig,
}

impl TestAgent {
    pub(crate) fn new(master: SocketAddr) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // Shown when the test fails. The second test of this process finds it set.
        let _ = tracing_subscriber::fmt().with_test_writer().with_max_level(tracing::Level::INFO).try_init();
        let directory = tempfile::tempdir().unwrap();
        let name = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let config = AgentConfig {
            master: master.to_string(),
            port: Some(0),
            work_dir: directory.path().join("work"),
            resources: Some("cpus:4;mem:4096;disk:1000;ports:[31000-32000]".to_owned()),
            cgroups_root: Some(Path::new("chapada-test").join(name)),
            fetcher: fetcher(),
            allow_host_root: true,
            registration_backoff_factor: std::time::Duration::from_millis(20),
            ..AgentConfig::default()
        };
        Self { directory: Some(directory), config }
    }

    /// What agents in processes of their own complain of; kept with the rest when the test fails.
    fn log(&self) -> std::fs::File {
        std::fs::File::options().create(true).append(true).open(self.log_path()).unwrap()
    }

    fn log_path(&self) -> PathBuf {
        self.config.work_dir.parent().unwrap().join("agents.stderr")
    }

    pub(crate) fn complaints(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap()
    }

    pub(crate) fn runtime_dir(&self) -> PathBuf {
        self.config.work_dir.join("runtime")
    }

    pub(crate) fn sandbox(&self, task: &str) -> PathBuf {
        let executor = format!("slaves/agent-1/frameworks/framework-1/executors/{task}/runs/latest");
        self.config.work_dir.join(executor)
    }

    /// Names of the containers that left a trace.
    pub(crate) fn containers(&self) -> Vec<String> {
        let found = chapada_shim::recover(&self.runtime_dir()).unwrap();
        found.into_iter().map(|found| found.id).collect()
    }

    pub(crate) fn cgroups(&self) -> Cgroups {
        Cgroups::discover(self.config.cgroups_root.clone().unwrap()).unwrap()
    }
}

impl Drop for TestAgent {
    fn drop(&mut self) {
        let cgroups = self.cgroups();
        // With those in others, which are found beside them and have groups below theirs.
        self.containers().iter().for_each(|container| cgroups.group(container).kill().unwrap());
        for container in self.containers() {
            chapada_shim::cleanup(&cgroups, &self.runtime_dir(), &container).unwrap();
        }
        let has_failed = std::thread::panicking();
        if has_failed && let Err(error) = cgroups.group(chapada_isolation::cgroup::SHIMS).kill() {
            // Nobody stopped an agent in this process, so its zygote is still there.
            eprintln!("{error}");
        }
        // The last shim leaves its group a moment after its container is gone.
        let deadline = std::time::Instant::now() + super::PATIENCE;
        while let Err(error) = cgroups.remove() {
            if has_failed && std::time::Instant::now() > deadline {
                eprintln!("{error}");
                break;
            }
            assert!(std::time::Instant::now() < deadline, "{error}");
            std::thread::yield_now();
        }
        if has_failed && let Some(directory) = self.directory.take() {
            eprintln!("kept {}", directory.keep().display());
        }
    }
}

/// An agent in this process.
pub(crate) struct InProcess {
    stop: CancellationToken,
    task: JoinHandle<Result<(), AgentError>>,
}

impl InProcess {
    pub(crate) fn start(agent: &TestAgent) -> Self {
        let stop = CancellationToken::new();
        Self { task: tokio::spawn(run(agent.config.clone(), stop.clone())), stop }
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

/// An agent in a process of its own, to be killed.
pub(crate) struct AgentProcess(Child);

impl AgentProcess {
    /// Starts this very test program again; its test `agent_process` then is the agent.
    pub(crate) fn start(agent: &TestAgent) -> Self {
        Self::start_within(agent, &[])
    }

    /// The same, in these cgroups.
    pub(crate) fn start_within(agent: &TestAgent, groups: &[PathBuf]) -> Self {
        Self::spawn(agent, groups, &std::env::current_exe().unwrap())
    }

    /// The test program of another build.
    pub(crate) fn start_build(agent: &TestAgent, program: &Path) -> Self {
        Self::spawn(agent, &[], program)
    }

    fn spawn(agent: &TestAgent, groups: &[PathBuf], program: &Path) -> Self {
        let child = Command::new("/bin/sh")
            .args([
                "-c",
                r#"for group in $GROUPS_OF_IT; do echo $$ > "$group/cgroup.procs"; done; exec "$0" "$@""#,
            ])
            .arg(program)
            .args(["--exact", "restart::agent_process", "--nocapture"])
            .env(
                "GROUPS_OF_IT",
                groups.iter().map(|group| group.to_str().unwrap()).collect::<Vec<_>>().join(" "),
            )
            .env(CONFIG, serde_json::to_string(&agent.config).unwrap())
            .stdout(Stdio::null())
            .stderr(agent.log())
            .spawn();
        Self(child.unwrap())
    }

    /// The number of the process.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Whether somebody else has ended it.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for AgentProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// This very test program, whose test `fetcher_process` then is the fetcher.
fn fetcher() -> Vec<String> {
    let program = std::env::current_exe().unwrap().to_str().unwrap().to_owned();
    [program.as_str(), "--exact", "fetch::fetcher_process", "--nocapture"].map(str::to_owned).to_vec()
}

/// The body of the test `agent_process`: nothing, unless this process was started as an agent.
pub(crate) fn run_if_asked() {
    let Ok(config) = std::env::var(CONFIG) else { return };
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(tracing::Level::INFO).init();
    let config = serde_json::from_str(&config).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    if let Err(error) = runtime.block_on(run(config, CancellationToken::new())) {
        let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
        panic!("{}", causes.map(ToString::to_string).collect::<Vec<_>>().join(": "));
    }
}
