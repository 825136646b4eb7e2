//! R7: how long a task outlives its KILL, and its grace period where it uses that up, while something of it hangs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chapada_wire::v1;
use chapada_wire::v1::TaskState;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::framework::{CPUS, Framework, MEM, WITHIN};
use crate::figure::{Figure, percentile};
use crate::loopback::fleet;

const GRACE: Duration = Duration::from_millis(500);
/// Between two looks for a file.
const LOOK: Duration = Duration::from_millis(2);

/// What hangs.
#[derive(Clone, Copy)]
enum Hung {
    /// The task ignores SIGTERM, and so does what it left behind in a session of its own.
    Task,
    /// Its check.
    Check,
    /// The server that its artifact is fetched from.
    Fetch,
    /// The registry of its image.
    Registry,
}

impl Hung {
    const ALL: [(Self, &str, &str); 4] = [
        (
            Self::Task,
            "ignoring",
            "beyond 500 ms of grace; SIGTERM ignored, also by a process in a session of its own",
        ),
        (Self::Check, "check", "a COMMAND check that hangs"),
        (Self::Fetch, "fetch", "a server of artifacts that never answers"),
        (Self::Registry, "pull", "a registry that never answers"),
    ];
}

/// A server that takes connections and says nothing; it tells of each.
struct Silent {
    address: SocketAddr,
    connections: mpsc::Receiver<TcpStream>,
}

impl Silent {
    async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (tell, connections) = mpsc::channel(64);
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                if tell.send(connection).await.is_err() {
                    return;
                }
            }
        });
        Ok(Self { address, connections })
    }
}

/// `folder` is one that tasks without an image see as it is.
pub(super) async fn run(
    framework: &mut Framework,
    folder: &Path,
    count: usize,
    suffix: &str,
) -> Result<Vec<Figure>> {
    let mut silent = Silent::start().await?;
    let mut figures = Vec::new();
    for (hung, name, what) in Hung::ALL {
        let mut times = Vec::with_capacity(count);
        for number in 0..count {
            let id = format!("{name}-{number}");
            let there = folder.join(format!("there-{id}"));
            times.push(one(framework, hung, &id, &there, &mut silent).await?);
        }
        let shape = format!("{count} tasks one after the other, KILL to TASK_KILLED; {what}");
        let worst = times.iter().copied().fold(0.0, f64::max);
        let figure = |what: &str, value: f64| {
            Figure::new(&format!("R7.{what}_{name}{suffix}"), value * 1e3, "ms", &shape)
        };
        figures.extend([figure("kill_p50", percentile(&mut times, 0.5)), figure("kill_max", worst)]);
    }
    Ok(figures)
}

/// Seconds from the KILL of a task that hangs to its end, its grace period taken off where that had to pass.
async fn one(
    framework: &mut Framework,
    hung: Hung,
    id: &str,
    there: &Path,
    silent: &mut Silent,
) -> Result<f64> {
    let address = silent.address;
    framework.accept(CPUS, |agent| vec![task(hung, id, agent, there, address)]).await?;
    match hung {
        Hung::Task | Hung::Check => {
            until(framework, id, TaskState::TaskRunning).await?;
            appears(there.to_owned()).await?;
        }
        Hung::Fetch | Hung::Registry => {
            let asked = tokio::time::timeout(WITHIN, silent.connections.recv()).await;
            // Held open by nobody else, so it stays until the task has ended.
            let connection = asked.context("nobody asks the server")?.context("the server ended")?;
            return killed(framework, id, Duration::ZERO).await.inspect(|_| drop(connection));
        }
    }
    let grace = if matches!(hung, Hung::Task) { GRACE } else { Duration::ZERO };
    let taken = killed(framework, id, grace).await;
    std::fs::remove_file(there)?;
    taken
}

async fn killed(framework: &mut Framework, id: &str, grace: Duration) -> Result<f64> {
    let begun = Instant::now();
    framework.kill(id.to_owned()).await?;
    until(framework, id, TaskState::TaskKilled).await?;
    let taken = begun.elapsed();
    ensure!(taken >= grace, "it ended within its grace period, so that it did not hang: {taken:?}");
    Ok((taken - grace).as_secs_f64())
}

async fn until(framework: &mut Framework, id: &str, state: TaskState) -> Result<()> {
    loop {
        let Some((of, status)) = framework.update().await? else { continue };
        if of == id && status.state() == state {
            return Ok(());
        }
        ensure!(
            matches!(
                status.state(),
                TaskState::TaskStarting | TaskState::TaskRunning | TaskState::TaskKilling
            ),
            "it ended by itself: {status:?}"
        );
    }
}

async fn appears(file: PathBuf) -> Result<()> {
    let begun = Instant::now();
    while !file.exists() {
        ensure!(begun.elapsed() < WITHIN, "{} does not appear", file.display());
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

fn task(hung: Hung, id: &str, agent: &v1::AgentId, there: &Path, silent: SocketAddr) -> v1::TaskInfo {
    let plain = fleet::task(id, agent.value.as_deref().unwrap_or_default(), CPUS, MEM);
    let shell = |line: String| v1::CommandInfo { value: Some(line), ..v1::CommandInfo::default() };
    let stays = Some(shell("exec sleep 1000".to_owned()));
    let there = there.display();
    match hung {
        Hung::Task => {
            let nanoseconds = i64::try_from(GRACE.as_nanos()).ok();
            let grace_period = Some(v1::DurationInfo { nanoseconds });
            let line = format!(
                "trap '' TERM; (setsid sh -c 'while :; do sleep 1; done' &); touch {there}; while :; do sleep 1; done"
            );
            v1::TaskInfo {
                command: Some(shell(line)),
                kill_policy: Some(v1::KillPolicy { grace_period }),
                ..plain
            }
        }
        Hung::Check => {
            let command = Some(shell(format!("touch {there}; exec sleep 1000")));
            let check = v1::CheckInfo {
                r#type: Some(v1::check_info::Type::Command.into()),
                command: Some(v1::check_info::Command { command }),
                delay_seconds: Some(0.0),
                timeout_seconds: Some(1000.0),
                ..v1::CheckInfo::default()
            };
            v1::TaskInfo { command: stays, check: Some(check), ..plain }
        }
        Hung::Fetch => {
            let uri = v1::command_info::Uri {
                value: Some(format!("http://{silent}/never")),
                ..v1::command_info::Uri::default()
            };
            v1::TaskInfo {
                command: stays.map(|command| v1::CommandInfo { uris: vec![uri], ..command }),
                ..plain
            }
        }
        Hung::Registry => {
            let docker = v1::container_info::DockerInfo {
                image: Some(format!("{silent}/{id}")),
                ..v1::container_info::DockerInfo::default()
            };
            let container = v1::ContainerInfo {
                r#type: Some(v1::container_info::Type::Docker.into()),
                docker: Some(docker),
                ..v1::ContainerInfo::default()
            };
            v1::TaskInfo { command: stays, container: Some(container), ..plain }
        }
    }
}
