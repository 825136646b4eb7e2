//! The files of a container: what is opened outside, where every path still is the host's, and what is mounted inside.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use chapada_isolation::cgroup::Cgroups;
use chapada_isolation::ids::{self, IdRange, Mapping};
use chapada_isolation::places::{self, Kind};
use chapada_isolation::root;
use chapada_isolation::trees::{Restrictions, Tree};
use chapada_isolation::user::User;
use chapada_isolation::{Context, IsolationError, beneath, devices, hand_over, mounts};
use chapada_shim::{ContainerSpec, Device, Names, RootFileSystem, SetupError, SetupFailure};
use nix::fcntl::AtFlags;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, unlinkat};

use crate::container::of;
use crate::volumes::{self, Places, Volume};

/// What was opened outside.
pub(crate) struct Files {
    sandbox: File,
    sandbox_tree: Tree,
    volumes: Vec<Volume>,
    /// Standard output and error, which belong to the user.
    logs: [File; 2],
    user_namespace: Option<(OwnedFd, IdRange)>,
}

/// That of a container within another is beneath the other's sandbox, which may have put a link in the way.
fn sandbox_of(spec: &ContainerSpec) -> Result<File, IsolationError> {
    match spec.within.is_empty() {
        true => beneath::directory(&spec.sandbox),
        false => beneath::directory_without_links(&spec.sandbox),
    }
}

/// User and group, as the host or a mapped disk numbers them.
#[derive(Clone, Copy)]
pub(crate) struct Owner(pub(crate) u32, pub(crate) u32);

impl Files {
    /// Opens sandbox, logs and volumes of the host. A user namespace is one that was made ahead, if there is one.
    pub(crate) fn open(spec: &ContainerSpec, ids: Option<&ids::Vacant>) -> Result<Self, SetupError> {
        let sandbox = sandbox_of(spec).map_err(of(SetupFailure::Sandbox))?;
        let sandbox_tree = Tree::of(&sandbox, spec.sandbox.display()).map_err(of(SetupFailure::Sandbox))?;
        let log = |name| beneath::log_file(&sandbox, name).map_err(of(SetupFailure::Sandbox));
        let logs = [log("stdout")?, log("stderr")?];
        let make = |range| match ids {
            Some(vacant) => Ok((vacant.map(range)?, range)),
            // SAFETY: this program never starts a thread.
            None => Ok((unsafe { ids::Vacant::make() }?.map(range)?, range)),
        };
        let user_namespace =
            spec.user_namespace.map(make).transpose().map_err(of(SetupFailure::Namespace))?;
        let mapping = user_namespace.as_ref().map(mapping);
        let volumes = spec.volumes.iter().map(|mount| Volume::open(mount, &sandbox, mapping));
        let volumes = volumes.collect::<Result<_, _>>().map_err(of(SetupFailure::Volume))?;
        Ok(Self { sandbox, sandbox_tree, logs, volumes, user_namespace })
    }

    /// The logs, opened a second time.
    pub(crate) fn clone_logs(&self) -> Result<[File; 2], SetupError> {
        let [stdout, stderr] = &self.logs;
        let clone =
            |file: &File| file.try_clone().context("hold", "a log").map_err(of(SetupFailure::Sandbox));
        Ok([clone(stdout)?, clone(stderr)?])
    }

    /// The host's directory.
    pub(crate) fn sandbox(&self) -> &File {
        &self.sandbox
    }

    /// Takes this process into the container's user namespace, if it has one.
    pub(crate) fn enter_user_namespace(&self) -> Result<(), IsolationError> {
        self.user_namespace.as_ref().map_or(Ok(()), |(namespace, _)| ids::enter(namespace))
    }

    /// The user as the host knows it.
    fn on_host(&self, user: &User) -> Result<Owner, IsolationError> {
        let Some((_, range)) = &self.user_namespace else { return Ok(Owner(user.uid, user.gid)) };
        match (range.on_host(user.uid), range.on_host(user.gid)) {
            (Some(uid), Some(gid)) => Ok(Owner(uid, gid)),
            _ => Err(IsolationError::invalid(
                "become user",
                user.uid,
                "it is beyond the container's range of ids",
            )),
        }
    }

    /// The container's root as the host knows it.
    fn first_id(&self) -> u32 {
        self.user_namespace.as_ref().map_or(0, |(_, range)| range.first)
    }

    /// Makes what the container sees, goes to its working directory, and says who it runs as.
    pub(crate) fn enter(&self, spec: &ContainerSpec, cgroups: &Cgroups) -> Result<User, SetupError> {
        let (user, root) = match &spec.root {
            None => self.hosts_files(spec)?,
            Some(own) => self.own_files(spec, own, cgroups)?,
        };
        let owner = self.on_host(&user).map_err(of(SetupFailure::User))?;
        let make = |device: &Device| device.make((owner.0, owner.1));
        spec.devices.iter().try_for_each(make).map_err(of(SetupFailure::Namespace))?;
        self.place_volumes(spec, &root, &user).map_err(of(SetupFailure::Volume))?;
        let finish = || {
            spec.working_directory.iter().try_for_each(|path| root::change_directory(&root, path))?;
            let read_only = spec.root.as_ref().is_some_and(|own| own.read_only);
            if read_only { root::freeze(&root) } else { Ok(()) }
        };
        finish().map_err(of(SetupFailure::Root))?;
        Ok(user)
    }

    /// The host's files, but for what is none of a container's business.
    fn hosts_files(&self, spec: &ContainerSpec) -> Result<(User, File), SetupError> {
        let user = spec.user.as_deref().map_or_else(|| Ok(User::current()), User::find);
        let user = user.and_then(|user| spec.permitted(user)).map_err(of(SetupFailure::User))?;
        self.give(spec, &user)?;
        let cover = || {
            let root = beneath::directory(Path::new("/"))?;
            let mut covers = mounts::Covers::new(&spec.sandbox, &self.sandbox, &self.sandbox_tree)?;
            devices::minimal(&root, spec.shm_bytes, self.first_id())?;
            mounts::processes(&root)?;
            mounts::hosts_system()?;
            for path in &spec.hidden_paths {
                covers.hide(path)?;
            }
            temporary_files(spec, &root, self.first_id())?;
            covers.finish()?;
            Ok(root)
        };
        Ok((user, cover().map_err(of(SetupFailure::Namespace))?))
    }

    /// A root of its own. Until `/proc` is mounted in it, nothing but its own files can be reached.
    fn own_files(
        &self,
        spec: &ContainerSpec,
        own: &RootFileSystem,
        cgroups: &Cgroups,
    ) -> Result<(User, File), SetupError> {
        // The runtime directory is there, and of no use inside.
        let stage = spec.runtime_dir.as_path();
        let enter = || {
            let mapping = self.user_namespace.as_ref().map(mapping);
            let place = root::mount_below(stage, &own.source, mapping)?;
            let root = root::enter(&place)?;
            write_names(&root, &own.names)?;
            Ok(root)
        };
        let groups = mounts::hold_groups(cgroups.hierarchies(), &cgroups.parent().join(&spec.id));
        let groups = groups.map_err(of(SetupFailure::Cgroup))?;
        let root = enter().map_err(of(SetupFailure::Root))?;
        let user = User::find_within(&root, spec.user.as_deref().unwrap_or("0"));
        let user = user.and_then(|user| spec.permitted(user)).map_err(of(SetupFailure::User))?;
        self.give(spec, &user)?;
        let furnish = || {
            devices::minimal(&root, spec.shm_bytes, self.first_id())?;
            mounts::processes(&root)?;
            mounts::own_system(&root, &groups)?;
            temporary_files(spec, &root, self.first_id())?;
            self.sandbox_tree.restrict(Restrictions::DATA)?;
            let place = places::make(&root, &own.sandbox, Kind::Directory)?;
            self.sandbox_tree.put(place, own.sandbox.display())?;
            root::change_directory(&root, &own.sandbox)
        };
        furnish().map_err(of(SetupFailure::Namespace))?;
        Ok((user, root))
    }

    /// The working directory is the sandbox now.
    fn place_volumes(&self, spec: &ContainerSpec, root: &File, user: &User) -> Result<(), IsolationError> {
        let (on_host, inside) = (self.on_host(user)?, Owner(user.uid, user.gid));
        let sandbox = beneath::directory(Path::new("."))?;
        volumes::place(&self.volumes, spec, &Places { root, sandbox: &sandbox, on_host, inside })
    }

    /// Sandbox and logs belong to the user, and so does what was put there for it.
    fn give(&self, spec: &ContainerSpec, user: &User) -> Result<(), SetupError> {
        let owner = self.on_host(user).map_err(of(SetupFailure::User))?;
        let [stdout, stderr] = &self.logs;
        for (file, name) in [(&self.sandbox, "."), (stdout, "stdout"), (stderr, "stderr")] {
            give(file, owner).context("give away in the sandbox", name).map_err(of(SetupFailure::Sandbox))?;
        }
        let Some(from) = spec.furnished_by else { return Ok(()) };
        hand_over::hand_over(&self.sandbox, from, (owner.0, owner.1)).map_err(of(SetupFailure::Sandbox))
    }
}

fn mapping((namespace, range): &(OwnedFd, IdRange)) -> Mapping<'_> {
    Mapping { namespace: namespace.as_fd(), range: *range }
}

/// Works on a file that is only held, too.
pub(crate) fn give(file: &File, owner: Owner) -> io::Result<()> {
    let metadata = file.metadata()?;
    if (metadata.uid(), metadata.gid()) == (owner.0, owner.1) {
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(owner.0), Gid::from_raw(owner.1));
    Ok(fchownat(file, "", Some(uid), Some(gid), AtFlags::AT_EMPTY_PATH)?)
}

fn temporary_files(spec: &ContainerSpec, root: &File, owner: u32) -> Result<(), IsolationError> {
    let Some(bytes) = spec.temporary_bytes() else { return Ok(()) };
    let (size, owner) = (bytes.to_string(), owner.to_string());
    let options = [
        (c"mode", Some("1777")),
        (c"uid", Some(owner.as_str())),
        (c"gid", Some(owner.as_str())),
        (c"size", Some(size.as_str())),
    ];
    let tree = Tree::new(c"tmpfs", &options, Restrictions::DATA)?;
    tree.put(places::own_directory(root, Path::new("tmp"))?, "/tmp")
}

/// Replaces files of `/etc`, which may be links in an image.
fn write_names(root: &File, names: &Names) -> Result<(), IsolationError> {
    let files = [("hosts", &names.hosts), ("resolv.conf", &names.resolv_conf), ("hostname", &names.hostname)];
    for (name, text) in files {
        let Some(text) = text else { continue };
        let etc = places::make(root, Path::new("/etc"), Kind::Directory)?;
        replace(etc.as_fd(), name, text).context("write", format_args!("/etc/{name}"))?;
    }
    Ok(())
}

fn replace(directory: BorrowedFd<'_>, name: &str, text: &str) -> io::Result<()> {
    match unlinkat(directory, name, UnlinkatFlags::NoRemoveDir).map_err(io::Error::from) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let flags = libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY;
    beneath::open(directory, Path::new(name), flags, 0o644)?.write_all(text.as_bytes())
}
