//! Project quota, on a file system that has it: `cargo xtask test --cgroup2` mounts one where this kernel knows none.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use chapada_isolation::project_quota::{Most, assign, is_available, limit, project_of, usage};

/// The directory on which a file system with project quota is mounted.
const PLACE: &str = "CHAPADA_TEST_PROJECT_QUOTA";
const NOBODY: u32 = 65_534;
const PROJECT: u32 = 5000;
const MIB: u64 = 1 << 20;

/// Whether somebody without the right to go beyond quotas can append so much.
fn append(file: &Path, mib: u64) -> bool {
    let line = format!("dd if=/dev/zero bs=64k count={} >> {}", mib * 16, file.display());
    let mut shell = Command::new("sh");
    shell.args(["-c", &line]).uid(NOBODY).stderr(std::process::Stdio::null());
    shell.status().expect("sh and dd are there").success()
}

#[test]
fn a_project_takes_what_it_may_wherever_its_files_are_and_no_more() {
    let Some(root) = std::env::var_os(PLACE).map(PathBuf::from) else {
        return; // nobody has mounted one
    };
    assert!(is_available(&root), "{} has no project quota", root.display());
    let [sandbox, upper, other] = ["sandbox", "upper", "other"].map(|name| root.join(name));
    for directory in [&sandbox, &upper, &other] {
        fs::create_dir(directory).expect("the file system is empty");
        chown(directory, Some(NOBODY), None).expect("root");
    }
    for directory in [&sandbox, &upper] {
        assign(directory, PROJECT).expect("projects can be assigned");
    }
    limit(&sandbox, PROJECT, Some(Most { bytes: 2 * MIB, inodes: 10 })).expect("limits are taken");
    fs::create_dir(sandbox.join("below")).expect("there is room");
    chown(sandbox.join("below"), Some(NOBODY), None).expect("root");
    let below = project_of(&sandbox.join("below")).expect("it has a project");
    assert_eq!((below, project_of(&other).expect("it has one")), (PROJECT, 0));

    assert!(append(&sandbox.join("below/file"), 1));
    assert!(!append(&upper.join("file"), 2), "both directories share one limit");
    assert!(append(&other.join("file"), 3), "nobody else is bounded");
    let seen = usage(&sandbox, PROJECT).expect("usage is read");
    assert_eq!((seen.limit_bytes, seen.limit_inodes), (Some(2 * MIB), Some(10)));
    assert!((MIB..=2 * MIB).contains(&seen.bytes), "{seen:?}");

    let mut touch = Command::new("sh");
    let line = format!("cd {} && for n in 1 2 3 4 5 6 7 8 9; do : > $n || exit 1; done", sandbox.display());
    touch.args(["-c", &line]).uid(NOBODY).stderr(std::process::Stdio::null());
    assert!(!touch.status().expect("sh is there").success(), "files without content are bounded");
    assert_eq!(usage(&sandbox, PROJECT).expect("usage is read").inodes, 10);

    // Without a name it takes room all the same.
    let open = fs::File::open(sandbox.join("below/file")).expect("it is there");
    fs::remove_file(sandbox.join("below/file")).expect("it is there");
    assert!(usage(&sandbox, PROJECT).expect("usage is read").bytes >= MIB);
    drop(open);
    limit(&sandbox, PROJECT, None).expect("limits are taken");
    assert!(append(&upper.join("more"), 3));
    let seen = usage(&sandbox, PROJECT).expect("usage is read");
    assert_eq!((seen.limit_bytes, seen.limit_inodes), (None, None));
}
