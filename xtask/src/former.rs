//! A `chapada` of another commit, for tests of builds that run mixed.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::run::{cargo, root, run};

/// The last commit before one that changed what is durable or on the link: to be changed with such a commit.
pub(crate) const FORMER: &str = "4aff5c848c2a";

/// Builds the program of a commit, once; none when the checkout does not have that commit, which is said.
///
/// # Errors
/// When it cannot be built.
pub(crate) fn build(commit: &str) -> Result<Option<PathBuf>> {
    let Some(hash) = resolve(commit)? else {
        eprintln!("xtask: this checkout has no commit {commit}: builds are mixed in name only");
        return Ok(None);
    };
    let folder = root().join("target/former");
    let (program, source) = (folder.join(format!("chapada-{hash}")), folder.join("source"));
    if program.is_file() {
        return Ok(Some(program));
    }
    if source.exists() {
        fs::remove_dir_all(&source).with_context(|| format!("cannot clear {}", source.display()))?;
    }
    fs::create_dir_all(&source).with_context(|| format!("cannot make {}", source.display()))?;
    let archive = folder.join("source.tar");
    let mut take_out = Command::new("git");
    take_out.current_dir(root()).args(["archive", "--format=tar", "--output"]).arg(&archive).arg(&hash);
    run("take the former commit out", &mut take_out)?;
    run("unpack it", Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(&source))?;
    fs::remove_file(&archive).context("cannot remove the archive")?;
    let target = folder.join("target");
    let mut build = cargo(&["build", "--locked", "--bin", "chapada", "--target-dir"]);
    run("build the former commit", build.arg(&target).current_dir(&source))?;
    fs::copy(target.join("debug/chapada"), &program).context("cannot keep the former program")?;
    Ok(Some(program))
}

/// Its whole hash.
fn resolve(commit: &str) -> Result<Option<String>> {
    let wanted = format!("{commit}^{{commit}}");
    let found =
        Command::new("git").current_dir(root()).args(["rev-parse", "--verify", "--quiet", &wanted]).output();
    let found = found.context("git cannot be run")?;
    let hash = String::from_utf8_lossy(&found.stdout).trim().to_owned();
    Ok(found.status.success().then_some(hash))
}
