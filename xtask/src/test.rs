//! Everything that CI runs.

use anyhow::Result;
use clap::Args;

use crate::run::{cargo, on_path, run};
use crate::{cgroup2, check, former, install, ui};

/// Tells the system tests of the former build. Source: the harness.
const OTHER_PROGRAM: &str = "CHAPADA_OTHER_PROGRAM";

#[derive(Args)]
pub(crate) struct TestArgs {
    /// Skips `check`, for a second run on an unchanged tree.
    #[arg(long)]
    no_check: bool,
    /// What the property tests draw from; another number tries other histories.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only the isolation tests, on a virtual machine that has cgroup v2 alone.
    #[arg(long)]
    cgroup2: bool,
    /// The commit whose build runs mixed with this one in the tests of upgrades; the one before the last change of a format when no
    /// commit is named. Without this flag builds are mixed in name only, for it takes another whole build.
    #[arg(long, num_args = 0..=1, default_missing_value = former::FORMER)]
    former: Option<String>,
}

/// The real UI first, because the binary embeds it; the real binary next, because the system tests start it.
pub(crate) fn test(args: &TestArgs) -> Result<()> {
    if args.cgroup2 {
        return cgroup2::test();
    }
    install::install()?;
    ui::build()?;
    if !args.no_check {
        check::check()?;
    }
    ui::check()?;
    run("build", &mut cargo(&["build", "--workspace", "--bins"]))?;
    let former = args.former.as_deref().map(former::build).transpose()?.flatten();
    // Fixed, so that a failure is the change's and comes again; proptest reads it by itself.
    let seed = args.seed.to_string();
    if on_path("cargo-nextest") {
        let mut tests = cargo(&["nextest", "run", "--workspace", "--no-fail-fast"]);
        tests.env("PROPTEST_RNG_SEED", &seed).envs(former.map(|program| (OTHER_PROGRAM, program)));
        run("tests", &mut tests)?;
        run("documentation tests", &mut cargo(&["test", "--workspace", "--doc", "--quiet"]))?;
    } else {
        let mut tests = cargo(&["test", "--workspace", "--no-fail-fast"]);
        tests.env("PROPTEST_RNG_SEED", &seed).envs(former.map(|program| (OTHER_PROGRAM, program)));
        run("tests", &mut tests)?;
    }
    let planted = ["test", "--package", "chapada-simulator", "--features", "testing", "--test", "planted"];
    run("the simulator finds planted bugs", &mut cargo(&planted))?;
    cgroup2::test()
}
