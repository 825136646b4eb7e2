//! Clusters in virtual time, each from one seed.

use anyhow::Result;

use crate::run::{cargo, run};

/// Runs `tests/simulator` with these arguments: `--seeds N [--from S]`, or `--seed N` for one with its history.
pub(crate) fn sim(args: &[String]) -> Result<()> {
    let mut command = cargo(&["run", "--quiet", "--package", "chapada-simulator", "--"]);
    run("simulator", command.args(args))
}
