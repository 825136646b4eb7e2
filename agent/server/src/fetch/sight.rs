//! What a fetcher sees of the machine: libraries, certificates, how names are found, and what its order names. All of it
//! read-only but the sandbox.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use chapada_fetcher::{Job, Order};
use chapada_shim::{Names, RootFileSystem, RootSource, VolumeMount, VolumeSource};

/// Where a program finds its libraries; each is a directory, or a link as distributions have it since they moved all to `/usr`.
const LIBRARIES: [&str; 5] = ["usr", "lib", "lib32", "lib64", "libx32"];
/// What there is in `/etc`: of users, names of hosts, certificates and libraries.
const ETC: [&str; 10] = [
    "ca-certificates",
    "gai.conf",
    "group",
    "host.conf",
    "ld.so.cache",
    "nsswitch.conf",
    "passwd",
    "pki",
    "services",
    "ssl",
];

/// Where it finds what its order names.
const SANDBOX: &str = "/sandbox";
const STORE: &str = "/store";
const COPIES: &str = "/copies";
const ALLOWED: &str = "/allowed";
/// What is stored is under this name, in the directory for it.
pub(super) const STORED: &str = "file";

/// Something that shows in the fetcher's container.
pub(super) fn shown(source: impl Into<PathBuf>, target: impl Into<PathBuf>, read_only: bool) -> VolumeMount {
    let source = VolumeSource::Host { root: source.into(), path: PathBuf::new(), give: false };
    VolumeMount { source, target: target.into(), read_only }
}

/// Makes a root in an empty directory, and says what shows in it. Blocks.
pub(super) fn of_machine(directory: &Path, said: &str) -> io::Result<(RootFileSystem, Vec<VolumeMount>)> {
    let mut volumes = Vec::new();
    for name in LIBRARIES {
        let path = Path::new("/").join(name);
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_symlink() => symlink(fs::read_link(&path)?, directory.join(name))?,
            Ok(found) if found.is_dir() => volumes.push(shown(&path, &path, true)),
            _ => {}
        }
    }
    for name in ETC {
        let path = Path::new("/etc").join(name);
        // Where one of them is a link, what it leads to.
        if let Ok(found) = fs::canonicalize(&path) {
            volumes.push(shown(found, path, true));
        }
    }
    // Often links to what a service of the machine writes anew.
    let names = Names {
        hosts: fs::read_to_string("/etc/hosts").ok(),
        resolv_conf: fs::read_to_string("/etc/resolv.conf").ok(),
        hostname: None,
    };
    let root = RootFileSystem {
        read_only: true,
        sandbox: said.into(),
        names,
        ..RootFileSystem::new(RootSource::Directory(directory.to_owned()))
    };
    Ok((root, volumes))
}

/// What shows because of this order, whose paths are then those that the fetcher has. What it is to store goes to the
/// directory `store`. A sandbox is reached through no link: one within another is beneath what that one's user can bend, for as
/// long as servers take, and the fetcher gives it to its user.
pub(super) fn of_order(order: &mut Order, store: &Path) -> Vec<VolumeMount> {
    let mut volumes = Vec::new();
    for (number, allowed) in order.allowed_paths.iter_mut().enumerate() {
        let source = std::mem::replace(&mut allowed.at, Path::new(ALLOWED).join(number.to_string()));
        volumes.push(shown(source, &allowed.at, true));
    }
    match &mut order.job {
        Job::Place { sandbox, items } => {
            let source = VolumeSource::without_links(&std::mem::replace(sandbox, SANDBOX.into()));
            volumes.push(VolumeMount { source, target: SANDBOX.into(), read_only: false });
            for (number, copy) in items.iter_mut().filter_map(|item| item.cached.as_mut()).enumerate() {
                let source = std::mem::replace(copy, Path::new(COPIES).join(number.to_string()));
                volumes.push(shown(source, &*copy, true));
            }
        }
        Job::Store { file, .. } => {
            *file = Path::new(STORE).join(STORED);
            volumes.push(shown(store, STORE, false));
        }
    }
    volumes
}

#[cfg(test)]
mod tests {
    use chapada_fetcher::{Denied, Limits};

    use super::*;

    #[test]
    fn a_sandbox_is_reached_through_no_link() {
        let sandbox = "/agent/run/containers/bin";
        let mut order = Order {
            user: None,
            never_root: true,
            job: Job::Place { sandbox: sandbox.into(), items: Vec::new() },
            allowed_paths: Vec::new(),
            denied: Denied::default(),
            limits: Limits { bytes: 0, entries: 0, stall_seconds: 1, seconds: 1 },
        };
        let volumes = of_order(&mut order, Path::new("/store"));
        let [VolumeMount { source: VolumeSource::Host { root, path, .. }, target, .. }] = &volumes[..] else {
            panic!("{volumes:?}")
        };
        // Of the root itself the last component alone is looked at.
        assert_eq!((root.as_path(), path.as_path()), (Path::new("/"), Path::new(&sandbox[1..])));
        assert_eq!(order.job, Job::Place { sandbox: target.clone(), items: Vec::new() });
    }
}
