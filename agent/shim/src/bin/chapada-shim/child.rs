//! Process 1 of the container, up to the command's first instruction.

use std::convert::Infallible;
use std::ffi::CString;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use chapada_isolation::capabilities::ROOT_DEFAULT;
use chapada_isolation::cgroup::Quota;
use chapada_isolation::clone3::Caller;
use chapada_isolation::seccomp::Filter;
use chapada_isolation::user::User;
use chapada_isolation::{
    Context, IsolationError, descriptors, loopback, mounts, networks, privileges, rlimits, terminals,
};
use chapada_shim::{Command, ContainerSpec, LaunchOrder, Pid1, SetupError, SetupFailure, SystemCalls};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{ForkResult, execve, fork, setsid};

use crate::container::{Opened, of};
use crate::{detach, init, terminal};

/// What a process ends with that could not become the command; nobody but a debugger sees it.
const NOT_STARTED: i32 = 127;
/// Where programs are looked for when the environment has no `PATH`. Source: glibc's default.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Permissions that new files of a command lack: writing by others.
const UMASK: Mode = Mode::from_bits_truncate(0o022);

/// Does all that is done inside, and becomes the command, or our init. Never returns.
pub(crate) fn run(order: &LaunchOrder, mut opened: Opened, shim: &Caller) -> ! {
    let spec = &order.spec;
    let (tasks, quota) = (std::mem::take(&mut opened.tasks), opened.quota.take());
    let ready = detach::join(tasks)
        .context("join the cgroups of", &spec.id)
        .map_err(of(SetupFailure::Cgroup))
        .and_then(|()| enter(spec, &opened).map_err(of(SetupFailure::Namespace)))
        .and_then(|()| opened.files.enter(spec, &order.cgroups))
        .and_then(|user| quota.map_or(Ok(()), Quota::set).map(|()| user).map_err(of(SetupFailure::Cgroup)))
        .and_then(|user| install(spec, &opened, &user).map(|()| user).map_err(of(SetupFailure::Shim)))
        .and_then(|user| {
            opened.files.enter_user_namespace().map(|()| user).map_err(of(SetupFailure::Privileges))
        });
    let user = match ready {
        Ok(user) => user,
        Err(error) => fail(opened.setup, &error),
    };
    let command = Executable::of(&spec.command, &spec.environment, spec.root.is_some(), user);
    match spec.pid1 {
        Pid1::Command => become_command(spec, opened.setup, &command, Some(shim)),
        Pid1::Init => under_init(spec, opened, &command, shim),
    }
}

/// Namespaces.
fn enter(spec: &ContainerSpec, opened: &Opened) -> Result<(), IsolationError> {
    for (namespace, opened) in spec.joined.iter().zip(&opened.joined) {
        namespace.enter(opened)?;
    }
    if let Some(network) = &opened.network {
        setns(network, CloneFlags::CLONE_NEWNET).context("enter", "the container's network")?;
    }
    unshare(CloneFlags::CLONE_NEWCGROUP).context("unshare", "the cgroup namespace")?;
    mounts::make_private()?;
    spec.network_mounts.as_deref().map_or(Ok(()), networks::let_go)?;
    if let Some(name) = &spec.hostname {
        nix::unistd::sethostname(name).context("set the host name", name)?;
    }
    if spec.namespaces.network && opened.network.is_none() {
        loopback::bring_up()?;
    }
    Ok(())
}

fn install(spec: &ContainerSpec, opened: &Opened, user: &User) -> Result<(), IsolationError> {
    if let (Some(size), Some(socket)) = (spec.terminal, &opened.terminal) {
        return terminal::install(spec, size, user, socket);
    }
    descriptors::install(&opened.stdin, 0)?;
    let [stdout, stderr] = &opened.streams;
    descriptors::install(stdout, 1)?;
    descriptors::install(stderr, 2)?;
    descriptors::close_on_exec()
}

/// Forks: the child becomes the command, this process its init.
fn under_init(spec: &ContainerSpec, opened: Opened, command: &Executable, shim: &Caller) -> ! {
    let forked = init::block_signals().and_then(|()| {
        // SAFETY: this program never starts a thread.
        unsafe { fork() }
    });
    match forked.context("fork", "the command").map_err(of(SetupFailure::Shim)) {
        Ok(ForkResult::Child) => become_command(spec, opened.setup, command, Some(shim)),
        Ok(ForkResult::Parent { child }) => init::run(child, opened, shim),
        Err(error) => fail(opened.setup, &error),
    }
}

/// The last steps of a command, and of a program beside it: they cannot be taken back. Never returns.
pub(crate) fn become_command(
    spec: &ContainerSpec,
    setup: File,
    command: &Executable,
    shim: Option<&Caller>,
) -> ! {
    let ready = drop_privileges(spec, &command.user, shim).map_err(of(SetupFailure::Privileges));
    let Err(error) = ready.and_then(|()| command.execute().map_err(of(SetupFailure::Command)));
    fail(setup, &error)
}

fn drop_privileges(spec: &ContainerSpec, user: &User, shim: Option<&Caller>) -> Result<(), IsolationError> {
    detach::restore_signals().context("restore", "signals")?;
    // A program beside the command leads its session already.
    match setsid() {
        Err(nix::errno::Errno::EPERM) => {}
        result => {
            result.context("start", "a session")?;
            if spec.terminal.is_some() {
                terminals::control(std::io::stdin())?;
            }
        }
    }
    umask(UMASK);
    spec.check_rlimits()?;
    rlimits::apply_defaults()?;
    rlimits::apply(&spec.rlimits)?;
    privileges::become_user(user, &spec.privileges)?;
    // After the change of user, which clears it. Under our init it ends with that, and does not begin without a shim.
    shim.map_or_else(end_with_shim, Caller::end_together)?;
    match &spec.system_calls {
        SystemCalls::Standard => {
            let bounding = spec.privileges.bounding.as_deref().unwrap_or(&ROOT_DEFAULT);
            Filter::standard_for(bounding).install()
        }
        SystemCalls::Profile(filter) => filter.install(),
        SystemCalls::Unconfined => Ok(()),
    }
}

/// Of a program beside the command. Should the shim have ended already, so does process 1, and with that everything inside.
fn end_with_shim() -> Result<(), IsolationError> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).context("tie the program to", "its shim")
}

/// Tells the shim why, and ends.
pub(crate) fn fail(mut setup: File, error: &SetupError) -> ! {
    // The pipe is empty and takes the line whole. Should the shim be gone, nobody is left to tell.
    let _nobody_reads = setup.write_all(&serde_json::to_vec(error).unwrap_or_default());
    // SAFETY: `_exit` is always sound; buffers copied from the shim must not be written twice.
    unsafe { libc::_exit(NOT_STARTED) }
}

/// A command in the form the kernel takes. Made before privileges are dropped, executed after.
pub(crate) struct Executable {
    user: User,
    file: String,
    candidates: Vec<CString>,
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

impl Executable {
    /// With `add_home`, `HOME` is the user's if the environment has none.
    pub(crate) fn of(
        command: &Command,
        environment: &[(String, String)],
        add_home: bool,
        user: User,
    ) -> Self {
        let (file, argv) = command.file_and_argv();
        let c_string = |text: String| CString::new(text).expect("the spec was checked for zero bytes");
        let path = environment.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.as_str());
        let candidates = if file.contains('/') {
            vec![c_string(file.clone())]
        } else {
            let directories = path.unwrap_or(DEFAULT_PATH).split(':');
            directories
                .map(|directory| if directory.is_empty() { "." } else { directory })
                .map(|directory| c_string(format!("{directory}/{file}")))
                .collect()
        };
        let given = environment.iter().map(|(name, value)| format!("{name}={value}"));
        let lacks_home = add_home && environment.iter().all(|(name, _)| name != "HOME");
        let home = user.home.as_deref().unwrap_or(Path::new("/")).display();
        let home = lacks_home.then(|| format!("HOME={home}"));
        let environment = given.chain(home).map(c_string).collect();
        Self { user, file, candidates, arguments: argv.into_iter().map(c_string).collect(), environment }
    }

    /// Becomes the command. Of several candidates that fail, one that exists says why.
    fn execute(&self) -> Result<Infallible, IsolationError> {
        use nix::errno::Errno;
        let mut reason = Errno::ENOENT;
        for candidate in &self.candidates {
            let Err(errno) = execve(candidate, &self.arguments, &self.environment);
            if !matches!(errno, Errno::ENOENT | Errno::ENOTDIR) {
                reason = errno;
            }
        }
        Err(reason).context("execute", &self.file)
    }
}
