//! Benches run in a release build, against the release binary where they start real processes, and beside the programs of
//! others that can do the same.

use anyhow::Result;

use crate::run::{cargo, root, run};

/// Runs `tests/bench`; without a name, every bench.
pub(crate) fn bench(name: Option<&str>, args: &[String]) -> Result<()> {
    crate::install::install()?;
    crate::install::packages(&["busybox-static", "runc"])?;
    run(
        "build for the benches",
        cargo(&["build", "--release", "--package", "chapada", "--package", "chapada-bench"])
            .stdout(std::process::Stdio::null()),
    )?;
    let mut bench = std::process::Command::new(root().join("target/release/chapada-bench"));
    bench.args(name).args(args).current_dir(root());
    run("bench", &mut bench)
}
