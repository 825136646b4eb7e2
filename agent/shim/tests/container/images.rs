//! A small image for tests: busybox, and the few files that tell users and groups apart.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::place::Place;
use chapada_shim::*;

const PROGRAMS: [&str; 32] = [
    "sh", "cat", "ls", "echo", "id", "env", "mount", "touch", "stat", "grep", "sleep", "readlink", "head",
    "tail", "mkdir", "rm", "ln", "wc", "pwd", "hostname", "mknod", "chown", "chmod", "df", "kill", "ps",
    "true", "tr", "cut", "sort", "dd", "setsid",
];

/// A layer with programs and users.
pub(crate) fn base_layer(layer: &Path) {
    for name in ["bin", "etc", "var", "run", "root"] {
        fs::create_dir_all(layer.join(name)).unwrap();
    }
    let busybox = layer.join("bin/busybox");
    fs::copy("/bin/busybox", &busybox).unwrap();
    fs::set_permissions(&busybox, fs::Permissions::from_mode(0o755)).unwrap();
    for name in PROGRAMS {
        symlink("busybox", layer.join("bin").join(name)).unwrap();
    }
    let passwd = "root:x:0:0:root:/root:/bin/sh\nann:x:1001:100:Ann:/home/ann:/bin/sh\n";
    fs::write(layer.join("etc/passwd"), passwd).unwrap();
    fs::write(layer.join("etc/group"), "root:x:0:\nusers:x:100:ann\nvideo:x:44:ann\n").unwrap();
    fs::write(layer.join("etc/hosts"), "the image's\n").unwrap();
    symlink("/run", layer.join("var/run")).unwrap();
}

impl Place {
    /// A directory of this test that containers of any user can reach.
    pub(crate) fn directory(&self, name: &str) -> PathBuf {
        fs::set_permissions(self.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let path = self.dir.path().join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// Layers of a base and, over it, of what `change` makes.
    pub(crate) fn layers(&self, id: &str, change: impl FnOnce(&Path)) -> RootFileSystem {
        let base = self.directory("base");
        if !base.join("bin").exists() {
            base_layer(&base);
        }
        let top = self.directory(&format!("top-{id}"));
        change(&top);
        let (upper, work) = (self.directory(&format!("upper-{id}")), self.directory(&format!("work-{id}")));
        RootFileSystem::new(RootSource::Overlay { lower: vec![top, base], upper, work })
    }

    /// A container with a root of its own.
    pub(crate) fn own_root(&self, id: &str, script: &str) -> ContainerSpec {
        let mut spec = self.spec(id, script);
        spec.environment = vec![("PATH".into(), "/bin".into())];
        spec.root = Some(self.layers(id, |_| {}));
        spec
    }
}
