//! What a passing test must not leave behind.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Cgroups below any mounted hierarchy whose path contains `part`.
#[must_use]
pub fn container_cgroups(part: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for hierarchy in folders(Path::new("/sys/fs/cgroup")) {
        collect(&hierarchy, part, &mut found);
    }
    found
}

fn collect(folder: &Path, part: &str, found: &mut Vec<PathBuf>) {
    for child in folders(folder) {
        if child.to_string_lossy().contains(part) {
            found.push(child.clone());
        }
        collect(&child, part, found);
    }
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// Unmounts everything below `folder`, what was mounted last first; gives what the kernel would not let go.
#[must_use]
pub fn unmount_below(folder: &Path) -> Vec<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    let mut points: Vec<PathBuf> = points.filter(|point| point.starts_with(folder)).collect();
    points.reverse();
    points.retain(|point| umount2(point, MntFlags::MNT_DETACH).is_err());
    points
}

/// Live processes whose command line or environment contains `part`, as (pid, command line).
#[must_use]
pub fn processes_of(part: &str) -> Vec<(u32, String)> {
    let own = std::process::id();
    let pids = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids =
        pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).filter(|pid| *pid != own);
    let read = |pid: u32, file: &str| {
        let bytes = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\0', " ")
    };
    let matching =
        pids.filter(|pid| read(*pid, "cmdline").contains(part) || read(*pid, "environ").contains(part));
    matching.map(|pid| (pid, read(pid, "cmdline"))).collect()
}

/// Ends whatever the daemons of a cluster left: containers outlive their agents by design.
pub(crate) fn end_containers(folder: &Path, cgroups: &str) {
    for (pid, _) in processes_of(&folder.to_string_lossy()) {
        if let Ok(pid) = i32::try_from(pid) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
    let mut left = Vec::new();
    for _ in 0..100 {
        left = container_cgroups(cgroups);
        left.sort_by_key(|path| std::cmp::Reverse(path.components().count()));
        left.retain(|path| std::fs::remove_dir(path).is_err() && path.exists());
        if left.is_empty() {
            return;
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
    eprintln!("cgroups are left behind: {left:?}");
}
