//! The socket in the file system by which executors reach the agent, also from a network of their own. It has a directory to
//! itself, which no container sees but those of executors, who can only read it: a socket that is made anew in it is the
//! same place to those who run already.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Component, Path, PathBuf};

use chapada_listener::LocalListener;
use chapada_shim::{ContainerSpec, VolumeMount, VolumeSource};

use crate::config::AgentConfig;
use crate::error::AgentError;
use crate::layout::Layout;

const FLAG: &str = "domain-socket-location";
/// Where agents have their sockets that name no other place: each in a directory that is named after its work directory.
const HOME: &str = "/run/chapada/agents";
/// What executors find it by. Source: Mesos.
const VARIABLE: &str = "MESOS_DOMAIN_SOCKET";
/// The longest path of a socket, in bytes. Source: `unix(7)`, with the byte that ends it.
const LONGEST: usize = 107;
/// What containers have of their own in the place of the machine's.
const NOT_SEEN: [&str; 4] = ["/tmp", "/proc", "/sys", "/dev"];
/// Everyone may connect who gets there: a container's user is any.
const MODE: u32 = 0o666;

/// The place of the socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DomainSocket {
    directory: PathBuf,
    path: PathBuf,
}

impl DomainSocket {
    /// What is configured; `None` when executors speak over the network only. `hidden` is what no container sees.
    ///
    /// # Errors
    /// Names the flag.
    pub(crate) fn of(
        config: &AgentConfig,
        layout: &Layout,
        hidden: &[PathBuf],
    ) -> Result<Option<Self>, AgentError> {
        if !config.http_executor_domain_sockets {
            return Ok(None);
        }
        let own = || {
            let name = crc32fast::hash(layout.work_dir().as_os_str().as_encoded_bytes());
            Path::new(HOME).join(format!("{name:08x}")).join("agent.sock")
        };
        let path = config.domain_socket_location.clone().unwrap_or_else(own);
        Self::at(path, hidden).map(Some).map_err(|problem| AgentError::flag(FLAG, problem))
    }

    fn at(path: PathBuf, hidden: &[PathBuf]) -> Result<Self, String> {
        let shown = path.display();
        let length = path.as_os_str().len();
        if length > LONGEST {
            return Err(format!("{shown} has {length} bytes, and the kernel takes {LONGEST} at most"));
        }
        let is_plain =
            path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        let directory = path.parent().filter(|above| above.parent().is_some());
        let (true, true, Some(directory)) = (is_plain, path.is_absolute(), directory) else {
            return Err(format!("{shown} is no absolute path, without '..', in a directory"));
        };
        let mut unseen = NOT_SEEN.iter().map(Path::new).chain(hidden.iter().map(PathBuf::as_path));
        if let Some(above) = unseen.find(|above| directory.starts_with(above)) {
            return Err(format!("{shown} is below {}, which containers do not see", above.display()));
        }
        Ok(Self { directory: directory.to_owned(), path })
    }

    /// What is hidden from containers, and shown to executors.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Makes the socket, in the place of one that a killed agent left.
    ///
    /// # Errors
    /// Names the flag: the directory holds other things, another agent listens there, or the kernel refuses.
    pub(crate) fn open(&self) -> Result<LocalListener, AgentError> {
        self.listen().map_err(|problem| AgentError::flag(FLAG, problem))
    }

    fn listen(&self) -> Result<LocalListener, String> {
        let (directory, path) = (self.directory.display(), self.path.display());
        let failed = |error: io::Error| format!("cannot make {path}: {error}");
        DirBuilder::new().recursive(true).mode(0o755).create(&self.directory).map_err(failed)?;
        if fs::canonicalize(&self.directory).map_err(failed)? != self.directory {
            return Err(format!("a symbolic link leads to {directory}: name it without"));
        }
        for entry in fs::read_dir(&self.directory).map_err(failed)? {
            if entry.map_err(failed)?.path() != self.path {
                return Err(format!("{directory} holds other things: give the socket a directory to itself"));
            }
        }
        if UnixStream::connect(&self.path).is_ok() {
            return Err(format!("another agent listens at {path}"));
        }
        self.remove().map_err(failed)?;
        fs::set_permissions(&self.directory, Permissions::from_mode(0o755)).map_err(failed)?;
        let listener = LocalListener::bind(&self.path).map_err(failed)?;
        fs::set_permissions(&self.path, Permissions::from_mode(MODE)).map_err(failed)?;
        Ok(listener)
    }

    /// Removes the socket. Its directory stays: executors that run on have it.
    pub(crate) fn close(&self) {
        if let Err(error) = self.remove() {
            tracing::warn!(path = %self.path.display(), %error, "the socket for executors stays");
        }
    }

    /// Removes the directory, which no executor has any more.
    pub(crate) fn leave(&self) {
        if let Err(error) = fs::remove_dir(&self.directory) {
            tracing::debug!(path = %self.directory.display(), %error, "the directory of a socket stays");
        }
    }

    fn remove(&self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    /// Shows the socket to an executor, and tells where it is.
    pub(crate) fn show(&self, spec: &mut ContainerSpec) {
        let (root, path) = (self.directory.clone(), PathBuf::new());
        let source = VolumeSource::Host { root, path, give: false };
        spec.volumes.push(VolumeMount { source, target: self.directory.clone(), read_only: true });
        if !spec.environment.iter().any(|(name, _)| name == VARIABLE) {
            spec.environment.push((VARIABLE.to_owned(), self.path.display().to_string()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_cannot_be_is_named() {
        let hidden = [PathBuf::from("/w")];
        let problem = |path: &str| DomainSocket::at(path.into(), &hidden).unwrap_err();
        assert!(problem(&format!("/run/{}/s", "x".repeat(110))).ends_with("takes 107 at most"));
        assert!(problem("run/s").contains("no absolute path"));
        assert!(problem("/s").contains("in a directory"));
        assert!(problem("/run/../s").contains("without '..'"));
        assert!(problem("/w/runtime/s").contains("is below /w, which containers do not see"));
        assert!(problem("/tmp/s").contains("is below /tmp, which"));
        let found = DomainSocket::at("/run/a/s".into(), &hidden).unwrap();
        assert_eq!(found.directory(), Path::new("/run/a"));
    }

    #[tokio::test]
    async fn a_directory_of_others_is_left_alone_and_a_socket_left_behind_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let directory = fs::canonicalize(folder.path()).unwrap().join("own");
        let socket = DomainSocket { path: directory.join("s"), directory: directory.clone() };
        let listener = socket.listen().unwrap();
        assert!(socket.listen().unwrap_err().contains("another agent listens"));
        drop(listener);
        drop(socket.listen().unwrap());
        fs::write(directory.join("other"), "").unwrap();
        assert!(socket.listen().unwrap_err().contains("holds other things"));
        fs::remove_file(directory.join("other")).unwrap();
        socket.close();
        socket.leave();
        assert!(!directory.exists());
    }
}
