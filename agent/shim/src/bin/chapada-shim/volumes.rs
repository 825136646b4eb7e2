//! Volumes: opened outside, where every path still is the host's, and put in their places inside.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use chapada_isolation::ids::Mapping;
use chapada_isolation::layers::Layers;
use chapada_isolation::places::{self, Kind};
use chapada_isolation::trees::{Restrictions, Tree};
use chapada_isolation::{Context, IsolationError, beneath};
use chapada_shim::{ContainerSpec, VolumeMount, VolumeSource};
use nix::mount::{MntFlags, umount2};

use crate::filesystem::{Owner, give};

/// Where something is put together for a moment: in our own `/dev`, before anybody can look.
const STAGE: &str = "/dev/.stage";

pub(crate) struct Volume {
    kind: Kind,
    content: Content,
    /// To be given to the user.
    give: Option<File>,
    /// Whether ids on its disk are the container's, not the host's.
    mapped: bool,
}

enum Content {
    Tree(Tree),
    Layers(Layers),
    Secret,
}

/// Where volumes go, and whose they are there.
pub(crate) struct Places<'a> {
    pub(crate) root: &'a File,
    pub(crate) sandbox: &'a File,
    pub(crate) on_host: Owner,
    pub(crate) inside: Owner,
}

/// Puts the volumes of this spec where they belong, in its order.
pub(crate) fn place(
    volumes: &[Volume],
    spec: &ContainerSpec,
    places: &Places<'_>,
) -> Result<(), IsolationError> {
    for (volume, mount) in volumes.iter().zip(&spec.volumes) {
        if let Some(file) = &volume.give {
            let owner = if volume.mapped { places.inside } else { places.on_host };
            give(file, owner).context("give away the volume", mount.target.display())?;
        }
        let place = match (mount.target.is_absolute(), &spec.root) {
            (false, _) => places::make(places.sandbox, &mount.target, volume.kind)?,
            (true, Some(_)) => places::make(places.root, &mount.target, volume.kind)?,
            // What would be made is the host's.
            (true, None) => places::find(places.root, &mount.target, volume.kind)?,
        };
        let made;
        let tree = match (&volume.content, &mount.source) {
            (Content::Tree(tree), _) => tree,
            (Content::Layers(layers), _) => {
                made = on_stage(|| {
                    let place = layers.put_to_be_read(Path::new(STAGE))?;
                    Tree::of(beneath::directory(&place)?, "an image volume")
                })?;
                &made
            }
            (Content::Secret, VolumeSource::Secret { content }) => {
                made = secret(content, places.on_host)?;
                &made
            }
            (Content::Secret, _) => continue,
        };
        let can_change = !mount.read_only && matches!(volume.content, Content::Tree(_));
        tree.restrict(if can_change {
            Restrictions::DATA
        } else {
            Restrictions::DATA.and(Restrictions::READ_ONLY)
        })?;
        tree.put(place, mount.target.display())?;
    }
    Ok(())
}

impl Volume {
    /// Under a user namespace a volume of the host's is mapped: what is on its disk has the ids that the container has. What
    /// is in the sandbox has those of the host, as all of that. Layers show the container's ids also where they cannot be mapped.
    pub(crate) fn open(
        mount: &VolumeMount,
        sandbox: &File,
        mapping: Option<Mapping<'_>>,
    ) -> Result<Self, IsolationError> {
        let mapped = mapping.is_some();
        match &mount.source {
            VolumeSource::Host { root, path, give } => {
                let opened = open_source(root, path)?;
                let name = root.join(path);
                let kind = kind_of(&opened, &name)?;
                let tree = mapped_tree(&opened, &name, mapping)?;
                Ok(Self { kind, content: Content::Tree(tree), give: give.then_some(opened), mapped })
            }
            VolumeSource::Sandbox { path } => {
                let opened =
                    beneath::make_or_open(sandbox, path).context("open in the sandbox", path.display())?;
                let kind = kind_of(&opened, path)?;
                let content = Content::Tree(Tree::of(&opened, path.display())?);
                Ok(Self { kind, content, give: Some(opened), mapped: false })
            }
            VolumeSource::Layers { lower } => {
                let opened = lower.iter().map(|layer| open_source(layer, Path::new("")));
                let opened = opened.collect::<Result<Vec<_>, _>>()?;
                let content = Content::Layers(Layers::of(&opened, mapping)?);
                Ok(Self { kind: Kind::Directory, content, give: None, mapped })
            }
            VolumeSource::Memory { size_bytes } => {
                let size = size_bytes.to_string();
                let options = [(c"size", Some(size.as_str())), (c"mode", Some("0755"))];
                let tree = Tree::new(c"tmpfs", &options, Restrictions::DATA)?;
                let give = tree.as_fd().try_clone_to_owned().context("hold", "a volume of memory")?;
                let (content, give) = (Content::Tree(tree), Some(give.into()));
                Ok(Self { kind: Kind::Directory, content, give, mapped: false })
            }
            VolumeSource::Secret { .. } => {
                Ok(Self { kind: Kind::File, content: Content::Secret, give: None, mapped: false })
            }
        }
    }
}

fn kind_of(opened: &File, name: &Path) -> Result<Kind, IsolationError> {
    let metadata = opened.metadata().context("look at the volume", name.display())?;
    match (metadata.is_dir(), metadata.is_file()) {
        (true, _) => Ok(Kind::Directory),
        (_, true) => Ok(Kind::File),
        _ => {
            let reason = "it is neither a directory nor a plain file";
            Err(IsolationError::invalid("mount", name.display(), reason))
        }
    }
}

fn mapped_tree(opened: &File, name: &Path, mapping: Option<Mapping<'_>>) -> Result<Tree, IsolationError> {
    let tree = Tree::of(opened, name.display())?;
    if let Some(mapping) = mapping {
        tree.map_ids(mapping.namespace, name.display())?;
    }
    Ok(tree)
}

fn open_source(root: &Path, path: &Path) -> Result<File, IsolationError> {
    let opened = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_NOFOLLOW)
        .open(root)
        .context("open the volume", root.display())?;
    if path.as_os_str().is_empty() {
        return Ok(opened);
    }
    beneath::open(&opened, path, libc::O_PATH | libc::O_NOFOLLOW, 0)
        .context("open the volume", root.join(path).display())
}

/// A secret's file, in memory of its own.
fn secret(content: &[u8], owner: Owner) -> Result<Tree, IsolationError> {
    on_stage(|| {
        let path = Path::new(STAGE).join("secret");
        let write = || {
            let mut file =
                std::fs::OpenOptions::new().create_new(true).write(true).mode(0o400).open(&path)?;
            file.write_all(content)?;
            give(&file, owner)?;
            Ok::<_, io::Error>(file)
        };
        Tree::of(write().context("keep", "a secret")?, "a secret")
    })
}

/// Runs this while there is memory at [`STAGE`].
fn on_stage(make: impl FnOnce() -> Result<Tree, IsolationError>) -> Result<Tree, IsolationError> {
    std::fs::create_dir(STAGE).context("create", STAGE)?;
    let memory = Tree::new(c"tmpfs", &[(c"mode", Some("0700"))], Restrictions::DATA)?;
    memory.put(beneath::directory(Path::new(STAGE))?, STAGE)?;
    let made = make()?;
    umount2(STAGE, MntFlags::MNT_DETACH).context("let go of", STAGE)?;
    std::fs::remove_dir(STAGE).context("remove", STAGE)?;
    Ok(made)
}
