//! Starts shims. The shim's program lives in sealed memory, its order on its standard input, so nothing of either can be
//! changed or read from a path. No code runs between fork and exec: the standard library uses `posix_spawn` here.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command as Process, Stdio};

use chapada_isolation::IsolationError;
use chapada_isolation::cgroup::Cgroups;
use chapada_isolation::sealed::{self, memory_file};

use crate::client::ShimClient;
use crate::protocol::{LaunchOrder, PROTOCOL_VERSION};
use crate::runtime_dir;
use crate::spec::{ContainerSpec, InvalidSpec};

/// Starts the shims of one agent. Cheap to share behind an `Arc`; `launch` may be called from several threads.
#[derive(Debug)]
pub struct Launcher {
    program: OwnedFd,
    cgroups: Cgroups,
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
    /// The shim ended before it had taken the order; its log has more.
    #[error("the shim of container {id} ended at once with {status}; see {log}")]
    Shim {
        /// The container.
        id: String,
        /// How it ended.
        status: String,
        /// Where its last words are.
        log: String,
    },
}

impl Launcher {
    /// Takes the shim's program (`chapada_shim_image::SHIM_IMAGE`) and the place of this agent's cgroups, which is created.
    ///
    /// # Errors
    /// Without root, or when a cgroup hierarchy is not writable; the error names the path.
    pub fn new(program: &[u8], cgroups: Cgroups) -> Result<Self, IsolationError> {
        cgroups.ensure()?;
        Ok(Self { program: sealed::program("chapada-shim", program)?, cgroups })
    }

    /// The place of this agent's cgroups.
    pub fn cgroups(&self) -> &Cgroups {
        &self.cgroups
    }

    /// Starts a shim, which then makes the container; its client tells when the command runs or why it does not. Blocks
    /// for about a millisecond: call it from a blocking pool.
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
        let status = Process::new(format!("/proc/self/fd/{}", self.program.as_raw_fd()))
            .arg0("chapada-shim")
            .arg(&spec.id)
            .env_clear()
            .current_dir("/")
            .stdin(order)
            .stdout(OwnedFd::from(theirs))
            .stderr(log)
            .spawn()
            .and_then(|mut shim| shim.wait()) // it has detached itself when this returns
            .map_err(system("start the shim"))?;
        if !status.success() {
            let log = spec.runtime_dir.join(runtime_dir::LOG).display().to_string();
            return Err(LaunchError::Shim { id: spec.id.clone(), status: status.to_string(), log });
        }
        let client = ShimClient::over(ours).map_err(system("set up the socket"))?;
        Ok(LaunchedShim { client })
    }

    fn order(&self, spec: &ContainerSpec) -> io::Result<Stdio> {
        let order =
            LaunchOrder { version: PROTOCOL_VERSION, spec: spec.clone(), cgroups: self.cgroups.clone() };
        let mut file = File::from(memory_file("chapada-order")?);
        file.write_all(&serde_json::to_vec(&order)?)?;
        file.rewind()?;
        Ok(Stdio::from(file))
    }
}
