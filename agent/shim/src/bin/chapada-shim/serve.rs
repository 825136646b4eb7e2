//! Stands by a container until its end.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, SystemTime};

use chapada_isolation::cgroup::{Group, OomReport};
use chapada_isolation::{Context, clone3, descriptors, process};
use chapada_shim::runtime_dir::{self, Durability, EXIT, SOCKET, STATE};
use chapada_shim::{
    ContainerSpec, ContainerState, Event, ExitReport, LaunchOrder, Outcome, PROTOCOL_VERSION, Pid1, Request,
    SetupError, SetupFailure,
};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::clients::{Asked, Clients};
use crate::complain::complain;
use crate::container::{self, Container};
use crate::ready::Ready;
use crate::sessions::Sessions;
use crate::terminal::Shown;

/// How long to wait before the exit report is written again: a full disk is emptied by people.
const WRITE_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Makes the container and stays until its end is on disk. What goes wrong on the way is a report, too.
pub(crate) fn serve(order: &LaunchOrder, ready: Ready) -> Result<(), String> {
    let runtime_dir = order.spec.runtime_dir.as_path();
    let first =
        take_standard_output().map_err(|error| format!("cannot keep the agent's connection: {error}"))?;
    let group = order.cgroups.group_within(&order.spec.within, &order.spec.id);
    let listener = listen(runtime_dir).context("listen in", runtime_dir.display());
    let listener = listener.map_err(container::of(SetupFailure::Shim));
    let (listener, container) = match listener {
        Ok(listener) => (Some(listener), container::make(order, &group, ready)),
        Err(error) => (None, Err(error)),
    };
    let mut clients = Clients::new(listener, first);
    let report = match container {
        Ok(container) => {
            let mut watch = Watch::new(order, container, group);
            if let Err(error) = note_state(runtime_dir, &watch) {
                complain(format_args!("cannot note the state: {error}; the container runs on"));
            }
            watch.until_the_end(&mut clients)
        }
        Err(error) => report(Outcome::NotStarted { error }, false, &group),
    };
    write_down(runtime_dir, &report);
    clients.tell(&Event::Exited { report: Box::new(report) });
    Ok(())
}

/// Returns when the report is on disk, or when there is no directory any more to write it to: then nobody wants it.
fn write_down(runtime_dir: &Path, report: &ExitReport) {
    let mut complained = false;
    while let Err(error) = runtime_dir::write_record(runtime_dir, EXIT, report, Durability::Machine) {
        if !complained {
            complain(format_args!("cannot write the exit report: {error}"));
            complained = true;
        }
        if error.kind() == io::ErrorKind::NotFound {
            return;
        }
        std::thread::sleep(WRITE_AGAIN_AFTER);
    }
}

/// Makes standard output the first connection, and lets go of the order, which may hold secrets.
fn take_standard_output() -> io::Result<UnixStream> {
    let first = UnixStream::from(io::stdout().as_fd().try_clone_to_owned()?);
    first.set_nonblocking(true)?;
    let nothing = File::open("/dev/null")?;
    for number in 0..2 {
        descriptors::install(&nothing, number).map_err(|error| error.source)?;
    }
    Ok(first)
}

fn listen(runtime_dir: &Path) -> io::Result<UnixListener> {
    let directory = File::open(runtime_dir)?;
    let path = runtime_dir::through(&directory, SOCKET);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn note_state(runtime_dir: &Path, watch: &Watch<'_>) -> io::Result<()> {
    let state = ContainerState {
        version: PROTOCOL_VERSION,
        pid: watch.container.pid,
        start_time: watch.start_time,
        shim_pid: i32::try_from(std::process::id()).unwrap_or(0),
        boot_id: process::boot_id()?,
    };
    runtime_dir::write_record(runtime_dir, STATE, &state, Durability::Process)?;
    if let Err(error) = runtime_dir::reserve_record(runtime_dir, EXIT) {
        complain(format_args!("cannot keep room for the exit report: {error}"));
    }
    Ok(())
}

/// A container and what is known of it.
struct Watch<'a> {
    container: Container,
    group: Group,
    spec: &'a ContainerSpec,
    sessions: Sessions,
    start_time: u64,
    phase: Phase,
    /// The kernel began to kill for want of memory.
    out_of_memory: bool,
}

enum Phase {
    SettingUp,
    Running,
    Failed(SetupError),
}

impl<'a> Watch<'a> {
    fn new(order: &'a LaunchOrder, container: Container, group: Group) -> Self {
        // Process 1 is our child: until we wait for it, it has a start time, even when it has ended.
        let start_time = process::start_time(container.pid).unwrap_or(0);
        Self {
            container,
            group,
            spec: &order.spec,
            sessions: Sessions::default(),
            start_time,
            phase: Phase::SettingUp,
            out_of_memory: false,
        }
    }

    fn until_the_end(&mut self, clients: &mut Clients) -> ExitReport {
        loop {
            self.wait(clients);
            self.follow_terminal();
            self.follow_setup(clients);
            self.follow_memory();
            for asked in clients.requests(&self.standing()) {
                self.carry_out(asked, clients);
            }
            self.sessions.follow(clients);
            if let Some(status) = self.ended() {
                return self.conclude(status, clients);
            }
        }
    }

    /// Until something has happened.
    fn wait(&self, clients: &Clients) {
        let mut watched: Vec<BorrowedFd<'_>> = vec![self.container.pidfd.as_fd()];
        if matches!(self.phase, Phase::SettingUp) {
            watched.push(self.container.setup.as_fd());
        }
        if let Some(oom) = self.container.oom.as_ref().filter(|_| !self.out_of_memory) {
            watched.push(oom.as_fd());
        }
        watched.extend(self.container.terminal.as_ref().and_then(Shown::descriptor));
        watched.extend(clients.descriptors());
        watched.extend(self.sessions.descriptors());
        let mut watched: Vec<_> =
            watched.into_iter().map(|descriptor| PollFd::new(descriptor, PollFlags::POLLIN)).collect();
        match poll(&mut watched, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            // Only want of memory is left as a reason; the pause keeps the retry from taking a processor.
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }

    fn standing(&self) -> Event {
        match self.phase {
            Phase::SettingUp | Phase::Failed(_) => Event::Starting,
            Phase::Running => Event::Started { pid: self.container.pid, start_time: self.start_time },
        }
    }

    fn follow_terminal(&mut self) {
        if let Some(terminal) = &mut self.container.terminal {
            terminal.follow(self.container.pump.as_mut());
        }
    }

    /// The pipe ends when the command's `execve` has closed the last copy of it.
    fn follow_setup(&mut self, clients: &mut Clients) {
        if !matches!(self.phase, Phase::SettingUp) {
            return;
        }
        let mut told = Vec::new();
        match (&self.container.setup).take(64 * 1024).read_to_end(&mut told) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && told.is_empty() => {}
            _ => {
                match serde_json::from_slice(&told) {
                    Ok(error) => self.phase = Phase::Failed(error),
                    Err(_) => {
                        self.phase = Phase::Running;
                        clients.tell(&self.standing());
                    }
                }
                drop(self.container.turn.take());
            }
        }
    }

    /// v1 kills one process and lets the rest limp on; a container is one thing, so all of it goes. v2 does so by itself.
    fn follow_memory(&mut self) {
        if !self.out_of_memory && self.container.oom.as_ref().is_some_and(|oom| oom.noticed()) {
            self.out_of_memory = true;
            if let Err(error) = self.group.kill() {
                complain(format_args!("{error}: {}", error.source));
            }
        }
    }

    fn carry_out(&mut self, asked: Asked, clients: &mut Clients) {
        let result = match asked.request {
            Request::Status => {
                clients.tell(&self.standing());
                Ok(())
            }
            Request::Kill { signal: libc::SIGSTOP } if self.spec.pid1 == Pid1::Init => {
                Err("SIGSTOP cannot be forwarded; send SIGTSTP".to_owned())
            }
            Request::Kill { signal } if signal < 1 => Err("a signal's number is at least 1".to_owned()),
            Request::Kill { signal } => {
                clone3::signal(self.container.pidfd.as_fd(), signal).map_err(|error| error.to_string())
            }
            Request::Destroy => self.group.kill().map_err(|error| format!("{error}: {}", error.source)),
            Request::Exec { .. } if matches!(self.phase, Phase::Running) => {
                let container = (self.container.pidfd.as_fd(), &self.group);
                return self.sessions.begin(asked, self.spec, container, clients);
            }
            // Its environment is not for others to hear.
            Request::Exec { .. } => {
                let message = "the container does not run yet".to_owned();
                return clients.tell_one(asked.by, &Event::Refused { request: Request::Status, message });
            }
            Request::Attach => match &self.container.pump {
                Some(pump) => match pump.attach(asked.files) {
                    Ok(()) => return clients.tell_one(asked.by, &Event::Attached),
                    Err(error) => Err(format!("it writes nothing any more: {error}")),
                },
                None => Err("it writes its logs itself".to_owned()),
            },
            Request::TakeTerminal => match &self.container.terminal {
                Some(terminal) => terminal.give(clients, asked.by),
                None => Err("it has no terminal".to_owned()),
            },
            Request::SignalSession { signal } => self.sessions.signal(asked.by, signal),
        };
        if let Err(message) = result {
            let refused = Event::Refused { request: asked.request, message };
            match refused {
                Event::Refused { request: Request::Attach | Request::TakeTerminal, .. } => {
                    clients.tell_one(asked.by, &refused);
                }
                _ => clients.tell(&refused),
            }
        }
    }

    /// The wait status of process 1, once it has ended.
    fn ended(&self) -> Option<i32> {
        let mut status = 0;
        // SAFETY: the status outlives the call, and process 1 is our child.
        let result = unsafe { libc::waitpid(self.container.pid, &raw mut status, libc::WNOHANG) };
        (result == self.container.pid).then_some(status)
    }

    fn conclude(&mut self, status: i32, clients: &mut Clients) -> ExitReport {
        // The last words may have come between the look at the pipe and the look at the process.
        self.follow_terminal();
        self.follow_setup(clients);
        self.follow_memory();
        if let Some(pump) = &mut self.container.pump {
            pump.finish();
        }
        // Nothing outlives the task. Process 1 took its pid namespace with it; this is for what entered from outside.
        if let Err(error) = self.group.kill() {
            complain(format_args!("{error}: {}", error.source));
        }
        self.sessions.end_all(clients);
        let outcome = match std::mem::replace(&mut self.phase, Phase::Running) {
            Phase::Failed(error) => Outcome::NotStarted { error },
            Phase::SettingUp | Phase::Running => Outcome::from_wait_status(self.command_status(status)),
        };
        report(outcome, self.out_of_memory, &self.group)
    }

    /// Our init passes on the command's status before it ends; if it was killed itself, its own is the container's.
    fn command_status(&self, of_process_1: i32) -> i32 {
        let mut bytes = [0; 4];
        match (&self.container.status).read_exact(&mut bytes) {
            Ok(()) => i32::from_ne_bytes(bytes),
            Err(_) => of_process_1,
        }
    }
}

fn report(outcome: Outcome, out_of_memory: bool, group: &Group) -> ExitReport {
    let usage = group.last_statistics().unwrap_or_default();
    let oom = (out_of_memory || usage.oom_kills > 0).then_some(OomReport {
        limit_bytes: usage.memory_limit_bytes,
        peak_bytes: usage.memory_peak_bytes,
        kills: usage.oom_kills,
    });
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let ended_ms = u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX);
    ExitReport { version: PROTOCOL_VERSION, outcome, oom, ended_ms, usage }
}
