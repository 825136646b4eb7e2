//! Programs that run in the container beside the command, each for as long as somebody holds its connection.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use chapada_isolation::cgroup::{Group, SubGroup};
use chapada_isolation::clone3::{self, Clone3, Cloned};
use chapada_isolation::{Context, IsolationError, descriptors};
use chapada_shim::{ContainerSpec, Event, ExecSpec, Outcome, Request, SetupError, SetupFailure};

use crate::clients::{Asked, ClientId, Clients};
use crate::complain::complain;
use crate::container::of;
use crate::enter::{self, Entering};

/// Those that run, and how many there were.
#[derive(Default)]
pub(crate) struct Sessions {
    running: Vec<Session>,
    begun: u64,
}

struct Session {
    client: ClientId,
    /// Ends empty when the program runs, or carries a [`SetupError`].
    setup: Option<File>,
    stage: Stage,
    /// What is left of it when the program has ended.
    group: SubGroup,
    failed: Option<SetupError>,
}

enum Stage {
    /// A process of ours is on its way into the container; it says here which number its child, the program, has.
    Entering {
        pid: i32,
        born: File,
    },
    Running {
        pid: i32,
        pidfd: OwnedFd,
    },
}

impl Sessions {
    /// What to poll for reading.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.running.iter().flat_map(|session| {
            let stage = match &session.stage {
                Stage::Entering { born, .. } => born.as_fd(),
                Stage::Running { pidfd, .. } => pidfd.as_fd(),
            };
            [Some(stage), session.setup.as_ref().map(AsFd::as_fd)].into_iter().flatten()
        })
    }

    /// Starts what a client asked for. What goes wrong is how the session ends.
    pub(crate) fn begin(
        &mut self,
        asked: Asked,
        spec: &ContainerSpec,
        container: (BorrowedFd<'_>, &Group),
        clients: &mut Clients,
    ) {
        let Request::Exec { spec: wanted } = &asked.request else { return };
        if self.running.iter().any(|session| session.client == asked.by) {
            let message = "a connection has one session".to_owned();
            clients.tell_one(asked.by, &Event::Refused { request: Request::Status, message });
            return;
        }
        let name = format!("session-{}", self.begun);
        self.begun += 1;
        match Session::start(&asked, wanted, spec, container, &name, clients) {
            Ok(session) => self.running.push(session),
            Err(error) => end(asked.by, Outcome::NotStarted { error }, clients),
        }
    }

    /// Sends a signal to the process group of a client's session.
    pub(crate) fn signal(&self, client: ClientId, signal: i32) -> Result<(), String> {
        let session = self.running.iter().find(|session| session.client == client);
        match session.map(|session| &session.stage) {
            Some(Stage::Running { pid, .. }) if signal > 0 => {
                // SAFETY: plain numbers. The program leads a process group of its own number, which is not given to another
                // as long as we have not waited for it.
                let result = unsafe { libc::kill(-pid, signal) };
                if result < 0 { Err(std::io::Error::last_os_error().to_string()) } else { Ok(()) }
            }
            _ => Err("this connection has no running session".to_owned()),
        }
    }

    /// Notes what has happened, and ends the sessions that nobody holds any more.
    pub(crate) fn follow(&mut self, clients: &mut Clients) {
        self.running.retain_mut(|session| {
            if clients.stream(session.client).is_none() {
                session.kill();
            }
            session.follow(clients)
        });
    }

    /// Ends all, with their container.
    pub(crate) fn end_all(&mut self, clients: &mut Clients) {
        for session in &mut self.running {
            session.kill();
        }
        while !self.running.is_empty() {
            self.running.retain_mut(|session| session.wait(clients));
        }
    }
}

impl Session {
    fn start(
        asked: &Asked,
        wanted: &ExecSpec,
        spec: &ContainerSpec,
        (container, group): (BorrowedFd<'_>, &Group),
        name: &str,
        clients: &Clients,
    ) -> Result<Self, SetupError> {
        let invalid =
            |reason: &str| of(SetupFailure::Order)(IsolationError::invalid("run", "a program", reason));
        wanted.validate().map_err(|error| invalid(&error.to_string()))?;
        if asked.files.len() != if wanted.terminal.is_some() { 0 } else { 3 } {
            return Err(invalid("it needs three streams, or a terminal"));
        }
        let connection = clients.stream(asked.by).ok_or_else(|| invalid("its connection is gone"))?;
        let tasks = group.open_tasks().map_err(of(SetupFailure::Cgroup))?;
        let group = group.create_below(name).map_err(of(SetupFailure::Cgroup))?;
        let into = group.open().map_err(of(SetupFailure::Cgroup))?;
        let (setup, child_setup) = descriptors::pipe().map_err(of(SetupFailure::Shim))?;
        let (born, child_born) = descriptors::pipe().map_err(of(SetupFailure::Shim))?;
        let clone = Clone3 { namespaces: 0, into_cgroup: into.as_ref().map(AsFd::as_fd), of_parent: false };
        // SAFETY: this program never starts a thread.
        match unsafe { clone.run() }.map_err(of(SetupFailure::Namespace))? {
            Cloned::Child(_) => {
                let files = &asked.files;
                enter::run(Entering {
                    spec,
                    wanted,
                    files,
                    container,
                    tasks,
                    connection,
                    setup: child_setup,
                    born: child_born,
                })
            }
            Cloned::Parent { pid, .. } => {
                let stage = Stage::Entering { pid, born };
                Ok(Self { client: asked.by, setup: Some(setup), stage, group, failed: None })
            }
        }
    }

    fn kill(&self) {
        if let Stage::Running { pid, pidfd } = &self.stage {
            // Where there is no group of its own to kill, what left the process group stays until the container ends.
            // SAFETY: plain numbers; see `Sessions::signal`.
            unsafe { libc::kill(-pid, libc::SIGKILL) };
            let _it_has_ended = clone3::signal(pidfd.as_fd(), libc::SIGKILL);
        }
        if let Err(error) = self.group.kill() {
            complain(format_args!("{error}: {}", error.source));
        }
    }

    /// Whether it goes on.
    fn follow(&mut self, clients: &mut Clients) -> bool {
        if let Stage::Entering { pid, born } = &mut self.stage {
            let mut number = [0; 4];
            match born.read(&mut number) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return true,
                Ok(4) => match self.run(i32::from_ne_bytes(number)) {
                    Ok(()) => {}
                    Err(error) => return self.conclude(Outcome::NotStarted { error }, clients),
                },
                _ => {
                    let status = reap(*pid);
                    let outcome = self.setup_failure().unwrap_or(Outcome::from_wait_status(status));
                    return self.conclude(outcome, clients);
                }
            }
        }
        self.follow_setup(clients);
        match self.ended() {
            Some(status) => {
                let outcome = self.setup_failure().unwrap_or(Outcome::from_wait_status(status));
                self.conclude(outcome, clients)
            }
            None => true,
        }
    }

    /// The way in is behind us.
    fn run(&mut self, program: i32) -> Result<(), SetupError> {
        if let Stage::Entering { pid, .. } = self.stage {
            reap(pid);
        }
        let pidfd = clone3::open(program).context("hold", "the program").map_err(of(SetupFailure::Shim))?;
        self.stage = Stage::Running { pid: program, pidfd };
        Ok(())
    }

    fn follow_setup(&mut self, clients: &mut Clients) {
        let Some(setup) = &mut self.setup else { return };
        let mut told = Vec::new();
        match setup.take(64 * 1024).read_to_end(&mut told) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock && told.is_empty() => return,
            _ => self.failed = serde_json::from_slice(&told).ok(),
        }
        self.setup = None;
        if let (None, Stage::Running { pid, .. }) = (&self.failed, &self.stage) {
            clients.tell_one(self.client, &Event::SessionStarted { pid: *pid });
        }
    }

    /// Why the program never ran, if so. To be asked when it has ended.
    fn setup_failure(&mut self) -> Option<Outcome> {
        let mut told = Vec::new();
        if let Some(mut setup) = self.setup.take() {
            let _nothing_told = setup.read_to_end(&mut told);
            self.failed = serde_json::from_slice(&told).ok();
        }
        self.failed.take().map(|error| Outcome::NotStarted { error })
    }

    fn ended(&self) -> Option<i32> {
        let Stage::Running { pid, .. } = self.stage else { return None };
        let mut status = 0;
        // SAFETY: the status outlives the call, and the program is our child.
        let result = unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) };
        (result == pid).then_some(status)
    }

    fn conclude(&self, outcome: Outcome, clients: &mut Clients) -> bool {
        self.kill();
        self.group.remove_if_empty();
        end(self.client, outcome, clients);
        false
    }

    /// Until something has happened to one that has been killed.
    fn wait(&mut self, clients: &mut Clients) -> bool {
        let descriptor = match &self.stage {
            Stage::Entering { born, .. } => born.as_fd(),
            Stage::Running { pidfd, .. } => pidfd.as_fd(),
        };
        descriptors::wait_readable(descriptor);
        self.follow(clients)
    }
}

fn end(client: ClientId, outcome: Outcome, clients: &mut Clients) {
    clients.tell_one(client, &Event::SessionEnded { outcome });
    clients.part_with(client);
}

/// Waits for a child that ends by itself.
fn reap(pid: i32) -> i32 {
    let mut status = 0;
    // SAFETY: the status outlives the call.
    while unsafe { libc::waitpid(pid, &raw mut status, 0) } < 0
        && nix::errno::Errno::last() == nix::errno::Errno::EINTR
    {}
    status
}
