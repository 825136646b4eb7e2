//! Resource limits per process.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

use crate::{Context, IsolationError};

/// One limit, by the name the kernel gives it in lower case without `RLIMIT_`: `nofile`, `core`, `memlock`, …
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rlimit {
    /// The limit's name.
    pub name: String,
    /// The value enforced. `None`, and then `hard` too: unlimited. [`u64::MAX`] is unlimited beside one that is not.
    pub soft: Option<u64>,
    /// What the process may raise it to. `None` like `soft`.
    pub hard: Option<u64>,
}

impl Rlimit {
    /// Soft and hard value.
    ///
    /// # Errors
    /// Names the limit of which one is missing: as in Mesos there are both, or neither.
    pub fn values(&self) -> Result<(u64, u64), IsolationError> {
        match (self.soft, self.hard) {
            (Some(soft), Some(hard)) => Ok((soft, hard)),
            (None, None) => Ok((libc::RLIM_INFINITY, libc::RLIM_INFINITY)),
            _ => {
                let reason = "give both a soft and a hard value, or neither for no limit";
                Err(IsolationError::invalid("set the limit", &self.name, reason))
            }
        }
    }
}

/// What a process has of these unless it asks: soft and hard value. Descriptors as systemd gives them, and no real time.
const DEFAULTS: [(&str, u64, u64); 3] = [("nofile", 1024, 524_288), ("nice", 0, 0), ("rtprio", 0, 0)];

/// Sets the limits on this process.
///
/// # Errors
/// Names a limit that is unknown, of which one value is missing, or that the kernel refused.
pub fn apply(limits: &[Rlimit]) -> Result<(), IsolationError> {
    limits.iter().try_for_each(|limit| {
        let (soft, hard) = limit.values()?;
        setrlimit(resource(&limit.name)?, soft, hard).context("set the limit", &limit.name)
    })
}

/// Sets on this process what it would otherwise have from whoever started it: open files no more than 1024, which it may raise to
/// 524,288, and neither real time nor a higher priority. None is raised over what this process may have.
///
/// # Errors
/// The kernel's.
pub fn apply_defaults() -> Result<(), IsolationError> {
    DEFAULTS.iter().try_for_each(|(name, soft, hard)| {
        let resource = resource(name)?;
        let (_, most) = getrlimit(resource).context("read the limit", name)?;
        let hard = most.min(*hard);
        setrlimit(resource, hard.min(*soft), hard).context("set the limit", name)
    })
}

fn resource(name: &str) -> Result<Resource, IsolationError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_both_values_or_neither() {
        let limit = |soft, hard| Rlimit { name: "core".to_owned(), soft, hard };
        assert_eq!(limit(Some(1), Some(2)).values().unwrap(), (1, 2));
        assert_eq!(limit(None, None).values().unwrap(), (u64::MAX, u64::MAX));
        for one in [limit(Some(1), None), limit(None, Some(1))] {
            let error = apply(&[one]).unwrap_err();
            assert!(format!("{error:?}").contains("core"), "{error:?}");
        }
    }
}
