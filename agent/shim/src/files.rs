//! What a container sees of files: its root, and what is mounted into it.

use std::path::{Component, Path, PathBuf};

use chapada_isolation::root::RootSource;
use serde::{Deserialize, Serialize};

use crate::spec::{InvalidSpec, absolute};

/// More layers do not fit the one page that the kernel takes their names in.
const MAX_LAYERS: usize = 200;

/// A root file system of a container's own. The host's files are not there then, `hidden_paths` has no purpose, and `/proc`,
/// `/sys` and `/dev` are made in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootFileSystem {
    /// What it is made of.
    pub source: RootSource,
    /// Whether the container can write to it; volumes, sandbox and `/tmp` are their own.
    pub read_only: bool,
    /// Where the sandbox shows, absolute in the container. Made if it is not there, like the place of a volume.
    pub sandbox: PathBuf,
    /// Text that replaces files of `/etc`.
    pub names: Names,
}

/// The files by which a container knows itself and others. `None`: as the image has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Names {
    /// `/etc/hosts`.
    pub hosts: Option<String>,
    /// `/etc/resolv.conf`.
    pub resolv_conf: Option<String>,
    /// `/etc/hostname`.
    pub hostname: Option<String>,
}

impl RootFileSystem {
    /// This source, writable, the sandbox at `/mnt/mesos/sandbox` as Mesos has it, `/etc` as the image has it.
    pub fn new(source: RootSource) -> Self {
        let sandbox = PathBuf::from("/mnt/mesos/sandbox");
        Self { source, read_only: false, sandbox, names: Names::default() }
    }

    pub(crate) fn validate(&self) -> Result<(), InvalidSpec> {
        absolute("root.sandbox", &self.sandbox)?;
        match &self.source {
            RootSource::Directory(directory) => absolute("root.source", directory),
            RootSource::Overlay { lower, upper, work } => {
                if lower.is_empty() || lower.len() > MAX_LAYERS {
                    let rule = "there must be 1 to 200 lower directories";
                    return Err(InvalidSpec { field: "root.source", rule });
                }
                lower.iter().chain([upper, work]).try_for_each(|path| absolute("root.source", path))
            }
        }
    }
}

/// Something that shows in a container. Set-user-id bits and device nodes in it are without effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeMount {
    /// What it is.
    pub source: VolumeSource,
    /// Where it shows: relative to the sandbox, or absolute in the container. Made if it is not there, unless the container has
    /// the host's files and it is absolute; never in `/proc`, `/sys` or a cgroup.
    pub target: PathBuf,
    /// Whether the container can write to it.
    pub read_only: bool,
}

/// What a volume is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum VolumeSource {
    /// A directory or plain file of the host. A socket, pipe or device is refused.
    Host {
        /// A directory that nobody but the agent and operators can bend.
        root: PathBuf,
        /// Beneath it; a symbolic link on the way is refused. Empty: the root itself.
        path: PathBuf,
        /// Whether the shim gives it (not what is in it) to the container's user.
        give: bool,
    },
    /// A directory or plain file of the container's own sandbox, beneath it, without links. A directory that is not there is
    /// made. It belongs to the container's user.
    Sandbox {
        /// Beneath the sandbox.
        path: PathBuf,
    },
    /// Layers of an image, unpacked with overlayfs whiteouts; only to be read. In a user namespace their disk must be one that
    /// can be mapped.
    Layers {
        /// At least one, the uppermost first, as for a root.
        lower: Vec<PathBuf>,
    },
    /// Memory, charged to the container.
    Memory {
        /// The most it holds.
        size_bytes: u64,
    },
    /// A file in memory that its user alone can read; it is never on a disk.
    Secret {
        /// What is in the file.
        content: Vec<u8>,
    },
}

impl VolumeSource {
    /// What is at this absolute path of the host, if no symbolic link is on the way: for what is beneath a directory that
    /// somebody else can bend, as sandboxes of containers within others are.
    pub fn without_links(path: &Path) -> Self {
        let path = path.strip_prefix("/").unwrap_or(path).to_owned();
        Self::Host { root: "/".into(), path, give: false }
    }
}

impl VolumeMount {
    /// A directory of the agent's that a container of whatever user may write to, as `target` in its sandbox.
    pub fn given(directory: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Self {
        let source = VolumeSource::Host { root: directory.into(), path: PathBuf::new(), give: true };
        Self { source, target: target.into(), read_only: false }
    }

    pub(crate) fn validate(&self) -> Result<(), InvalidSpec> {
        let refuse = |rule| Err(InvalidSpec { field: "volumes", rule });
        if !is_plain(&self.target)
            || !self.target.components().any(|part| matches!(part, Component::Normal(_)))
        {
            return refuse("a target must be a path without '..' that names something");
        }
        if ["stdout", "stderr"].iter().any(|log| self.target.starts_with(log)) {
            return refuse("a target must not be 'stdout' or 'stderr' of the sandbox");
        }
        match &self.source {
            VolumeSource::Host { root, path, .. } => {
                absolute("volumes", root)?;
                if path.is_absolute() || !is_plain(path) {
                    return refuse("a path beneath a root must be relative and without '..'");
                }
            }
            VolumeSource::Sandbox { path } => {
                let named = path.components().any(|part| matches!(part, Component::Normal(_)));
                if path.is_absolute() || !is_plain(path) || !named {
                    return refuse(
                        "a path in the sandbox must be relative, without '..', and name something",
                    );
                }
            }
            VolumeSource::Layers { lower } => {
                if lower.is_empty() || lower.len() > MAX_LAYERS {
                    return refuse("there must be 1 to 200 layers");
                }
                lower.iter().try_for_each(|layer| absolute("volumes", layer))?;
            }
            VolumeSource::Memory { .. } | VolumeSource::Secret { .. } => {}
        }
        Ok(())
    }
}

fn is_plain(path: &Path) -> bool {
    let dots = path.components().any(|part| part == Component::ParentDir);
    !dots && !path.as_os_str().as_encoded_bytes().contains(&0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_paths_without_dots_and_no_logs() {
        let valid = |target: &str| VolumeMount::given("/data", target).validate().is_ok();
        assert!(valid("data") && valid("a/b") && valid("/data/x"));
        for bad in ["", "/", ".", "..", "a/../b", "stdout", "stderr", "stdout/x", "a\0"] {
            assert!(!valid(bad), "{bad}");
        }
    }

    #[test]
    fn sources_beneath_a_root_are_relative() {
        let valid = |root: &str, path: &str| {
            let source = VolumeSource::Host { root: root.into(), path: path.into(), give: false };
            VolumeMount { source, target: "x".into(), read_only: true }.validate().is_ok()
        };
        assert!(valid("/data", "a/b") && valid("/data", ""));
        assert!(!valid("data", "a") && !valid("/data", "/a") && !valid("/data", "a/../../b"));
    }

    #[test]
    fn a_root_has_layers_and_their_names_fit() {
        let overlay = |count| {
            let lower = vec!["/layer".into(); count];
            RootFileSystem::new(RootSource::Overlay { lower, upper: "/u".into(), work: "/w".into() })
                .validate()
        };
        assert!(overlay(1).is_ok() && overlay(MAX_LAYERS).is_ok());
        assert!(overlay(0).is_err() && overlay(MAX_LAYERS + 1).is_err());
        assert!(RootFileSystem::new(RootSource::Directory("relative".into())).validate().is_err());
    }
}
