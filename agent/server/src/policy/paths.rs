//! What of this machine may show in containers: directories that an operator names, and what is below them.

use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::error::AgentError;

const FLAG: &str = "allowed-host-paths";
/// Who can write there, or read some of it, has the machine.
const KERNELS_OWN: [&str; 3] = ["/proc", "/sys", "/dev"];

/// The list of an operator.
#[derive(Debug, Default)]
pub(crate) struct HostPaths {
    allowed: Vec<Allowed>,
    /// Neither they nor what holds them shows, unless the list names them themselves.
    protected: Vec<PathBuf>,
}

#[derive(Debug)]
struct Allowed {
    /// As the operator wrote it, and so tasks do.
    written: PathBuf,
    /// The same without links.
    root: PathBuf,
    writable: bool,
}

/// A path that may show.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HostPath {
    /// What the operator named.
    pub(crate) root: PathBuf,
    /// Below it, of plain names; nothing was looked at yet.
    pub(crate) path: PathBuf,
}

impl HostPaths {
    /// Each of these is `/path` or `/path:ro`, to be read, or `/path:rw`.
    ///
    /// # Errors
    /// Names the one that is not there.
    pub(crate) fn new(list: &[String], mut protected: Vec<PathBuf>) -> Result<Self, AgentError> {
        let allowed = list.iter().map(|text| Allowed::parse(text)).collect::<Result<Vec<_>, _>>();
        let allowed = allowed.map_err(|problem| AgentError::flag(FLAG, problem))?;
        protected.extend(KERNELS_OWN.map(PathBuf::from));
        protected.retain(|path| allowed.iter().all(|allowed| allowed.root != *path));
        Ok(Self { allowed, protected })
    }

    /// Where this absolute path is, if it may show.
    ///
    /// # Errors
    /// Says in one sentence why it may not, and what to do.
    pub(crate) fn find(&self, text: &str, writable: bool) -> Result<HostPath, String> {
        let wanted = plain(text)?;
        let holding = self.allowed.iter().filter(|allowed| wanted.starts_with(&allowed.written));
        let Some(allowed) = holding.max_by_key(|allowed| allowed.written.components().count()) else {
            return Err(format!(
                "{text:?} is a path of the machine: have an operator allow it by --{FLAG}, or use the sandbox"
            ));
        };
        if writable && !allowed.writable {
            let root = allowed.written.display();
            return Err(format!(
                "{text:?} may only be read: mount it with mode RO, or have an operator allow it by --{FLAG}={root}:rw"
            ));
        }
        let path = wanted.strip_prefix(&allowed.written).unwrap_or(Path::new("")).to_owned();
        let whole = allowed.root.join(&path);
        let hit = self.protected.iter().find(|own| whole.starts_with(own) || own.starts_with(&whole));
        if let Some(own) = hit {
            let own = own.display();
            return Err(format!(
                "{text:?} is, holds or is within {own}, which no task is to see: name another directory, or have an \
                 operator name {own} itself in --{FLAG}"
            ));
        }
        Ok(HostPath { root: allowed.root.clone(), path })
    }
}

impl Allowed {
    fn parse(text: &str) -> Result<Self, String> {
        let (path, writable) = match text.rsplit_once(':') {
            Some((path, "rw")) => (path, true),
            Some((path, "ro")) => (path, false),
            Some((_, mode)) if !mode.contains('/') => {
                return Err(format!("{text}: a mode is rw or ro, not {mode:?}"));
            }
            Some(_) | None => (text, false),
        };
        let written = plain(path)?;
        let root = fs::canonicalize(&written).map_err(|error| format!("{path}: {error}"))?;
        Ok(Self { written, root, writable })
    }
}

/// An absolute path of plain names.
fn plain(text: &str) -> Result<PathBuf, String> {
    let path = Path::new(text);
    let is_plain = |part| matches!(part, Component::RootDir | Component::Normal(_) | Component::CurDir);
    if !path.is_absolute() || text.contains('\0') || !path.components().all(is_plain) {
        return Err(format!("{text:?} is no absolute path without '..'"));
    }
    Ok(path.components().filter(|part| *part != Component::CurDir).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(list: &[&str]) -> HostPaths {
        let list: Vec<String> = list.iter().map(|text| (*text).to_owned()).collect();
        HostPaths::new(&list, vec!["/var/lib/chapada/agent".into()]).unwrap()
    }

    #[test]
    fn nothing_shows_unless_it_is_allowed_and_as_it_is_allowed() {
        assert!(paths(&[]).find("/etc", false).unwrap_err().contains("--allowed-host-paths"));
        let list = paths(&["/etc", "/usr/share:rw", "/usr:ro"]);
        let found = |root: &str, path: &str| Ok(HostPath { root: root.into(), path: path.into() });
        assert_eq!(list.find("/etc/ssl/certs", false), found("/etc", "ssl/certs"));
        assert_eq!(list.find("/etc", false), found("/etc", ""));
        assert_eq!(list.find("/usr//share/./x", true), found("/usr/share", "x"));
        assert!(list.find("/usr/lib", true).unwrap_err().contains("may only be read"));
        for path in ["/etcetera", "/usr/../root", "etc", "", "/root", "/usr/share/../../root"] {
            assert!(list.find(path, false).is_err(), "{path}");
        }
    }

    #[test]
    fn the_kernels_and_the_agents_own_need_to_be_named_themselves() {
        let list = paths(&["/:rw"]);
        for path in [
            "/",
            "/proc",
            "/proc/sys/kernel",
            "/sys",
            "/dev",
            "/dev/sda",
            "/var",
            "/var/lib",
            "/var/lib/chapada/agent/tokens",
        ] {
            assert!(list.find(path, false).unwrap_err().contains("no task is to see"), "{path}");
        }
        assert!(list.find("/var/log", true).is_ok());
        let list = paths(&["/", "/proc"]);
        assert!(list.find("/proc", false).is_ok() && list.find("/proc", true).is_err());
        assert!(list.find("/sys", false).is_err());
    }

    #[test]
    fn links_that_an_operator_names_lead_to_what_they_mean() {
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/proc", directory.path().join("innocent")).unwrap();
        let name = directory.path().join("innocent").to_str().unwrap().to_owned();
        let list = HostPaths::new(std::slice::from_ref(&name), Vec::new()).unwrap();
        // Naming a link to it is naming it.
        assert_eq!(list.find(&name, false).unwrap().root, Path::new("/proc"));
        for bad in ["relative", "/nowhere/at/all", "/etc:rwx", "/etc/../proc"] {
            let error = HostPaths::new(&[bad.to_owned()], Vec::new()).unwrap_err().to_string();
            assert!(error.starts_with("--allowed-host-paths"), "{error}");
        }
    }
}
