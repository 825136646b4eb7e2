//! Everything that CI runs.

use anyhow::Result;
use clap::Args;

use crate::run::{cargo, on_path, run};
use crate::{check, install, ui};

#[derive(Args)]
pub(crate) struct TestArgs {
    /// Skips `check`, for a second run on an unchanged tree.
    #[arg(long)]
    no_check: bool,
}

/// The real UI first, because the binary embeds it; the real binary next, because the system tests start it.
pub(crate) fn test(args: &TestArgs) -> Result<()> {
    install::install()?;
    ui::build()?;
    if !args.no_check {
        check::check()?;
    }
    ui::check()?;
    run("build", &mut cargo(&["build", "--workspace", "--bins"]))?;
    if on_path("cargo-nextest") {
        run("tests", &mut cargo(&["nextest", "run", "--workspace", "--no-fail-fast"]))?;
        run("documentation tests", &mut cargo(&["test", "--workspace", "--doc", "--quiet"]))?;
    } else {
        run("tests", &mut cargo(&["test", "--workspace", "--no-fail-fast"]))?;
    }
    let planted = ["test", "--package", "chapada-simulator", "--features", "testing", "--test", "planted"];
    run("the simulator finds planted bugs", &mut cargo(&planted))
}
