//! User namespaces: root inside is nobody outside.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::images::base_layer;
use crate::place::*;
use chapada_shim::*;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

const RANGE: IdRange = IdRange { first: 1_000_000, count: 65_536 };

fn spec(place: &Place, id: &str, script: &str) -> ContainerSpec {
    let mut spec = place.own_root(id, script);
    spec.user_namespace = Some(RANGE);
    spec
}

fn owner(path: impl AsRef<Path>) -> (u32, u32) {
    let metadata = fs::symlink_metadata(path).unwrap();
    (metadata.uid(), metadata.gid())
}

#[test]
fn root_inside_is_nobody_outside_and_files_are_its_own() {
    let place = Place::new();
    let script = "id -u; tr -s ' ' < /proc/self/uid_map; stat -c %u:%g / /bin/busybox /tmp /dev /dev/null /dev/shm . stdout; \
                  echo x > /made; touch made /tmp/x /dev/shm/x; chown 1001:100 made; echo > /bin/busybox-copy; sleep 1000";
    let spec = spec(&place, "root", script);
    let mut client = place.launcher.launch(&spec).unwrap().client;
    let pid = started(&mut client);
    let upper = place.directory("upper-root");
    eventually("it has written", || upper.join("bin/busybox-copy").exists());
    let said = || place.sandbox_file("root", "stdout");
    let expected = format!("0\n 0 1000000 65536\n{}", "0:0\n".repeat(8));
    eventually("its log is written", || said().len() >= expected.len());
    assert_eq!(said(), expected);
    assert_eq!(owner(upper.join("made")), (RANGE.first, RANGE.first));
    assert_eq!(owner(spec.sandbox.join("made")), (RANGE.first + 1001, RANGE.first + 100));
    assert_eq!(owner(place.directory("base").join("bin/busybox")), (0, 0));
    let group = place.launcher.cgroups().group("root");
    for process in group.processes().unwrap() {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        if status_field(&status, "Name") == "chapada-logs" {
            continue; // not inside
        }
        for key in ["Uid", "Gid"] {
            assert_eq!(status_field(&status, key), ["1000000"; 4].join("\t"), "{process} (init is {pid})");
        }
        assert_eq!(status_field(&status, "Groups"), "");
    }
}

#[test]
fn its_root_has_no_power_over_the_other_namespaces() {
    let place = Place::new();
    let attempts = [
        "hostname other",
        "mount -t tmpfs none /mnt",
        "mknod /x c 1 3",
        "echo 1 > /proc/sys/kernel/shmmax",
        "cat /proc/1/environ",
        "chown 70000 /tmp",
    ];
    let script: String =
        attempts.iter().map(|attempt| format!("({attempt}) >/dev/null 2>&1 && echo '{attempt}'\n")).collect();
    for system_calls in [SystemCalls::Standard, SystemCalls::Unconfined] {
        let mut spec = spec(&place, &format!("{system_calls:?}"), &format!("{script} true"));
        spec.system_calls = system_calls;
        spec.namespaces.network = true;
        assert_eq!(place.output_of(&spec), "", "these worked");
    }
}

#[test]
fn users_of_the_image_are_of_the_range_and_none_is_beyond_it() {
    let place = Place::new();
    let mut named = spec(&place, "ann", "id -u; touch made; cat /run/secret");
    named.user = Some("ann".into());
    let secret = VolumeSource::Secret { content: b"hunter2\n".to_vec() };
    named.volumes = vec![VolumeMount { source: secret, target: "/run/secret".into(), read_only: true }];
    assert_eq!(place.output_of(&named), "1001\nhunter2\n");
    assert_eq!(owner(named.sandbox.join("made")), (RANGE.first + 1001, RANGE.first + 100));
    let mut beyond = spec(&place, "beyond", "true");
    beyond.user = Some("65536".into());
    let Outcome::NotStarted { error } = place.run(&beyond).outcome else { panic!("it ran") };
    assert_eq!(error.failure, SetupFailure::User);
}

#[test]
fn volumes_keep_their_ids_from_one_range_to_the_next() {
    let place = Place::new();
    let data = place.directory("data");
    for (number, first) in [2_000_000, 3_000_000].into_iter().enumerate() {
        let script = "cat data/file 2>/dev/null; echo x >> data/file; stat -c %u data/file";
        let mut spec = spec(&place, &format!("volume{number}"), script);
        spec.user_namespace = Some(IdRange { first, ..RANGE });
        spec.user = Some("ann".into());
        spec.volumes = vec![VolumeMount::given(&data, "data")];
        let report = place.run(&spec);
        if let Outcome::NotStarted { error } = &report.outcome {
            // Memory before Linux 6.3 is such a file system. It is said, and nothing is given away.
            assert_eq!((error.failure, error.errno), (SetupFailure::Volume, Some(libc::EINVAL)), "{error}");
            assert_eq!(owner(&data), (0, 0));
            continue;
        }
        assert_eq!(place.sandbox_file(&spec.id, "stdout"), format!("{}1001\n", "x\n".repeat(number)));
        assert_eq!(owner(data.join("file")), (1001, 100));
    }
}

#[test]
fn a_plain_directory_is_given_away() {
    let place = Place::new();
    let directory = place.directory("rootfs");
    base_layer(&directory);
    let mut spec = spec(&place, "directory", "stat -c %u / /bin/busybox; touch /made; stat -c %u /made");
    spec.root = Some(RootFileSystem::new(RootSource::Directory(directory)));
    assert_eq!(place.output_of(&spec), "0\n0\n0\n");
}

#[test]
fn layers_that_cannot_be_mapped_are_given_away() {
    // Mounts go with this thread. The process that becomes shims is made in it.
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
    let place = Place::new();
    let script = "stat -c %u / /bin/busybox; touch /made && stat -c %u /made; stat -c %u:%a /srv/image /srv/image/file one/file; \
                  (echo x > /srv/image/file) 2>/dev/null && echo wrote; true";
    let mut spec = spec(&place, "shifted", script);
    // Mounts of this kind of memory cannot be mapped.
    let memory = place.directory("memory");
    mount(Some("ramfs"), &memory, Some("ramfs"), MsFlags::empty(), None::<&str>).unwrap();
    let Some(RootFileSystem { source: RootSource::Overlay { lower, .. }, .. }) = &mut spec.root else {
        panic!()
    };
    lower.push(memory.clone());
    fs::write(memory.join("file"), "").unwrap();
    fs::set_permissions(&memory, fs::Permissions::from_mode(0o751)).unwrap();
    let image = |lower, target: &str| VolumeMount {
        source: VolumeSource::Layers { lower },
        target: target.into(),
        read_only: true,
    };
    spec.volumes = vec![
        image(vec![memory.clone(), place.directory("base")], "/srv/image"),
        image(vec![memory.clone()], "one"),
    ];
    let expected = "0\n0\n0\n0:751\n0:644\n0:644\n";
    assert_eq!(place.output_of(&spec), expected, "{}", place.sandbox_file("shifted", "stderr"));
    assert_eq!(owner(memory.join("file")), (0, 0));
    assert_eq!(owner(place.directory("upper-shifted").join("bin/busybox")), (RANGE.first, RANGE.first));
    assert_eq!(owner(place.directory("base").join("bin/busybox")), (0, 0));
    // A directory that is mounted on stays when the place goes.
    umount2(&memory, MntFlags::MNT_DETACH).unwrap();
}

#[test]
fn a_signal_still_reaches_the_command_and_low_ports_are_its_own() {
    let place = Place::new();
    let mut spec = spec(
        &place,
        "signal",
        "trap 'exit 7' TERM; cat /proc/sys/net/ipv4/ip_unprivileged_port_start; while :; do sleep 0.01; done",
    );
    spec.user = Some("ann".into());
    spec.namespaces.network = true;
    let mut client = place.launcher.launch(&spec).unwrap().client;
    started(&mut client);
    eventually("the trap is set", || place.sandbox_file("signal", "stdout") == "0\n");
    client.kill(libc::SIGTERM).unwrap();
    assert_eq!(exit_of(&mut client).outcome, Outcome::Exited { code: 7 });
}

#[test]
fn a_range_needs_a_root_and_is_none_of_the_hosts() {
    let place = Place::new();
    let mut spec = place.spec("none", "true");
    spec.user_namespace = Some(RANGE);
    assert_eq!(spec.validate().unwrap_err().field, "user_namespace");
    let mut spec = place.own_root("zero", "true");
    spec.user_namespace = Some(IdRange { first: 0, count: 65_536 });
    assert_eq!(spec.validate().unwrap_err().field, "user_namespace");
}
