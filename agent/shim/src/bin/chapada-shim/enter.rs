//! The way of another program into a running container. A process of ours takes the container's groups and namespaces, and
//! makes the program as a child of the shim, inside.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use chapada_isolation::clone3::{Clone3, Cloned};
use chapada_isolation::terminals::{self, Terminal};
use chapada_isolation::user::User;
use chapada_isolation::{Context, IsolationError, beneath, descriptors, ids, namespaces, root};
use chapada_shim::{ContainerSpec, Event, ExecSpec, SetupError, SetupFailure, descriptors as messages};
use nix::unistd::fchown;

use crate::child::{self, Executable, fail};
use crate::clients::line;
use crate::container::of;
use crate::detach;

/// What it takes along.
pub(crate) struct Entering<'a> {
    pub(crate) spec: &'a ContainerSpec,
    pub(crate) wanted: &'a ExecSpec,
    /// Standard input, output and error, unless there is to be a terminal.
    pub(crate) files: &'a [OwnedFd],
    /// Process 1.
    pub(crate) container: BorrowedFd<'a>,
    pub(crate) tasks: Vec<File>,
    /// To the one who wants it.
    pub(crate) connection: &'a UnixStream,
    pub(crate) setup: File,
    pub(crate) born: File,
}

/// Never returns.
pub(crate) fn run(mut entering: Entering<'_>) -> ! {
    let tasks = std::mem::take(&mut entering.tasks);
    let ready = detach::join(tasks)
        .context("join the cgroups of", &entering.spec.id)
        .map_err(of(SetupFailure::Cgroup))
        .and_then(|()| namespaces::enter_all_of(entering.container).map_err(of(SetupFailure::Namespace)));
    if let Err(error) = ready {
        fail(entering.setup, &error);
    }
    let clone = Clone3 { namespaces: 0, into_cgroup: None, of_parent: true };
    // SAFETY: this program never starts a thread.
    match unsafe { clone.run() }.map_err(of(SetupFailure::Namespace)) {
        Ok(Cloned::Child(_)) => become_program(entering),
        Ok(Cloned::Parent { pid, .. }) => {
            // Four bytes fit the pipe; should the shim be gone, the program goes with it.
            let _nobody_reads = entering.born.write_all(&pid.to_ne_bytes());
            // SAFETY: `_exit` is always sound; buffers copied from the shim must not be written twice.
            unsafe { libc::_exit(0) }
        }
        Err(error) => fail(entering.setup, &error),
    }
}

fn become_program(entering: Entering<'_>) -> ! {
    let (spec, wanted) = (entering.spec, entering.wanted);
    let program = match prepare(&entering) {
        Ok(user) => {
            let environment = environment(spec, wanted);
            Executable::of(&wanted.command, &environment, spec.root.is_some(), user)
        }
        Err(error) => fail(entering.setup, &error),
    };
    child::become_command(spec, entering.setup, &program, None)
}

/// Its own, and what it is to have of the container's.
fn environment(spec: &ContainerSpec, wanted: &ExecSpec) -> Vec<(String, String)> {
    let is_inherited = |name: &String| {
        wanted.inherited.contains(name) && wanted.environment.iter().all(|(own, _)| own != name)
    };
    let inherited = spec.environment.iter().filter(|(name, _)| is_inherited(name));
    wanted.environment.iter().chain(inherited).cloned().collect()
}

/// Everything but privileges, which go last.
fn prepare(entering: &Entering<'_>) -> Result<User, SetupError> {
    let (spec, wanted) = (entering.spec, entering.wanted);
    let root = beneath::directory(Path::new("/")).map_err(of(SetupFailure::Root))?;
    let user = wanted.user.as_deref().or(spec.user.as_deref());
    let user = match (&spec.root, user) {
        (Some(_), user) => User::find_within(&root, user.unwrap_or("0")),
        (None, Some(user)) => User::find(user),
        (None, None) => Ok(User::current()),
    };
    let user = user.and_then(|user| spec.permitted(user)).map_err(of(SetupFailure::User))?;
    let sandbox = spec.root.as_ref().map_or(&spec.sandbox, |own| &own.sandbox);
    let directory = wanted.working_directory.as_ref().unwrap_or(sandbox);
    root::change_directory(&root, directory).map_err(of(SetupFailure::Root))?;
    nix::unistd::setsid().context("start", "a session").map_err(of(SetupFailure::Privileges))?;
    connect(entering, &root, &user).map_err(of(SetupFailure::Shim))?;
    if spec.user_namespace.is_some() {
        ids::enter(entering.container).map_err(of(SetupFailure::Privileges))?;
    }
    Ok(user)
}

/// Standard input, output and error.
fn connect(entering: &Entering<'_>, root: &File, user: &User) -> Result<(), IsolationError> {
    let Some(size) = entering.wanted.terminal else {
        for (number, file) in (0..).zip(entering.files) {
            descriptors::install(file, number)?;
        }
        return descriptors::close_on_exec();
    };
    let terminal = Terminal::open(root, size)?;
    let range = entering.spec.user_namespace;
    let owner = range.map_or(Some(user.uid), |range| range.on_host(user.uid)).map(nix::unistd::Uid::from_raw);
    fchown(&terminal.slave, owner, None).context("give away", "the terminal")?;
    terminals::control(&terminal.slave)?;
    for number in 0..3 {
        descriptors::install(&terminal.slave, number)?;
    }
    messages::send(entering.connection, &line(&Event::SessionTerminal), &[terminal.master.as_fd()])
        .context("pass on", "the terminal")?;
    descriptors::close_on_exec()
}
