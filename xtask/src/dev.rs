//! A cluster on this machine in one command.

use anyhow::Result;

use crate::run::{cargo, root, run};
use crate::ui;

/// Builds the UI and a release of `chapada`, then hands over to `chapada dev`, which owns the processes.
pub(crate) fn dev(args: &[String]) -> Result<()> {
    ui::build()?;
    run("build chapada", &mut cargo(&["build", "--release", "--package", "chapada"]))?;
    let mut chapada = std::process::Command::new(root().join("target/release/chapada"));
    chapada.arg("dev").args(args).current_dir(root());
    run("chapada dev", &mut chapada)
}
