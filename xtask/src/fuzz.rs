//! Feeds the decoders and the cores: guided by coverage with cargo-fuzz where a nightly toolchain can be had, else with the
//! runner that needs none.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::run::{cargo, on_path, root, run};

/// The version that was tried.
const CARGO_FUZZ: &str = "cargo-fuzz@0.13.2";
/// Where the manifest for cargo-fuzz is.
const MANIFEST: &str = "tests/fuzz/libfuzzer";
/// An input that takes longer than this many seconds has found something.
const SLOW_SECONDS: u32 = 10;
/// So has one that needs more memory than this, in MiB.
const MEMORY_MIB: u32 = 2048;

#[derive(Args)]
pub(crate) struct FuzzArgs {
    /// One target; every target in turn when absent.
    target: Option<String>,
    /// How long each target is fed.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Uses the runner that needs no nightly toolchain.
    #[arg(long)]
    stable: bool,
}

/// Every target that is asked for, for its time. The first that breaks ends it; its input is then below `target/`.
pub(crate) fn fuzz(args: &FuzzArgs) -> Result<()> {
    if args.stable {
        return on_stable(args);
    }
    if let Err(missing) = nightly().and_then(|()| cargo_fuzz()) {
        eprintln!("xtask: {missing:#}");
        eprintln!(
            "xtask: without cargo-fuzz and a nightly toolchain, the stable runner is used, which coverage does not guide"
        );
        return on_stable(args);
    }
    // It is a workspace of its own, with the versions of this one.
    std::fs::copy(root().join("Cargo.lock"), root().join(MANIFEST).join("Cargo.lock"))
        .context("cannot copy Cargo.lock for cargo-fuzz")?;
    let seeds = root().join("target/fuzz-seeds");
    let mut write = runner();
    run("seeds", write.arg("--write-seeds").arg(&seeds))?;
    for target in targets(args)? {
        guided(&target, args.seconds, &seeds.join(&target))?;
    }
    Ok(())
}

fn runner() -> Command {
    cargo(&["run", "--quiet", "--package", "chapada-fuzz", "--"])
}

fn on_stable(args: &FuzzArgs) -> Result<()> {
    let mut command = runner();
    command.args(&args.target).arg("--seconds").arg(args.seconds.to_string());
    run("fuzz on stable", &mut command)
}

fn targets(args: &FuzzArgs) -> Result<Vec<String>> {
    let listed = runner().arg("--list").output().context("cannot list the targets")?;
    let listed = String::from_utf8(listed.stdout)?;
    let all: Vec<String> = listed.lines().map(str::to_owned).collect();
    let Some(one) = &args.target else { return Ok(all) };
    ensure!(all.contains(one), "there is no target '{one}'; these are: {}", all.join(", "));
    Ok(vec![one.clone()])
}

/// What is found is kept from run to run below `target/fuzz-corpus`.
fn guided(target: &str, seconds: u64, seeds: &PathBuf) -> Result<()> {
    let found = root().join("target/fuzz-corpus").join(target);
    std::fs::create_dir_all(&found).with_context(|| format!("cannot make {}", found.display()))?;
    let mut command = Command::new("cargo");
    // Safe code needs no address sanitizer, and is several times faster without.
    command.args(["+nightly", "fuzz", "run", "--sanitizer", "none", "--fuzz-dir", MANIFEST]);
    command.arg("--target-dir").arg(root().join("target/fuzz")).arg("any").arg(found).arg(seeds);
    command.arg("--").arg(format!("-max_total_time={seconds}")).arg(format!("-timeout={SLOW_SECONDS}"));
    command.arg(format!("-rss_limit_mb={MEMORY_MIB}")).arg("-print_final_stats=1");
    command.env("CHAPADA_FUZZ_TARGET", target).env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN");
    run(&format!("fuzz {target}"), command.current_dir(root()))
}

fn nightly() -> Result<()> {
    let is_there = |output: std::process::Output| {
        output.status.success() && String::from_utf8_lossy(&output.stdout).contains("nightly")
    };
    if Command::new("rustup").args(["toolchain", "list"]).output().is_ok_and(is_there) {
        return Ok(());
    }
    let mut install = Command::new("rustup");
    run(
        "install a nightly toolchain",
        install.args(["toolchain", "install", "nightly", "--profile", "minimal"]),
    )
}

fn cargo_fuzz() -> Result<()> {
    if on_path("cargo-fuzz") {
        return Ok(());
    }
    run("install cargo-fuzz", &mut cargo(&["install", "--quiet", "--locked", CARGO_FUZZ]))
}
