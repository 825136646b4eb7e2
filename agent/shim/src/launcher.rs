//! Starts shims. Their program lives in sealed memory, an order in memory too, so nothing of either can be changed or read
//! from a path.
//!
//! Starting a program costs more than half of what a container costs, so it is done once: the *zygote*, a process of the
//! shim's program that divides itself ahead of each: there is always one shim that waits for its order, and after a moment of
//! quiet it has made ahead what takes long. Both end with their launcher, and are started again if something ends them. They
//! live in the shims' cgroups, not in the agent's, so shims are born where they are to be.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command as Process, Stdio};
use std::sync::{Mutex, PoisonError};

use chapada_isolation::cgroup::Cgroups;
use chapada_isolation::sealed::{self, memory_file};
use chapada_isolation::{Context, IsolationError};

use crate::client::ShimClient;
use crate::descriptors;
use crate::protocol::{LaunchOrder, PROTOCOL_VERSION, ZYGOTE_ORDER, ZYGOTE_PLACE};
use crate::runtime_dir;
use crate::spec::{ContainerSpec, InvalidSpec};

/// Starts the shims of one agent. Cheap to share behind an `Arc`; `launch` may be called from several threads.
#[derive(Debug)]
pub struct Launcher {
    program: OwnedFd,
    cgroups: Cgroups,
    zygote: Mutex<Option<Zygote>>,
}

/// The process that divides itself. It ends when the socket does.
#[derive(Debug)]
struct Zygote {
    process: Child,
    socket: Option<UnixStream>,
}

/// A shim that has been started; the container may still be in the making.
#[derive(Debug)]
pub struct LaunchedShim {
    /// Tells how the container stands, from the beginning. Dropping it does not disturb the container.
    pub client: ShimClient,
}

/// Why no shim was started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The spec is wrong.
    #[error(transparent)]
    Spec(#[from] InvalidSpec),
    /// The runtime directory has had a container before.
    #[error("runtime directory {0} is in use; give every container one of its own")]
    InUse(String),
    /// Something of the kernel's.
    #[error("cannot {operation} for container {id}")]
    System {
        /// What was tried.
        operation: &'static str,
        /// The container.
        id: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

impl Launcher {
    /// Takes the shim's program (`chapada_shim_image::SHIM_IMAGE`) and the place of this agent's cgroups, which is created.
    ///
    /// # Errors
    /// Without root, or when a cgroup hierarchy is not writable; the error names the path.
    pub fn new(program: &[u8], cgroups: Cgroups) -> Result<Self, IsolationError> {
        cgroups.ensure()?;
        let program = sealed::program("chapada-shim", program)?;
        let zygote = Zygote::start(&program, &cgroups).context("start", "the zygote of shims")?;
        Ok(Self { program, cgroups, zygote: Mutex::new(Some(zygote)) })
    }

    /// The place of this agent's cgroups.
    pub fn cgroups(&self) -> &Cgroups {
        &self.cgroups
    }

    /// The number of the process that divides itself into shims.
    pub fn zygote(&self) -> Option<u32> {
        let zygote = self.zygote.lock().unwrap_or_else(PoisonError::into_inner);
        zygote.as_ref().map(|zygote| zygote.process.id())
    }

    /// Removes the place of this agent's cgroups, when no container is left. A later launch fails.
    ///
    /// # Errors
    /// As [`Cgroups::remove`].
    pub fn remove_cgroups(&self) -> Result<(), IsolationError> {
        drop(self.zygote.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.cgroups.remove()
    }

    /// Starts a shim, which then makes the container; its client tells when the command runs or why it does not. Blocks
    /// for a fraction of a millisecond: call it from a blocking pool.
    ///
    /// # Errors
    /// When there is no shim; nothing is left of the container then but its runtime directory.
    pub fn launch(&self, spec: &ContainerSpec) -> Result<LaunchedShim, LaunchError> {
        spec.validate()?;
        let system = |operation| {
            let id = spec.id.clone();
            move |source: io::Error| LaunchError::System { operation, id, source }
        };
        runtime_dir::ensure(&spec.runtime_dir).map_err(system("create the runtime directory"))?;
        let log = runtime_dir::open_log(&spec.runtime_dir).map_err(system("open the shim's log"))?;
        // The lock passes to the shim with its standard error, and ends with it.
        let free = runtime_dir::try_lock(&log).map_err(system("lock the shim's log"))?;
        if !free || spec.runtime_dir.join(runtime_dir::EXIT).exists() {
            return Err(LaunchError::InUse(spec.runtime_dir.display().to_string()));
        }
        let order = self.order(spec).map_err(system("write the order"))?;
        let (ours, theirs) = UnixStream::pair().map_err(system("create a socket"))?;
        let files = [order.as_fd(), theirs.as_fd(), log.as_fd()];
        self.hand_over(&files).map_err(system("start the shim"))?;
        let client = ShimClient::over(ours).map_err(system("set up the socket"))?;
        Ok(LaunchedShim { client })
    }

    /// Gives the files of a shim to the one that waits, or to the next; to that of a new zygote, if there is none any more.
    fn hand_over(&self, files: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut zygote = self.zygote.lock().unwrap_or_else(PoisonError::into_inner);
        // A shim that waits dies with its zygote, but not in the same instant.
        if let Some(zygote) = zygote.as_mut()
            && zygote.lives()
            && let Some(socket) = &zygote.socket
            && descriptors::send(socket, &ZYGOTE_ORDER, files).is_ok()
        {
            return Ok(());
        }
        let started = zygote.insert(Zygote::start(&self.program, &self.cgroups)?);
        let Some(socket) = &started.socket else { return Err(io::ErrorKind::NotConnected.into()) };
        descriptors::send(socket, &ZYGOTE_ORDER, files).map(drop)
    }

    fn order(&self, spec: &ContainerSpec) -> io::Result<File> {
        let order =
            LaunchOrder { version: PROTOCOL_VERSION, spec: spec.clone(), cgroups: self.cgroups.clone() };
        in_memory("chapada-order", &order)
    }
}

fn in_memory(name: &str, value: &impl serde::Serialize) -> io::Result<File> {
    let mut file = File::from(memory_file(name)?);
    file.write_all(&serde_json::to_vec(value)?)?;
    file.rewind()?;
    Ok(file)
}

impl Zygote {
    fn start(program: &OwnedFd, cgroups: &Cgroups) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        let process = Process::new(format!("/proc/self/fd/{}", program.as_raw_fd()))
            .arg0("chapada-shim")
            .env_clear()
            .current_dir("/")
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .spawn()?;
        let place = in_memory("chapada-place", cgroups)?;
        descriptors::send(&ours, &ZYGOTE_PLACE, &[place.as_fd()])?;
        Ok(Self { process, socket: Some(ours) })
    }

    fn lives(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }
}

impl Drop for Zygote {
    fn drop(&mut self) {
        drop(self.socket.take());
        // It ends at once. If it cannot be waited for, it has been, or is nobody's concern.
        let _ended = self.process.wait();
    }
}
