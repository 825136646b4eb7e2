//! A whole cluster on this machine: one master on the embedded store, one agent, the services framework, the web UI,
//! each a process of its own, and a sample app.

mod process;
mod sample;
mod timing;

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use crate::client::{Api, Cluster};
use process::{Daemon, Memory};

/// Processes on one idle machine are up in well under a second; this bounds a machine under load.
const UP_WITHIN: Duration = Duration::from_secs(30);
/// How long the tasks may take to end when the cluster is taken down.
const DOWN_WITHIN: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(20);

#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    /// Where the daemons keep what they must not forget, and their logs.
    #[arg(long, default_value_os_t = std::env::temp_dir().join("chapada-dev"), value_name = "FOLDER")]
    work_dir: PathBuf,
    /// The master's port; the web UI is there too.
    #[arg(long, default_value_t = 5050)]
    port: u16,
    /// The agent's port.
    #[arg(long, default_value_t = 5051)]
    agent_port: u16,
    /// The port of the services framework.
    #[arg(long, default_value_t = 8080)]
    services_port: u16,
    /// Starts the cluster without the sample app.
    #[arg(long)]
    no_sample: bool,
    /// Ends the cluster as soon as the sample app runs, as a self-test.
    #[arg(long, conflicts_with = "no_sample")]
    once: bool,
}

/// Runs until Ctrl-C or until a daemon ends by itself, then takes everything down again, tasks included.
pub(crate) fn run(args: DevArgs) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("chapada dev makes real containers, and that needs root: run it with sudo");
    }
    for port in [args.port, args.agent_port, args.services_port] {
        TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).with_context(|| {
            format!("port {port} is taken; choose others with --port, --agent-port and --services-port")
        })?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(cluster(&args))
}

async fn cluster(args: &DevArgs) -> Result<()> {
    let mut stop = Stop::new()?;
    let mut daemons = start(args)?;
    let api = Api::find(&Cluster::at(format!("127.0.0.1:{}", args.port))).await?;
    let memories: Vec<Memory> = daemons.iter().map(Daemon::memory).collect();
    let outcome = tokio::select! {
        outcome = show(&api, args, &memories) => outcome,
        () = stop.asked() => Ok(()),
        error = process::first_to_end(&mut daemons) => Err(error),
    };
    if outcome.is_ok() && !args.once {
        tokio::select! {
            () = stop.asked() => {}
            error = process::first_to_end(&mut daemons) => eprintln!("chapada: {error:#}"),
        }
    }
    take_down(&api, daemons).await?;
    outcome
}

fn start(args: &DevArgs) -> Result<Vec<Daemon>> {
    let master = format!("127.0.0.1:{}", args.port);
    let spawn = |name: &'static str, port: u16, more: &[&str]| {
        let port = port.to_string();
        let mut flags = vec!["--ip", "127.0.0.1", "--port", &port];
        flags.extend(more);
        Daemon::spawn(name, &args.work_dir, &flags)
    };
    Ok(vec![
        spawn("master", args.port, &["--cluster", "dev"])?,
        spawn(
            "agent",
            args.agent_port,
            &["--master", &master, "--hostname", "localhost", "--allow-host-root"],
        )?,
        spawn("services", args.services_port, &["--master", &master])?,
    ])
}

async fn show(api: &Api, args: &DevArgs, memories: &[Memory]) -> Result<()> {
    until("the agent is registered", || async {
        let agents = api.get("/query/v1/agents").await.ok()?;
        agents["items"].as_array().filter(|agents| !agents.is_empty()).map(|_| ())
    })
    .await?;
    eprintln!("web UI    http://localhost:{}", args.port);
    eprintln!("services  http://localhost:{}", args.services_port);
    eprintln!("logs      {}", args.work_dir.join("logs").display());
    eprintln!("tasks may run as root of this machine (--allow-host-root); an agent refuses that by default");
    if args.no_sample {
        return Ok(());
    }
    sample::deploy(api).await?;
    let first = until("the sample app runs", || timing::first_running(api)).await?;
    // Not `println!`: a reader that has left must not keep the cluster from being taken down.
    let mut out = std::io::stdout();
    writeln!(out, "first_task_running = {} ms after the agent's registration", first.after_registration_ms)?;
    writeln!(out, "post_to_running = {} ms", first.after_staging_ms)?;
    for memory in memories {
        writeln!(out, "rss_{} = {:.1} MiB", memory.name, memory.resident_mib()?)?;
    }
    eprintln!("the sample app {} runs; Ctrl-C ends the cluster and its tasks", sample::APP);
    Ok(())
}

/// Ends the apps while there still is a cluster to end them, then the daemons, the last started first.
async fn take_down(api: &Api, daemons: Vec<Daemon>) -> Result<()> {
    let quiet = async {
        sample::remove_all(api).await?;
        until("all tasks have ended", || async {
            let tasks = api.get("/query/v1/tasks?limit=500").await.ok()?;
            tasks["items"].as_array().filter(|tasks| tasks.iter().all(ended)).map(|_| ())
        })
        .await
    };
    match tokio::time::timeout(DOWN_WITHIN, quiet).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => eprintln!("chapada: tasks may be left running: {error:#}"),
        Err(_) => eprintln!("chapada: tasks may be left running: they did not end within {DOWN_WITHIN:?}"),
    }
    for daemon in daemons.into_iter().rev() {
        daemon.stop().await?;
    }
    Ok(())
}

fn ended(task: &Value) -> bool {
    let live = ["TASK_STAGING", "TASK_STARTING", "TASK_RUNNING", "TASK_KILLING"];
    task["state"].as_str().is_some_and(|state| !live.contains(&state))
}

/// Looks until there is an answer.
async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> Result<T> {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::time::timeout(UP_WITHIN, looking)
        .await
        .with_context(|| format!("waited {UP_WITHIN:?} until {what}"))
}

/// Ctrl-C and SIGTERM.
struct Stop {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Stop {
    fn new() -> Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
