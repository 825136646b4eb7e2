//! The volumes of a `ContainerInfo`: what shows in the container, where, and what of it is refused by the name of its field.

use std::path::{Component, Path, PathBuf};

use chapada_agent_core::LaunchRefusal;
use chapada_wire::v1;
use v1::volume::Source;
use v1::volume::source::Type;
use v1::volume::source::sandbox_path::Type as Above;

use super::description::{refusal, text, unsupported};
use super::image::{ImageWish, of_image};
use crate::policy::{HostPath, Policy};

/// What has its own place in a sandbox.
const RESERVED: [&str; 4] = ["containers", "tasks", "stdout", "stderr"];
const SECRET: &str = "set a value: this agent knows no one who resolves references";

/// Whose volumes they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// A task's with a container to itself, or an executor's of a framework's own.
    Single,
    /// A task's of a pod.
    Member,
    /// Those of a pod, for its tasks to share.
    Pod,
}

/// Something that shows in a container.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) origin: Origin,
    /// Relative to the sandbox, or absolute in the container.
    pub(super) target: PathBuf,
    pub(super) read_only: bool,
}

/// Where it comes from.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The machine.
    Host(HostPath),
    /// The container's own sandbox.
    Own(PathBuf),
    /// The sandbox of its pod.
    Parent(PathBuf),
    /// Memory, of this many bytes at most.
    Memory(Option<u64>),
    /// A secret.
    Secret(Value),
    /// Another image.
    Image(Box<ImageWish>),
}

/// What nobody is to read in a log.
#[derive(PartialEq, Eq)]
pub(super) struct Value(pub(super) Vec<u8>);

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Value")
    }
}

/// The volumes of a container; `field` is where it stands.
///
/// # Errors
/// Names the first field that this agent cannot honour, or that its operator does not allow.
pub(super) fn mounts(
    field: &str,
    container: &v1::ContainerInfo,
    whose: Whose,
    policy: &Policy,
) -> Result<Vec<Mount>, LaunchRefusal> {
    let each = container.volumes.iter().enumerate();
    each.map(|(index, volume)| {
        let field = format!("{field}.volumes[{index}]");
        let named = |name: &str| format!("{field}.{name}");
        let target = target(&named("container_path"), text(&volume.container_path), whose)?;
        let read_only = volume.mode() == v1::volume::Mode::Ro;
        let origin = match (&volume.host_path, &volume.image, &volume.source) {
            (Some(path), None, None) => host_path(&named("host_path"), path, read_only, policy)?,
            (None, Some(image), None) if read_only => {
                Origin::Image(Box::new(of_image(&named("image"), image)?))
            }
            (None, Some(_), None) => return Err(unsupported(&named("mode"), "mount an image with mode RO")),
            (None, None, Some(source)) => of_source(&named("source"), source, read_only, whose, policy)?,
            // As the sandbox has it anyway.
            (None, None, None) if target.is_relative() => Origin::Own(target.clone()),
            (None, None, None) => return Err(refusal(format!("{} is required", named("source")))),
            _ => return Err(refusal(format!("{field} has more than one of host_path, image and source"))),
        };
        match (&origin, whose) {
            (Origin::Host(_) | Origin::Own(_), _) | (_, Whose::Single | Whose::Member) => {}
            _ => return Err(unsupported(&field, "give it to each task of the group")),
        }
        Ok(Mount { origin, target, read_only })
    })
    .collect()
}

/// Where a volume shows.
pub(super) fn target(field: &str, path: &str, whose: Whose) -> Result<PathBuf, LaunchRefusal> {
    let target = plain(path).ok_or_else(|| refusal(format!("{field} {path:?} is no path without '..'")))?;
    if target.is_relative() && is_reserved(&target) {
        return Err(refusal(format!("{field} {path:?} is where the sandbox has something of its own")));
    }
    if target.is_absolute() && whose == Whose::Pod {
        return Err(unsupported(
            field,
            "a pod has no process: name a relative path, and share it with its tasks",
        ));
    }
    Ok(target)
}

/// The old way: a path of the machine, or one in the sandbox.
fn host_path(field: &str, path: &str, read_only: bool, policy: &Policy) -> Result<Origin, LaunchRefusal> {
    if Path::new(path).is_absolute() {
        return host(field, path, read_only, policy);
    }
    beneath(field, path).map(Origin::Own)
}

/// A path of the machine, as far as the operator allows.
pub(super) fn host(
    field: &str,
    path: &str,
    read_only: bool,
    policy: &Policy,
) -> Result<Origin, LaunchRefusal> {
    let found = policy.paths.find(path, !read_only);
    found.map(Origin::Host).map_err(|problem| refusal(format!("{field}: {problem}")))
}

fn of_source(
    field: &str,
    source: &Source,
    read_only: bool,
    whose: Whose,
    policy: &Policy,
) -> Result<Origin, LaunchRefusal> {
    let named = |name: &str| format!("{field}.{name}");
    let missing = |name: &str| refusal(format!("{} is required", named(name)));
    if let Some(tmpfs) = &source.tmpfs {
        let others = Source { tmpfs: None, ..source.clone() };
        return match others == Source::default() {
            true => Ok(Origin::Memory(tmpfs.size)),
            false => Err(refusal(format!("{field} has more than tmpfs"))),
        };
    }
    match source.r#type() {
        Type::HostPath => {
            let path = source.host_path.as_ref().ok_or_else(|| missing("host_path"))?;
            let propagation = path.mount_propagation.as_ref().and_then(|propagation| propagation.mode);
            if propagation.is_some_and(|mode| mode != v1::mount_propagation::Mode::Unknown as i32) {
                let remedy =
                    "leave it out: what is mounted in the container or, later, on the machine stays there";
                return Err(unsupported(&named("host_path.mount_propagation"), remedy));
            }
            host(&named("host_path.path"), text(&path.path), read_only, policy)
        }
        Type::SandboxPath => {
            let path = source.sandbox_path.as_ref().ok_or_else(|| missing("sandbox_path"))?;
            let found = beneath(&named("sandbox_path.path"), text(&path.path))?;
            match (path.r#type(), whose) {
                (Above::Self_, _) => Ok(Origin::Own(found)),
                (Above::Parent, Whose::Member) => Ok(Origin::Parent(found)),
                (Above::Parent, Whose::Single | Whose::Pod) => {
                    let remedy = "this container has no parent; use SELF";
                    Err(unsupported(&named("sandbox_path.type PARENT"), remedy))
                }
                (Above::Unknown, _) => Err(refusal(format!("{} is required", named("sandbox_path.type")))),
            }
        }
        Type::Secret => {
            let secret = source.secret.as_ref().ok_or_else(|| missing("secret"))?;
            secret_value(&named("secret"), secret).map(|value| Origin::Secret(Value(value.to_vec())))
        }
        Type::DockerVolume => Err(unsupported(
            &named("docker_volume"),
            "use a persistent volume, or a path that an operator allows",
        )),
        Type::CsiVolume => Err(unsupported(
            &named("csi_volume"),
            "use a persistent volume, or a path that an operator allows",
        )),
        Type::Unknown => Err(missing("type")),
    }
}

/// The bytes of a secret.
pub(super) fn secret_value<'a>(field: &str, secret: &'a v1::Secret) -> Result<&'a [u8], LaunchRefusal> {
    if secret.r#type() == v1::secret::Type::Reference || secret.reference.is_some() {
        return Err(unsupported(&format!("{field}.reference"), SECRET));
    }
    let data = secret.value.as_ref().and_then(|value| value.data.as_deref());
    data.ok_or_else(|| refusal(format!("{field}.value is required")))
}

/// A path within a sandbox.
fn beneath(field: &str, path: &str) -> Result<PathBuf, LaunchRefusal> {
    let found = plain(path).filter(|found| found.is_relative() && !is_reserved(found));
    found.ok_or_else(|| {
        refusal(format!("{field} {path:?} is no relative path, without '..', of a sandbox's own"))
    })
}

/// A path that names something, of plain names.
fn plain(text: &str) -> Option<PathBuf> {
    let path = Path::new(text);
    let parts = || path.components().filter(|part| *part != Component::CurDir);
    let is_plain = parts().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    let names = parts().any(|part| matches!(part, Component::Normal(_)));
    (is_plain && names && !text.contains('\0')).then(|| parts().collect())
}

fn is_reserved(path: &Path) -> bool {
    RESERVED.iter().any(|reserved| path.starts_with(reserved))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn of(volume: Json, whose: Whose, policy: &Policy) -> Result<Vec<Mount>, String> {
        let container = json!({"type": "MESOS", "volumes": [volume]}).to_string();
        let container: v1::ContainerInfo = chapada_wire::Json::from_json(container.as_bytes()).unwrap();
        mounts("c", &container, whose, policy).map_err(|refusal| refusal.message)
    }

    fn one(origin: Origin, target: &str, read_only: bool) -> Result<Vec<Mount>, String> {
        Ok(vec![Mount { origin, target: target.into(), read_only }])
    }

    fn source(source: Json) -> Json {
        json!({"mode": "RW", "container_path": "/data", "source": source})
    }

    #[test]
    fn volumes_of_each_kind_are_understood() {
        let policy = Policy::with(|config| config.allowed_host_paths = vec!["/usr:rw".into()]);
        let host = || Origin::Host(HostPath { root: "/usr".into(), path: "share".into() });
        let cases = [
            (json!({"mode": "RO", "container_path": "x", "host_path": "/usr/share"}), one(host(), "x", true)),
            (
                json!({"mode": "RW", "container_path": "/x", "host_path": "./a//b"}),
                one(Origin::Own("a/b".into()), "/x", false),
            ),
            (json!({"mode": "RW", "container_path": "x"}), one(Origin::Own("x".into()), "x", false)),
            (
                source(json!({"type": "HOST_PATH", "host_path": {"path": "/usr/share"}})),
                one(host(), "/data", false),
            ),
            (
                source(json!({"type": "SANDBOX_PATH", "sandbox_path": {"type": "SELF", "path": "a"}})),
                one(Origin::Own("a".into()), "/data", false),
            ),
            (
                source(json!({"type": "SANDBOX_PATH", "sandbox_path": {"type": "PARENT", "path": "a/b"}})),
                one(Origin::Parent("a/b".into()), "/data", false),
            ),
            (source(json!({"tmpfs": {"size": 4096}})), one(Origin::Memory(Some(4096)), "/data", false)),
            (
                source(json!({"type": "SECRET", "secret": {"type": "VALUE", "value": {"data": "aGk="}}})),
                one(Origin::Secret(Value(b"hi".to_vec())), "/data", false),
            ),
        ];
        for (volume, expected) in cases {
            assert_eq!(of(volume.clone(), Whose::Member, &policy), expected, "{volume}");
        }
        let image = json!({"mode": "RO", "container_path": "/x",
            "image": {"type": "DOCKER", "docker": {"name": "box:v1"}}});
        let found = of(image, Whose::Single, &policy).unwrap();
        assert!(matches!(found[0].origin, Origin::Image(_)));
    }

    #[test]
    fn what_is_not_allowed_or_not_there_is_named() {
        let policy = Policy::with(|_| {});
        let at = |path: &str| json!({"mode": "RW", "container_path": path, "host_path": "a"});
        let sandbox = |kind: &str, path: &str| {
            source(json!({"type": "SANDBOX_PATH", "sandbox_path": {"type": kind, "path": path}}))
        };
        let secret = |secret: Json| source(json!({"type": "SECRET", "secret": secret}));
        let cases = [
            (json!({"mode": "RW", "container_path": "/x", "host_path": "/"}), "c.volumes[0].host_path: "),
            (
                source(json!({"type": "HOST_PATH", "host_path": {"path": "/etc"}})),
                "c.volumes[0].source.host_path.path: ",
            ),
            (at("../x"), "c.volumes[0].container_path \"../x\""),
            (at("/"), "c.volumes[0].container_path \"/\""),
            (at("stdout"), "c.volumes[0].container_path \"stdout\""),
            (
                json!({"mode": "RW", "container_path": "/x", "host_path": "a/../../b"}),
                "c.volumes[0].host_path ",
            ),
            (json!({"mode": "RW", "container_path": "/x"}), "c.volumes[0].source is required"),
            (sandbox("PARENT", "a"), "c.volumes[0].source.sandbox_path.type PARENT is not"),
            (sandbox("SELF", "/etc"), "c.volumes[0].source.sandbox_path.path \"/etc\""),
            (sandbox("SELF", "tasks/other"), "c.volumes[0].source.sandbox_path.path \"tasks/other\""),
            (
                secret(json!({"type": "REFERENCE", "reference": {"name": "n"}})),
                "c.volumes[0].source.secret.reference is not",
            ),
            (secret(json!({"type": "VALUE"})), "c.volumes[0].source.secret.value is required"),
            (
                source(json!({"type": "DOCKER_VOLUME", "docker_volume": {"name": "v"}})),
                "c.volumes[0].source.docker_volume is not",
            ),
            (
                json!({"mode": "RW", "container_path": "/x",
                    "image": {"type": "DOCKER", "docker": {"name": "box"}}}),
                "c.volumes[0].mode is not",
            ),
        ];
        for (volume, message) in cases {
            let said = of(volume, Whose::Single, &policy).unwrap_err();
            assert!(said.starts_with(message), "{said}");
        }
        let open = Policy::with(|config| config.allowed_host_paths = vec!["/etc".into()]);
        let propagated = json!({"type": "HOST_PATH",
            "host_path": {"path": "/etc", "mount_propagation": {"mode": "BIDIRECTIONAL"}}});
        let mut propagated = source(propagated);
        propagated["mode"] = json!("RO");
        let said = of(propagated, Whose::Single, &open).unwrap_err();
        assert!(said.contains("mount_propagation is not"), "{said}");
        assert!(of(at("/x"), Whose::Pod, &policy).unwrap_err().contains("a pod has no process"));
    }
}
