//! Which system calls a container may make, as the kernel answers them.

use chapada_isolation::capabilities;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use crate::place::*;
use chapada_shim::*;

const AS_PROBE: &str = "CHAPADA_TEST_AS_PROBE";

/// Not a test of its own: what containers run to make system calls that no program of a shell makes.
#[test]
fn probe() {
    if std::env::var_os(AS_PROBE).is_none() {
        return;
    }
    let families = [
        ("unix", AddressFamily::Unix),
        ("inet", AddressFamily::Inet),
        ("netlink", AddressFamily::Netlink),
        ("vsock", AddressFamily::Vsock),
        ("alg", AddressFamily::Alg),
    ];
    for (name, family) in families {
        let kind = if family == AddressFamily::Alg { SockType::SeqPacket } else { SockType::Datagram };
        let made = socket(family, kind, SockFlag::SOCK_CLOEXEC, None);
        println!("{name} {}", made.map_or_else(|errno| errno.to_string(), |_| "made".to_owned()));
    }
    // A library that starts threads tries `clone3` first.
    let sum: u32 = (0..4).map(|number| std::thread::spawn(move || number)).map(|it| it.join().unwrap()).sum();
    println!("threads {sum}");
}

/// This very program, which runs the probe.
fn probing(spec: &mut ContainerSpec) {
    let copy = spec.sandbox.join("probe");
    std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let file = copy.to_str().unwrap().to_owned();
    let argv = [file.as_str(), "--exact", "calls::probe", "--nocapture"].map(str::to_owned).to_vec();
    spec.environment.push((AS_PROBE.into(), "1".into()));
    spec.command = Command::Program { file, argv };
}

#[test]
fn sockets_that_reach_the_machines_host_or_its_ciphers_are_refused() {
    let place = Place::new();
    let mut spec = place.spec("sockets", "");
    probing(&mut spec);
    let output = place.output_of(&spec);
    let refused = nix::errno::Errno::EPERM;
    for line in ["unix made", "inet made", "netlink made", "threads 6"] {
        assert!(output.lines().any(|said| said == line), "{line}: {output}");
    }
    for family in ["vsock", "alg"] {
        assert!(output.contains(&format!("{family} {refused}")), "{output}");
    }
}

#[test]
fn a_capability_brings_its_system_calls() {
    let place = Place::new();
    let names = ["SYS_ADMIN", "SYS_CHROOT"];
    let script =
        "for i in unshare_-m chroot_/; do $(echo $i | tr _ ' ') true 2>/dev/null && echo $i; done; true";
    for (given, expected) in [(&names[..], "unshare_-m\nchroot_/\n"), (&names[1..], "chroot_/\n"), (&[], "")]
    {
        let mut spec = place.spec(&format!("with-{}", given.len()), script);
        let numbers = given.iter().filter_map(|name| capabilities::by_name(name)).collect();
        spec.privileges.bounding = Some(numbers);
        assert_eq!(place.output_of(&spec), expected, "{given:?}");
    }
}

#[test]
fn system_calls_that_reach_the_machine_are_refused() {
    let place = Place::new();
    let attempts = ["unshare -U true", "unshare -n true", "unshare -m true", "nsenter -t 1 -p true", "dmesg"];
    let script: String = attempts.iter().map(|it| format!("{it} >/dev/null 2>&1 && echo '{it}'\n")).collect();
    let standard =
        place.output_of(&place.spec("standard", &format!("{script} grep ^Seccomp: /proc/self/status")));
    assert_eq!(standard, "Seccomp:\t2\n", "these worked");
    let mut spec = place.spec("unconfined", "unshare -U true && grep ^Seccomp: /proc/self/status");
    spec.system_calls = SystemCalls::Unconfined;
    assert_eq!(place.output_of(&spec), "Seccomp:\t0\n");
}

#[test]
fn a_profile_of_the_operator_decides() {
    let place = Place::new();
    let profile = serde_json::json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [
            { "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28 },
            { "names": ["kill"], "action": "SCMP_ACT_ERRNO",
              "args": [{ "index": 1, "value": libc::SIGURG, "op": "SCMP_CMP_EQ" }] },
        ]
    });
    let profile: Profile = serde_json::from_value(profile).unwrap();
    let script = "mkdir x 2>&1 | grep -c 'No space left'; kill -URG $$ 2>/dev/null || echo refused; \
                  kill -WINCH $$ && echo allowed; grep ^Seccomp: /proc/self/status";
    let mut spec = place.spec("profile", script);
    spec.system_calls = SystemCalls::Profile(profile.compile(&[]).unwrap());
    assert_eq!(place.output_of(&spec), "1\nrefused\nallowed\nSeccomp:\t2\n");
}
