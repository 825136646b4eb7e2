//! A shim stands beside each container and outlives the agent that started it. This library is the agent's side:
//! describe a container ([`ContainerSpec`]), start it ([`Launcher::launch`]), talk to its shim ([`ShimClient`]), find it
//! again after a restart ([`recover`]), and remove its traces ([`cleanup`]).
//!
//! Everything here is synchronous and takes at most a few milliseconds, except [`cleanup`], which may wait seconds for
//! the kernel; an async caller uses its blocking pool. [`ShimClient`] is non-blocking and offers its descriptor for polling.

mod attach;
mod cleanup;
mod client;
pub mod descriptors;
mod exit;
mod files;
mod launcher;
mod permitted;
mod protocol;
mod recovery;
pub mod runtime_dir;
mod session;
mod spec;
mod state;

pub use attach::{AlongStreams, read_along, take_terminal};
pub use chapada_isolation::devices::Device;
pub use chapada_isolation::ids::IdRange;
pub use chapada_isolation::namespaces::{JoinedNamespace, NamespaceKind, NamespaceOf};
pub use chapada_isolation::privileges::Privileges;
pub use chapada_isolation::rlimits::Rlimit;
pub use chapada_isolation::root::RootSource;
pub use chapada_isolation::seccomp::{Filter, Profile};
pub use chapada_isolation::terminals::{WindowSize, resize};
pub use cleanup::{CleanupError, cleanup, cleanup_within};
pub use client::{ClientError, ShimClient};
pub use exit::{ExitReport, Outcome};
pub use files::{Names, RootFileSystem, VolumeMount, VolumeSource};
pub use launcher::{LaunchError, LaunchedShim, Launcher};
pub use protocol::{
    Event, LaunchOrder, PROTOCOL_VERSION, Request, SetupError, SetupFailure, ZYGOTE_ORDER, ZYGOTE_PLACE,
};
pub use recovery::{RecoverError, RecoveredContainer, RecoveredState, recover};
pub use session::{ExecSpec, Session, SessionStreams};
pub use spec::{
    Command, ContainerSpec, InvalidSpec, LogLimits, Namespaces, Pid1, SystemCalls, TemporaryFiles,
};
pub use state::ContainerState;

pub use chapada_isolation::cgroup::{
    Cgroups, CpuLimits, DeviceKind, DeviceRule, DiskLimit, IoLimits, Limits, OomReport, Pressure, Statistics,
};
