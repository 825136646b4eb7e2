//! Runs a command and says which one failed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

/// The root of the checkout.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lives below the root").to_path_buf()
}

/// A cargo command in the root of the checkout.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(root());
    command
}

/// Runs to the end and prints how long it took.
///
/// # Errors
/// When the program cannot be started or ends with anything but 0.
pub(crate) fn run(what: &str, command: &mut Command) -> Result<()> {
    let started = Instant::now();
    eprintln!("xtask: {what}");
    let status =
        command.status().with_context(|| format!("{what}: cannot start {:?}", command.get_program()))?;
    ensure!(status.success(), "{what} failed ({status}): {command:?}");
    eprintln!("xtask: {what}: {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// Whether a program of this name is on the path.
pub(crate) fn on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}
