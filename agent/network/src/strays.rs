//! Plugins that an agent left running when it died in the middle: they must be gone before others take their work back.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use chapada_isolation::clone3;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// How long one that was killed may take to be gone, in milliseconds.
const DYING: u16 = 5000;

/// Kills every plugin, and what it started, that works for one of these containers. Blocks.
pub(crate) fn kill(containers: &[&str]) {
    if containers.is_empty() {
        return;
    }
    let Ok(entries) = fs::read_dir("/proc") else { return };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    for pid in names.filter_map(|name| name.parse::<i32>().ok()) {
        if !works_for(pid, containers) {
            continue;
        }
        match end(pid, containers) {
            Ok(()) => tracing::info!(pid, "killed a plugin of before"),
            // It has ended by itself.
            Err(error) if error.raw_os_error() == Some(nix::libc::ESRCH) => {}
            Err(error) => tracing::error!(pid, %error, "a plugin of before runs on"),
        }
    }
}

/// Looks again once the process is held, for its number may be another's by then.
fn end(pid: i32, containers: &[&str]) -> io::Result<()> {
    let process: OwnedFd = clone3::open(pid)?;
    if !works_for(pid, containers) {
        return Ok(());
    }
    clone3::signal(process.as_fd(), nix::libc::SIGKILL)?;
    let mut polled = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
    match poll(&mut polled, PollTimeout::from(DYING))? {
        0 => Err(io::Error::from(io::ErrorKind::TimedOut)),
        _ => Ok(()),
    }
}

/// By the environment, which is what plugins have their orders in.
fn works_for(pid: i32, containers: &[&str]) -> bool {
    let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else { return false };
    let value = |name: &str| {
        let mut variables = environment.split(|byte| *byte == 0);
        variables.find_map(|variable| variable.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
    };
    value("CNI_COMMAND").is_some()
        && value("CNI_CONTAINERID").is_some_and(|id| containers.iter().any(|name| name.as_bytes() == id))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// It has answered, and so it runs: until a while after `exec` a process has no environment to be known by.
    fn plugin(container: &str) -> Child {
        let mut command = Command::new("cat");
        command.env("CNI_COMMAND", "ADD").env("CNI_CONTAINERID", container);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.as_mut().unwrap().write_all(b"?").unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        child
    }

    #[test]
    fn only_plugins_for_these_containers_are_killed() {
        let own = format!("own-{}", std::process::id());
        let (mut stray, mut other) = (plugin(&own), plugin(&format!("{own}-other")));
        kill(&[]);
        assert!(stray.try_wait().unwrap().is_none());
        kill(&[&own]);
        assert_eq!(stray.wait().unwrap().signal(), Some(9));
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
