//! What a container sees, may do and may use, as the kernel itself says.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use crate::place::*;
use chapada_isolation::capabilities;
use chapada_shim::*;

const MIB: u64 = 1 << 20;

#[test]
fn a_container_over_its_memory_is_killed_with_the_figure_and_its_sibling_lives() {
    let place = Place::new();
    let mut sibling = place.launcher.launch(&place.spec("sibling", "sleep 1000")).unwrap().client;
    let sibling_pid = started(&mut sibling);
    let hog = "head -c 200m /dev/zero | tail -n 1";
    for (id, script) in [("hog", hog.to_owned()), ("parent", format!("({hog}) & wait; sleep 1000"))] {
        let mut spec = place.spec(id, &script);
        spec.resources.memory_bytes = Some(48 * MIB);
        let report = place.run(&spec);
        let oom = report.oom.unwrap_or_else(|| panic!("{id}: no word of memory: {report:?}"));
        assert_eq!(oom.limit_bytes, Some(48 * MIB));
        let peak = oom.peak_bytes.unwrap();
        assert!((40 * MIB..=48 * MIB).contains(&peak), "{peak}");
        assert_eq!(report.outcome, Outcome::Signaled { signal: libc::SIGKILL }, "{id}");
    }
    assert!(alive(sibling_pid));
    sibling.request_status().unwrap();
    started(&mut sibling);
}

#[test]
fn a_fifth_of_a_processor_is_a_fifth() {
    let place = Place::new();
    let mut spec = place.spec("spin", "while :; do :; done");
    spec.resources.cpu = CpuLimits { share_milli: Some(200), quota_milli: Some(200) };
    let mut client = place.launcher.launch(&spec).unwrap().client;
    started(&mut client);
    let group = place.launcher.cgroups().group("spin");
    // A busy machine may give less for a while, and never more.
    eventually("it gets its fifth", || {
        let (from, before) = (Instant::now(), group.statistics().unwrap());
        eventually("three seconds pass", || from.elapsed() >= Duration::from_secs(3));
        let used = group.statistics().unwrap().cpu_usage_ns - before.cpu_usage_ns;
        let rate = Duration::from_nanos(used).as_secs_f64() / from.elapsed().as_secs_f64();
        assert!(rate <= 0.23, "{rate}");
        rate >= 0.17
    });
    let after = group.statistics().unwrap();
    assert_eq!(after.cpu_quota_milli, Some(200));
    assert!(after.cpu_throttled_periods > 10, "{after:?}");
    assert!(
        after.processes >= 1 && after.threads >= after.processes && after.memory_rss_bytes > 0,
        "{after:?}"
    );
}

#[test]
fn limits_can_be_changed_while_it_runs() {
    let place = Place::new();
    let mut spec = place.spec("resize", "sleep 1000");
    spec.resources.memory_bytes = Some(64 * MIB);
    let mut client = place.launcher.launch(&spec).unwrap().client;
    started(&mut client);
    let group = place.launcher.cgroups().group("resize");
    for mib in [128, 48] {
        group.apply(&Limits { memory_bytes: Some(mib * MIB), ..Limits::default() }).unwrap();
        assert_eq!(group.statistics().unwrap().memory_limit_bytes, Some(mib * MIB));
    }
}

#[test]
fn devices_are_those_that_it_was_given() {
    let place = Place::new();
    // Whoever may open these needs no capability.
    let known = ["/dev/loop-control", "/dev/cpu_dma_latency", "/dev/fuse"];
    let number = known.iter().find_map(|path| fs::metadata(path).ok()).unwrap().rdev();
    let (major, minor) = (nix::sys::stat::major(number) as u32, nix::sys::stat::minor(number) as u32);
    let rule =
        DeviceRule { kind: DeviceKind::Character, major, minor: Some(minor), read: true, write: false };
    let script = "(: < /dev/gpu/zero) && echo read; (: > /dev/gpu/zero) 2>/dev/null && echo wrote; stat -c %a /dev/gpu/zero";
    for with_root in [true, false] {
        let id = format!("device-{with_root}");
        let mut spec = if with_root { place.own_root(&id, script) } else { place.spec(&id, script) };
        spec.devices = vec![Device { name: "gpu/zero".into(), rule }];
        assert_eq!(place.output_of(&spec), "read\n600\n");
    }
    // A node of another device is of no use, even to whoever could make one.
    let mut spec =
        place.own_root("device-others", "(: < /run/kmsg) 2>&1 | grep -c -i -e permitted -e denied");
    let node = place.directory("upper-device-others").join("run");
    fs::create_dir_all(&node).unwrap();
    nix::sys::stat::mknod(
        &node.join("kmsg"),
        nix::sys::stat::SFlag::S_IFCHR,
        nix::sys::stat::Mode::S_IRWXU,
        nix::sys::stat::makedev(1, 11),
    )
    .unwrap();
    spec.system_calls = SystemCalls::Unconfined;
    assert_eq!(place.output_of(&spec), "1\n");
}

#[test]
fn a_fork_bomb_meets_its_bound() {
    let place = Place::new();
    let script = "n=0; while [ $n -lt 30 ]; do sleep 1000 & n=$((n+1)); done; true";
    let mut spec = place.spec("bomb", script);
    spec.resources.processes = Some(16);
    let report = place.run(&spec);
    assert_ne!(report.outcome, Outcome::Exited { code: 0 });
    assert!(place.sandbox_file("bomb", "stderr").contains("fork"), "{report:?}");
}

#[test]
fn it_sees_its_own_processes_only() {
    let place = Place::new();
    let output = place.output("ls /proc | grep -E '^[0-9]+$'; cat /proc/1/comm");
    assert!(output.lines().count() < 8, "{output}");
    assert!(output.contains("chapada-init"), "{output}");
}

#[test]
fn every_namespace_but_the_network_is_its_own() {
    let place = Place::new();
    let script = "for n in pid mnt ipc uts cgroup net user; do readlink /proc/self/ns/$n; done";
    let inside = place.output(script);
    let own: BTreeSet<&str> = inside.lines().collect();
    let host = |name: &str| fs::read_link(format!("/proc/self/ns/{name}")).unwrap().display().to_string();
    for name in ["pid", "mnt", "ipc", "uts", "cgroup"] {
        assert!(!own.contains(host(name).as_str()), "{name} is shared");
    }
    assert!(own.contains(host("net").as_str()));
}

#[test]
fn its_host_name_and_its_mounts_stay_inside() {
    let place = Place::new();
    let before = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mut spec = place.spec("named", "hostname; sleep 1000");
    spec.hostname = Some("mesa".into());
    let mut client = place.launcher.launch(&spec).unwrap().client;
    started(&mut client);
    eventually("the name is printed", || place.sandbox_file("named", "stdout") == "mesa\n");
    assert_ne!(nix::unistd::gethostname().unwrap(), "mesa");
    let here = |text: &str| text.lines().filter(|line| line.contains(" / /dev ")).count();
    assert_eq!(here(&before), here(&fs::read_to_string("/proc/self/mountinfo").unwrap()));
}

#[test]
fn a_network_of_its_own_has_nothing_but_lo() {
    let place = Place::new();
    let mut spec = place.spec(
        "net",
        "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '; cat /proc/net/fib_trie | grep -c 127.0.0.1",
    );
    spec.namespaces.network = true;
    let output = place.output_of(&spec);
    let mut lines = output.lines();
    assert_eq!(lines.next(), Some("lo"), "{output}");
    assert!(lines.next().is_some_and(|count| count != "0"), "lo is not up: {output}");
    assert_eq!(lines.next(), None, "{output}");
}

#[test]
fn root_keeps_little_and_can_gain_nothing() {
    let place = Place::new();
    let status = place.output("cat /proc/self/status");
    let kept = "00000000800405fb"; // the list in capabilities::ROOT_DEFAULT
    for (key, value) in [
        ("NoNewPrivs", "1"),
        ("CapInh", "0000000000000000"),
        ("CapPrm", kept),
        ("CapEff", kept),
        ("CapBnd", kept),
        ("CapAmb", "0000000000000000"),
    ] {
        assert_eq!(status_field(&status, key), value, "{key}");
    }
}

#[test]
fn another_user_keeps_nothing_and_owns_its_sandbox() {
    let place = Place::new();
    fs::set_permissions(place.dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut spec = place.spec("user", "cat /proc/self/status; touch made; kill -TERM 1 && echo signalled");
    spec.user = Some("nobody".into());
    let report = place.run(&spec);
    let status = place.sandbox_file("user", "stdout");
    assert_eq!(status_field(&status, "Uid"), "65534\t65534\t65534\t65534", "{report:?}");
    assert_eq!(status_field(&status, "Gid"), "65534\t65534\t65534\t65534");
    assert_eq!(status_field(&status, "Groups"), "");
    for key in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(status_field(&status, key), "0000000000000000", "{key}");
    }
    assert!(!status.contains("signalled"));
    assert_eq!(fs::metadata(spec.sandbox.join("made")).unwrap().uid(), 65534);
}

#[test]
fn capabilities_and_groups_are_those_that_were_given() {
    let place = Place::new();
    let net_raw = capabilities::by_name("NET_RAW").unwrap();
    let mask = format!("{:016x}", 1_u64 << net_raw);
    for with_root in [true, false] {
        let id = format!("ambient-{with_root}");
        let script = "cat /proc/self/status";
        let mut spec = if with_root { place.own_root(&id, script) } else { place.spec(&id, script) };
        spec.user = Some("4242".into());
        spec.privileges.ambient = vec![net_raw];
        spec.privileges.groups = vec![7, 9, 7];
        fs::set_permissions(place.dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let status = place.output_of(&spec);
        for key in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(status_field(&status, key), mask, "{key}");
        }
        assert_eq!(status_field(&status, "Groups"), "7 9");
    }
    let mut spec = place.spec("bounding", "cat /proc/self/status");
    spec.privileges.bounding = Some(vec![net_raw]);
    let status = place.output_of(&spec);
    for key in ["CapPrm", "CapEff", "CapBnd"] {
        assert_eq!(status_field(&status, key), mask, "{key}");
    }
    let mut spec = place.spec("beyond", "true");
    spec.user = Some("4242".into());
    spec.privileges = Privileges { bounding: Some(vec![]), ambient: vec![net_raw], groups: vec![] };
    let Outcome::NotStarted { error } = place.run(&spec).outcome else { panic!("it ran") };
    assert_eq!(error.failure, SetupFailure::Privileges);
}

#[test]
fn our_init_has_one_capability() {
    let place = Place::new();
    let status = place.output("cat /proc/1/status");
    assert_eq!(status_field(&status, "CapEff"), "0000000000000020", "KILL alone");
    assert_eq!(status_field(&status, "CapBnd"), "0000000000000000");
    assert_eq!(status_field(&status, "NoNewPrivs"), "1");
}

#[test]
fn no_descriptor_above_two_leaks() {
    let place = Place::new();
    // An agent's bug: a descriptor that survives execve.
    let _leak = nix::unistd::dup(fs::File::open("/etc/passwd").unwrap()).unwrap();
    for pid1 in [Pid1::Init, Pid1::Command] {
        let id = format!("{pid1:?}");
        let mut spec = place.spec(&id, "");
        spec.command =
            Command::Program { file: "ls".into(), argv: ["ls", "/proc/self/fd"].map(String::from).to_vec() };
        spec.pid1 = pid1;
        // 3 is the directory that ls itself has open.
        assert_eq!(place.output_of(&spec), "0\n1\n2\n3\n");
    }
    let init = place.output("ls -l /proc/1/fd 2>&1 | grep -c -e socket -e shim.log -e tasks; true");
    assert_eq!(init, "0\n");
}

#[test]
fn signals_are_as_a_command_expects_them() {
    let place = Place::new();
    let status = place.output("grep -E '^Sig(Blk|Ign)' /proc/self/status");
    for line in status.lines() {
        assert!(line.ends_with("0000000000000000"), "{line}");
    }
    assert_eq!(status.lines().count(), 2);
}

#[test]
fn the_kernels_own_files_are_covered_or_read_only() {
    let place = Place::new();
    let refused = [
        "echo 1 > /proc/sys/kernel/panic",
        "echo h > /proc/sysrq-trigger",
        "mkdir /sys/fs/cgroup/unified/escape",
        "mknod made c 1 3",
        "mount -t tmpfs none /mnt",
        "cat /dev/kmsg",
        "hostname other",
        "test -s /proc/kcore && head -c 1 /proc/kcore | grep -q .",
        "ls /dev/vda",
    ];
    let script: String =
        refused.iter().map(|attempt| format!("({attempt}) 2>/dev/null && echo '{attempt}'\n")).collect();
    assert_eq!(place.output(&format!("{script} true")), "", "these worked");
    let devices = place.output_of(&place.spec(
        "dev",
        "ls /dev; echo x > /dev/null; head -c 2 /dev/zero | wc -c; touch /dev/shm/x && rm /dev/shm/x",
    ));
    assert_eq!(
        devices,
        "fd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero\n2\n"
    );
}

#[test]
fn hidden_paths_and_the_hosts_tmp_are_empty_and_the_sandbox_is_there() {
    let place = Place::new();
    let secrets = place.dir.path().join("secrets");
    fs::create_dir(&secrets).unwrap();
    fs::write(secrets.join("key"), "x").unwrap();
    let mut spec = place.spec("hide", "");
    spec.hidden_paths = vec![place.dir.path().to_owned(), place.runtime_root(), "/no/such".into()];
    spec.temporary_files = TemporaryFiles::Host;
    let dir = place.dir.path().display();
    spec.command = Command::Shell(format!(
        "ls {dir}; touch {dir}/x 2>/dev/null && echo wrote; echo ok > inside; pwd; ls $(pwd)"
    ));
    let output = place.output_of(&spec);
    let sandbox = spec.sandbox.display();
    assert_eq!(output, format!("sandboxes\n{sandbox}\ninside\nstderr\nstdout\n"));
    assert_eq!(fs::read_to_string(spec.sandbox.join("inside")).unwrap(), "ok\n");

    let mut spec = place.spec("tmp", "ls -A /tmp | wc -l; touch /tmp/made; ls /tmp/made; pwd");
    spec.hidden_paths = vec![secrets];
    let output = place.output_of(&spec);
    let entries = usize::from(spec.sandbox.starts_with("/tmp"));
    assert_eq!(output, format!("{entries}\n/tmp/made\n{}\n", spec.sandbox.display()));
    assert!(!fs::exists("/tmp/made").unwrap());
}
