//! A root file system of the container's own: what is there, what is not, and that nothing leads out.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;

use crate::images::base_layer;
use crate::place::*;
use chapada_shim::*;

fn refusal(place: &Place, spec: &ContainerSpec) -> SetupError {
    match place.run(spec).outcome {
        Outcome::NotStarted { error } => error,
        other => panic!("it ran: {other:?}; it wrote {}", place.sandbox_file(&spec.id, "stdout")),
    }
}

#[test]
fn it_is_made_of_layers_and_only_the_uppermost_is_written() {
    let place = Place::new();
    let mut spec = place.own_root("layers", "cat /base /top; echo new > /made; rm /base; ls -d /base; ls /");
    let root = place.layers("layers", |top| fs::write(top.join("top"), "of the top\n").unwrap());
    fs::write(place.directory("base").join("base"), "of the base\n").unwrap();
    spec.root = Some(root);
    spec.command = Command::Shell("cat /base /top; echo new > /made; rm /base; ls /".into());
    let output = place.output_of(&spec);
    let root = "bin\ndev\netc\nmade\nmnt\nproc\nroot\nrun\nsys\ntmp\ntop\nvar\n";
    assert_eq!(output, format!("of the base\nof the top\n{root}"));
    assert_eq!(fs::read_to_string(place.directory("upper-layers").join("made")).unwrap(), "new\n");
    assert!(place.directory("base").join("base").exists());
    assert!(!place.directory("base").join("made").exists());
}

#[test]
fn it_can_be_one_directory_and_read_only() {
    let place = Place::new();
    let directory = place.directory("rootfs");
    base_layer(&directory);
    let script = "for f in /x /etc/x /bin/x; do touch $f 2>/dev/null && echo $f; done; \
                  touch /tmp/x here /dev/shm/x && pwd; grep -c ' / / ro' /proc/self/mountinfo";
    let mut spec = place.own_root("directory", script);
    spec.root =
        Some(RootFileSystem { read_only: true, ..RootFileSystem::new(RootSource::Directory(directory)) });
    spec.command = Command::Shell(script.replace("grep -c ' / / ro'", "grep -c ' / ro,'"));
    assert_eq!(place.output_of(&spec), "/mnt/mesos/sandbox\n1\n");
    assert!(spec.sandbox.join("here").exists());
}

#[test]
fn nothing_of_the_host_is_mounted_in_it() {
    let place = Place::new();
    let output = place.output_of(&place.own_root("mounts", "cut -d' ' -f5 /proc/self/mountinfo | sort"));
    let ours = ["/", "/dev", "/dev/mqueue", "/dev/pts", "/dev/shm", "/mnt/mesos/sandbox", "/tmp"];
    for point in output.lines() {
        let kernels = point.starts_with("/proc") || point.starts_with("/sys");
        assert!(kernels || ours.contains(&point), "{point}");
    }
    let output = place
        .output_of(&place.own_root("up", "cd /; ls ../../.. | head -1; ls /proc/1/root/ 2>&1 | head -1"));
    assert!(output.starts_with("bin\n"), "{output}");
}

#[test]
fn the_kernels_own_files_are_covered_or_read_only() {
    let place = Place::new();
    let refused = [
        "echo 1 > /proc/sys/kernel/panic",
        "echo h > /proc/sysrq-trigger",
        "mkdir /sys/fs/cgroup/memory/escape",
        "mkdir /sys/fs/cgroup/escape",
        "touch /sys/x",
        "mknod /made c 1 3",
        "mount -t tmpfs none /mnt",
        "hostname other",
        "head -c 1 /proc/kcore | grep -q .",
    ];
    let script: String =
        refused.iter().map(|attempt| format!("({attempt}) 2>/dev/null && echo '{attempt}'\n")).collect();
    assert_eq!(place.output_of(&place.own_root("refused", &format!("{script} true"))), "", "these worked");
}

#[test]
fn its_own_groups_show_its_own_limits() {
    let place = Place::new();
    let script =
        "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; true";
    let mut spec = place.own_root("limits", script);
    spec.resources.memory_bytes = Some(64 << 20);
    assert_eq!(place.output_of(&spec), "67108864\n");
}

#[test]
fn users_and_homes_are_the_images() {
    let place = Place::new();
    let cases = [
        (None, "0 0 0 /root"),
        (Some("ann"), "1001 100 100 44 /home/ann"),
        (Some("ann:44"), "1001 44 44 /home/ann"),
        (Some("4242:7"), "4242 7 7 /"),
    ];
    for (number, (user, expected)) in cases.into_iter().enumerate() {
        let script = "echo $(id -u) $(id -g) $(id -G) $HOME; touch made";
        let mut spec = place.own_root(&format!("user{number}"), script);
        spec.user = user.map(str::to_owned);
        assert_eq!(place.output_of(&spec), format!("{expected}\n"), "{user:?}");
        let uid = expected.split(' ').next().unwrap();
        assert_eq!(fs::metadata(spec.sandbox.join("made")).unwrap().uid().to_string(), uid);
    }
    let mut spec = place.own_root("nobody", "true");
    spec.user = Some("bob".into());
    let error = refusal(&place, &spec);
    assert_eq!(error.failure, SetupFailure::User);
    assert!(error.message.contains("bob") && error.message.contains("image"), "{error}");
}

#[test]
fn names_replace_the_images_and_links_do_not_lead_them_out() {
    let place = Place::new();
    let victim = place.directory("victim").join("resolv.conf");
    fs::write(&victim, "safe").unwrap();
    let mut spec = place.own_root("names", "cat /etc/hosts /etc/resolv.conf /etc/hostname; hostname");
    let mut root = place.layers("names", |top| {
        fs::create_dir(top.join("etc")).unwrap();
        symlink(&victim, top.join("etc/resolv.conf")).unwrap();
    });
    root.names = Names {
        hosts: Some("127.0.0.1 localhost\n".into()),
        resolv_conf: Some("nameserver 10.0.0.1\n".into()),
        hostname: Some("mesa\n".into()),
    };
    spec.root = Some(root);
    spec.hostname = Some("mesa".into());
    let output = place.output_of(&spec);
    assert_eq!(output, "127.0.0.1 localhost\nnameserver 10.0.0.1\nmesa\nmesa\n");
    assert_eq!(fs::read_to_string(victim).unwrap(), "safe");
}

#[test]
fn volumes_show_where_they_should_and_only_as_they_may() {
    let place = Place::new();
    let data = place.directory("data");
    fs::create_dir(data.join("deep")).unwrap();
    fs::write(data.join("deep/file"), "of the host\n").unwrap();
    fs::write(data.join("one"), "a file\n").unwrap();
    let host = |path: &str| VolumeSource::Host { root: data.clone(), path: path.into(), give: false };
    let script = "cat /var/run/data/file; touch /var/run/data/x 2>/dev/null && echo wrote; cat /etc/one; \
                  touch rw/made; df -k memory | tail -1 | tr -s ' ' | cut -d' ' -f2; touch memory/x; \
                  cat /run/secret; stat -c '%a %u' /run/secret; (echo x > /run/secret) 2>/dev/null && echo wrote; \
                  ls -A /dev/.secrets 2>/dev/null";
    let mut spec = place.own_root("volumes", &format!("{script}; true"));
    spec.user = Some("ann".into());
    let volume = |source, target: &str, read_only| VolumeMount { source, target: target.into(), read_only };
    spec.volumes = vec![
        volume(host("deep"), "/var/run/data", true),
        volume(host("one"), "/etc/one", true),
        VolumeMount::given(place.directory("rw"), "rw"),
        volume(VolumeSource::Memory { size_bytes: 1 << 20 }, "memory", false),
        volume(VolumeSource::Secret { content: b"hunter2\n".to_vec() }, "/run/secret", true),
    ];
    let output = place.output_of(&spec);
    assert_eq!(
        output,
        "of the host\na file\n1024\nhunter2\n400 1001\n",
        "{}",
        place.sandbox_file("volumes", "stderr")
    );
    assert_eq!(fs::metadata(place.directory("rw").join("made")).unwrap().uid(), 1001);
}

#[test]
fn a_volume_is_no_device_socket_or_pipe_and_no_link() {
    let place = Place::new();
    let data = place.directory("data");
    let _socket = std::os::unix::net::UnixListener::bind(data.join("socket")).unwrap();
    nix::unistd::mkfifo(&data.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    symlink("/etc", data.join("link")).unwrap();
    symlink("/etc/passwd", data.join("file")).unwrap();
    let cases = [
        (data.clone(), "socket"),
        (data.clone(), "pipe"),
        (data.clone(), "link"),
        (data.clone(), "link/ssh"),
        (data, "file"),
        (PathBuf::from("/dev"), "null"),
    ];
    for (number, (root, path)) in cases.into_iter().enumerate() {
        let mut spec = place.own_root(&format!("bad{number}"), "true");
        let source = VolumeSource::Host { root, path: path.into(), give: false };
        spec.volumes = vec![VolumeMount { source, target: "/x".into(), read_only: true }];
        assert_eq!(refusal(&place, &spec).failure, SetupFailure::Volume, "{path}");
    }
}

#[test]
fn no_volume_covers_the_kernels_files() {
    let place = Place::new();
    for (number, target) in
        ["/proc/sys", "/proc", "/sys/kernel", "/sys/fs/cgroup", "/link"].into_iter().enumerate()
    {
        let id = format!("kernel{number}");
        let mut spec = place.own_root(&id, "true");
        spec.root = Some(place.layers(&id, |top| symlink("/proc/self", top.join("link")).unwrap()));
        spec.volumes = vec![VolumeMount::given(place.directory("data"), target)];
        assert_eq!(refusal(&place, &spec).failure, SetupFailure::Volume, "{target}");
    }
}

#[test]
fn an_image_cannot_bend_what_is_mounted_in_it() {
    let place = Place::new();
    for name in ["proc", "sys", "dev", "tmp"] {
        let mut spec = place.own_root(name, "true");
        spec.root = Some(place.layers(name, |top| symlink("/etc", top.join(name)).unwrap()));
        assert_eq!(refusal(&place, &spec).failure, SetupFailure::Namespace, "/{name}");
    }
    // Upwards, a link leads to the container's own root.
    let mut spec = place.own_root("sandbox", "ls /sandbox; pwd");
    let mut root = place.layers("sandbox", |top| symlink("../../../../..", top.join("up")).unwrap());
    root.sandbox = "/up/sandbox".into();
    spec.root = Some(root);
    assert_eq!(place.output_of(&spec), "stderr\nstdout\n/sandbox\n");
    assert!(!fs::exists("/sandbox").unwrap());
}

#[test]
fn a_working_directory_cannot_be_an_open_file_of_ours() {
    let place = Place::new();
    for number in 3..16 {
        let mut spec = place.own_root(&format!("cwd{number}"), "pwd");
        spec.working_directory = Some(format!("/proc/self/fd/{number}").into());
        assert_eq!(refusal(&place, &spec).failure, SetupFailure::Root, "{number}");
    }
    let mut spec = place.own_root("cwd", "pwd");
    spec.working_directory = Some("/opt/made/for it".into());
    assert_eq!(place.output_of(&spec), "/opt/made/for it\n");
}

#[test]
fn a_command_cannot_be_an_open_file_of_ours() {
    let place = Place::new();
    for pid1 in [Pid1::Init, Pid1::Command] {
        for number in 3..16 {
            let mut spec = place.own_root(&format!("command-{pid1:?}-{number}"), "");
            spec.command = Command::Program { file: format!("/proc/self/fd/{number}"), argv: vec![] };
            spec.pid1 = pid1;
            assert_eq!(refusal(&place, &spec).failure, SetupFailure::Command, "{number}");
        }
    }
}

#[test]
fn layers_that_are_missing_are_named() {
    let place = Place::new();
    let mut spec = place.own_root("missing", "true");
    let Some(RootFileSystem { source: RootSource::Overlay { lower, .. }, .. }) = &mut spec.root else {
        panic!()
    };
    lower.push("/no/such/layer".into());
    let error = refusal(&place, &spec);
    assert_eq!((error.failure, error.errno), (SetupFailure::Root, Some(libc::ENOENT)));
    assert!(error.message.contains("/no/such/layer"), "{error}");
}

#[test]
fn many_layers_fit() {
    let place = Place::new();
    let mut spec = place.own_root("many", "cat /number");
    let Some(RootFileSystem { source: RootSource::Overlay { lower, .. }, .. }) = &mut spec.root else {
        panic!()
    };
    for number in 0..125 {
        let layer = place.directory(&format!("a-layer-with-a-name-that-is-not-short-at-all-{number}"));
        fs::write(layer.join("number"), format!("{number}\n")).unwrap();
        lower.insert(0, layer);
    }
    assert_eq!(place.output_of(&spec), "124\n");
}

#[test]
fn temporary_files_and_shared_memory_have_sizes() {
    let place = Place::new();
    let size = "df -k $1 | tail -1 | tr -s ' ' | cut -d' ' -f2";
    let script = format!("for d in /tmp /dev/shm; do set $d; {size}; done");
    for with_root in [true, false] {
        let id = format!("sizes-{with_root}");
        let mut spec = place.own_root(&id, &script);
        if !with_root {
            spec = place.spec(&id, &script);
        }
        spec.temporary_files = TemporaryFiles::Private { size_bytes: Some(2 << 20) };
        spec.shm_bytes = 4 << 20;
        assert_eq!(place.output_of(&spec), "2048\n4096\n");
    }
}

#[test]
fn covers_are_made_of_our_own_null_device_whatever_the_image_has() {
    let place = Place::new();
    let script = "stat -c '%F %t:%T' /dev/null; stat -c '%F %t:%T' /proc/timer_list; cat /proc/timer_list";
    let mut spec = place.own_root("null", script);
    spec.root = Some(place.layers("null", |top| {
        fs::create_dir(top.join("dev")).unwrap();
        symlink("/proc/sys/kernel/core_pattern", top.join("dev/null")).unwrap();
        symlink("/etc/passwd", top.join("dev/pts")).unwrap();
        fs::create_dir(top.join("proc")).unwrap();
        fs::write(top.join("proc/timer_list"), "bent").unwrap();
    }));
    assert_eq!(place.output_of(&spec), "character special file 1:3\n".repeat(2));
}

#[test]
fn our_own_program_cannot_be_written_from_inside() {
    let place = Place::new();
    for user_namespace in [None, Some(IdRange { first: 1_700_000, count: 65_536 })] {
        let id = format!("exe-{}", user_namespace.is_some());
        let attempts = [
            "echo x > /proc/1/exe",
            "echo x >> /proc/1/exe",
            "ls /proc/1/fd/0",
            "ls -L /proc/1/root/",
            "head -c1 /proc/1/mem",
        ];
        let script: String = attempts
            .iter()
            .map(|attempt| format!("({attempt}) >/dev/null 2>&1 && echo '{attempt}'\n"))
            .collect();
        let mut spec = place.own_root(&id, &format!("{script} readlink /proc/1/exe; true"));
        spec.user_namespace = user_namespace;
        assert_eq!(place.output_of(&spec), "", "these worked");
    }
}
