//! Clusters in virtual time, each from one seed.

use anyhow::Result;

use crate::run::{cargo, run};

/// Runs `tests/simulator` with these arguments: `--seeds N [--from S]`; `--seed N` for one with its history; `--ratio` for
/// the figure R1 and `--scenario N --full` for a scenario in full size, both in a release build.
pub(crate) fn sim(args: &[String]) -> Result<()> {
    let mut command = cargo(&["run", "--quiet", "--package", "chapada-simulator"]);
    if args.iter().any(|argument| argument == "--ratio" || argument == "--full") {
        command.arg("--release");
    }
    run("simulator", command.arg("--").args(args))
}
