//! Resource limits per process.

use serde::{Deserialize, Serialize};

use crate::{Context, IsolationError};

/// One limit, by the name the kernel gives it in lower case without `RLIMIT_`: `nofile`, `core`, `memlock`, …
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rlimit {
    /// The limit's name.
    pub name: String,
    /// The value enforced. `None`: unlimited.
    pub soft: Option<u64>,
    /// What the process may raise it to. `None`: unlimited.
    pub hard: Option<u64>,
}

/// Sets the limits on this process.
///
/// # Errors
/// Names a limit that is unknown, or that the kernel refused.
pub fn apply(limits: &[Rlimit]) -> Result<(), IsolationError> {
    limits.iter().try_for_each(|limit| {
        let resource = resource(&limit.name)?;
        let value = |bound: Option<u64>| bound.unwrap_or(libc::RLIM_INFINITY);
        nix::sys::resource::setrlimit(resource, value(limit.soft), value(limit.hard))
            .context("set the limit", &limit.name)
    })
}

fn resource(name: &str) -> Result<nix::sys::resource::Resource, IsolationError> {
    use nix::sys::resource::Resource;
    Ok(match name {
        "as" => Resource::RLIMIT_AS,
        "core" => Resource::RLIMIT_CORE,
        "cpu" => Resource::RLIMIT_CPU,
        "data" => Resource::RLIMIT_DATA,
        "fsize" => Resource::RLIMIT_FSIZE,
        "locks" => Resource::RLIMIT_LOCKS,
        "memlock" => Resource::RLIMIT_MEMLOCK,
        "msgqueue" => Resource::RLIMIT_MSGQUEUE,
        "nice" => Resource::RLIMIT_NICE,
        "nofile" => Resource::RLIMIT_NOFILE,
        "nproc" => Resource::RLIMIT_NPROC,
        "rss" => Resource::RLIMIT_RSS,
        "rtprio" => Resource::RLIMIT_RTPRIO,
        "rttime" => Resource::RLIMIT_RTTIME,
        "sigpending" => Resource::RLIMIT_SIGPENDING,
        "stack" => Resource::RLIMIT_STACK,
        _ => return Err(IsolationError::invalid("set the limit", name, "there is none of this name")),
    })
}
