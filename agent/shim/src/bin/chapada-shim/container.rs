//! Makes the container, as far as that is done from outside.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use chapada_isolation::cgroup::{DeviceRule, Group, OomWatch, Quota};
use chapada_isolation::clone3::{self, Clone3, Cloned};
use chapada_isolation::namespaces::JoinedNamespace;
use chapada_isolation::{Context, IsolationError, descriptors};
use chapada_shim::{LaunchOrder, SetupError, SetupFailure};

use crate::child;
use crate::filesystem::Files;
use crate::pump::Pump;
use crate::ready::{Ready, Turn};
use crate::terminal::Shown;

/// A container whose process 1 exists. It may not have come to its command yet.
pub(crate) struct Container {
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
    /// Ends empty when the command runs, or carries a [`SetupError`].
    pub(crate) setup: File,
    /// Our init writes the command's wait status here.
    pub(crate) status: File,
    pub(crate) oom: Option<OomWatch>,
    /// Until its command runs, or cannot.
    pub(crate) turn: Option<Turn>,
    /// Writes its logs, if these have limits.
    pub(crate) pump: Option<Pump>,
    /// Of its command, if it has one.
    pub(crate) terminal: Option<Shown>,
}

/// What the child needs of what was opened outside.
pub(crate) struct Opened {
    pub(crate) files: Files,
    pub(crate) stdin: File,
    /// What the command writes to: its logs, or pipes to them.
    pub(crate) streams: [File; 2],
    /// Where a terminal goes that it makes instead.
    pub(crate) terminal: Option<UnixStream>,
    /// In the order of the spec.
    pub(crate) joined: Vec<File>,
    /// Made ahead, its `lo` up.
    pub(crate) network: Option<OwnedFd>,
    pub(crate) tasks: Vec<File>,
    /// Set when all has been made.
    pub(crate) quota: Option<Quota>,
    pub(crate) setup: File,
    pub(crate) status: File,
}

/// Makes groups and files, then process 1. On failure what was made stays, for the agent to clean up.
pub(crate) fn make(order: &LaunchOrder, group: &Group, ready: Ready) -> Result<Container, SetupError> {
    let spec = &order.spec;
    let Ready { network, ids, turn } = ready;
    let network = network.filter(|_| spec.namespaces.network);
    let files = Files::open(spec, ids.as_ref())?;
    let (mut pump, streams) = match spec.logs {
        None => (None, files.clone_logs()?),
        Some(limits) => {
            let (pump, streams) = Pump::new(files.sandbox(), files.clone_logs()?, limits)?;
            (Some(pump), streams)
        }
    };
    let (shown, terminal) = match spec.terminal {
        None => (None, None),
        Some(_) => {
            let (shown, socket) = Shown::expect().map_err(of(SetupFailure::Shim))?;
            pump.iter_mut().for_each(Pump::expect_terminal);
            (Some(shown), Some(socket))
        }
    };
    let joined = spec.joined.iter().map(JoinedNamespace::open).collect::<Result<_, _>>();
    let joined = joined.map_err(of(SetupFailure::Namespace))?;
    let stdin = File::open("/dev/null").context("open", "/dev/null").map_err(of(SetupFailure::Shim))?;

    let begin = || {
        group.create(&spec.resources)?;
        group.begin(&spec.resources)?;
        if !spec.within.is_empty() && spec.devices.is_empty() {
            return Ok(()); // those of the container that it is in
        }
        let rules: Vec<DeviceRule> = spec.devices.iter().map(|device| device.rule).collect();
        group.restrict_devices(&rules)
    };
    begin().map_err(of(SetupFailure::Cgroup))?;
    let oom = if spec.resources.memory_bytes.is_some() { group.watch_oom() } else { Ok(None) };
    let oom = oom.map_err(of(SetupFailure::Cgroup))?;
    let tasks = group.open_tasks().map_err(of(SetupFailure::Cgroup))?;
    let quota = group.quota(&spec.resources).map_err(of(SetupFailure::Cgroup))?;
    let v2 = group.open_v2().map_err(of(SetupFailure::Cgroup))?;

    let (setup, child_setup) = descriptors::pipe().map_err(of(SetupFailure::Shim))?;
    let (status, child_status) = descriptors::pipe().map_err(of(SetupFailure::Shim))?;
    let own_network = if spec.namespaces.network && network.is_none() { libc::CLONE_NEWNET } else { 0 };
    let shared = spec.joined.iter().fold(0, |flags, joined| flags | joined.kind.flag());
    let namespaces = (clone3::ALWAYS & !shared) | own_network;
    let opened = Opened {
        files,
        stdin,
        streams,
        terminal,
        joined,
        network,
        tasks,
        quota,
        setup: child_setup,
        status: child_status,
    };
    let clone = Clone3 { namespaces, into_cgroup: v2.as_ref().map(AsFd::as_fd), of_parent: false };
    // SAFETY: this program never starts a thread.
    match unsafe { clone.run() }.map_err(of(SetupFailure::Namespace))? {
        Cloned::Child(shim) => child::run(order, opened, &shim),
        Cloned::Parent { pid, pidfd } => {
            drop(opened); // with the writing ends of the pipes
            if let Some(Err(error)) = pump.as_mut().map(|pump| pump.start(group)) {
                group.kill().map_err(of(SetupFailure::Cgroup))?;
                return Err(error);
            }
            Ok(Container { pid, pidfd, setup, status, oom, turn: Some(turn), pump, terminal: shown })
        }
    }
}

/// Says of what kind a failure is.
pub(crate) fn of(failure: SetupFailure) -> impl Fn(IsolationError) -> SetupError {
    move |error| SetupError::new(failure, &error)
}
