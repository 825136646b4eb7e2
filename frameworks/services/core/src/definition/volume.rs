//! What shows in a container beside its own files.

use serde::Serialize;

use super::persistent::Persistent;
use super::reader::{Errors, FieldError, Fields};

/// What has its own place in a sandbox, where no volume may be.
const RESERVED: [&str; 4] = ["containers", "tasks", "stdout", "stderr"];
/// The most of one container.
const MAX_VOLUMES: usize = 100;

/// Something that shows in a container. A relative `container_path` is in the sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Volume {
    /// A path of the agent's machine, as far as its operator allows; a relative one is of the sandbox.
    #[serde(rename_all = "camelCase")]
    Host {
        /// Where it shows.
        container_path: String,
        /// What shows.
        host_path: String,
        /// Whether it may be changed.
        mode: VolumeMode,
    },
    /// A volume that outlives its tasks. It shows in the sandbox.
    #[serde(rename_all = "camelCase")]
    Persistent {
        /// Where it shows: a name.
        container_path: String,
        /// What disk it is on.
        persistent: Persistent,
        /// Always for reading and writing.
        mode: VolumeMode,
    },
    /// The value of a secret, as a file that may only be read.
    #[serde(rename_all = "camelCase")]
    Secret {
        /// Where it shows.
        container_path: String,
        /// Its name among the definition's secrets.
        secret: String,
    },
}

/// Whether a volume may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum VolumeMode {
    /// It may be read only.
    Ro,
    /// It may be read and written.
    Rw,
}

impl VolumeMode {
    /// From the field of that name; `None` when it is absent or wrong, which is noted.
    pub(crate) fn read(fields: &Fields<'_>, wrong: &mut Errors, broken: &mut Errors) -> Option<Self> {
        match fields.text("mode", wrong)?.as_str() {
            "RO" => Some(Self::Ro),
            "RW" => Some(Self::Rw),
            _ => {
                broken.push(FieldError::new(fields.path("mode"), "must be RO or RW"));
                None
            }
        }
    }
}

impl Volume {
    /// Where it shows.
    pub fn container_path(&self) -> &str {
        match self {
            Self::Host { container_path, .. }
            | Self::Persistent { container_path, .. }
            | Self::Secret { container_path, .. } => container_path,
        }
    }
}

/// The volumes of a container.
pub(super) fn read(container: &Fields<'_>, wrong: &mut Errors, broken: &mut Errors) -> Vec<Volume> {
    let volumes = container.objects("volumes", wrong).unwrap_or_default();
    volumes.iter().filter_map(|volume| read_one(volume, wrong, broken)).collect()
}

fn read_one(fields: &Fields<'_>, wrong: &mut Errors, broken: &mut Errors) -> Option<Volume> {
    if fields.get("containerPath").is_none() {
        wrong.push(FieldError::new(fields.path("containerPath"), "error.path.missing"));
    }
    let container_path = fields.text("containerPath", wrong)?;
    let kinds: Vec<&str> = ["hostPath", "secret", "persistent", "external"]
        .into_iter()
        .filter(|kind| fields.get(kind).is_some())
        .collect();
    match kinds.as_slice() {
        ["hostPath"] => {
            if fields.get("mode").is_none() {
                wrong.push(FieldError::new(fields.path("mode"), "error.path.missing"));
            }
            let (host_path, mode) =
                (fields.text("hostPath", wrong)?, VolumeMode::read(fields, wrong, broken)?);
            Some(Volume::Host { container_path, host_path, mode })
        }
        ["secret"] => Some(Volume::Secret { container_path, secret: fields.text("secret", wrong)? }),
        ["persistent"] => {
            if container_path.contains('/') {
                let error = "must be a name without '/': it shows in the sandbox";
                broken.push(FieldError::new(fields.path("containerPath"), error));
            }
            if fields.get("mode").is_some() && VolumeMode::read(fields, wrong, broken) == Some(VolumeMode::Ro)
            {
                broken.push(FieldError::new(fields.path("mode"), "must be RW"));
            }
            let persistent = Persistent::read(fields, wrong, broken)?;
            Some(Volume::Persistent { container_path, persistent, mode: VolumeMode::Rw })
        }
        ["external"] => {
            let error = "agents have no drivers of external volumes; use a persistent volume, or hostPath";
            broken.push(FieldError::new(fields.path("external"), error));
            None
        }
        _ => {
            let error = "must have exactly one of hostPath, secret, persistent and external";
            broken.push(FieldError::new(fields.at(), error));
            None
        }
    }
}

/// What is wrong with the volumes at `path`.
pub(super) fn rules(path: &str, volumes: &[Volume]) -> Errors {
    let mut errors = Errors::new();
    if volumes.len() > MAX_VOLUMES {
        errors.push(FieldError::new(path, format!("must not be more than {MAX_VOLUMES}")));
    }
    for (index, volume) in volumes.iter().enumerate() {
        let path = format!("{path}({index})");
        if let Some(error) = target_error(volume.container_path()) {
            errors.push(FieldError::new(format!("{path}/containerPath"), error));
        }
        let taken = &volumes[..index];
        if taken.iter().any(|other| other.container_path() == volume.container_path()) {
            errors.push(FieldError::new(format!("{path}/containerPath"), "must be unique"));
        }
        if let Volume::Host { host_path, .. } = volume
            && let Some(error) = host_error(host_path)
        {
            errors.push(FieldError::new(format!("{path}/hostPath"), error));
        }
    }
    errors
}

/// Why a volume cannot show at this path.
pub(crate) fn target_error(path: &str) -> Option<&'static str> {
    if !is_plain(path) {
        return Some("must be a path without '..'");
    }
    (!path.starts_with('/') && is_reserved(path)).then_some("is where the sandbox has something of its own")
}

/// Why this path of the machine, or of the sandbox when it is relative, cannot show.
pub(crate) fn host_error(path: &str) -> Option<&'static str> {
    if path.starts_with('/') {
        let fits = !path.contains('\0') && path.split('/').all(|part| part != "..");
        return (!fits).then_some("must be a path without '..'");
    }
    (!is_plain(path) || is_reserved(path)).then_some("must be absolute, or a path of the sandbox's own")
}

/// Whether it names something, by plain names.
fn is_plain(path: &str) -> bool {
    let mut parts = path.split('/').filter(|part| !part.is_empty() && *part != ".");
    let names = parts.clone().next().is_some();
    names && parts.all(|part| part != "..") && !path.contains('\0')
}

fn is_reserved(path: &str) -> bool {
    let first = path.split('/').find(|part| !part.is_empty() && *part != ".");
    first.is_some_and(|first| RESERVED.contains(&first))
}
