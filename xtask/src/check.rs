//! What holds the code in shape, without any component from outside.

use anyhow::Result;

use crate::run::{cargo, on_path, run};

/// Edits nothing; the first failure ends it.
pub(crate) fn check() -> Result<()> {
    run("format", &mut cargo(&["fmt", "--all", "--check"]))?;
    lints()?;
    run("decoders", &mut cargo(&["test", "--quiet", "--package", "chapada-fuzz"]))?;
    run("layering", &mut cargo(&["test", "--quiet", "--package", "xtask"]))?;
    run(
        "documentation",
        cargo(&["doc", "--workspace", "--no-deps", "--quiet"]).env("RUSTDOCFLAGS", "-D warnings"),
    )?;
    licences()
}

/// Formats, and applies what clippy can mend by itself.
pub(crate) fn fix() -> Result<()> {
    run(
        "clippy --fix",
        &mut cargo(&["clippy", "--workspace", "--all-targets", "--fix", "--allow-dirty", "--allow-staged"]),
    )?;
    run("format", &mut cargo(&["fmt", "--all"]))
}

fn lints() -> Result<()> {
    run("clippy", &mut cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]))
}

fn licences() -> Result<()> {
    if !on_path("cargo-deny") {
        crate::install::cargo_deny()?;
    }
    run(
        "licences, bans and sources",
        &mut cargo(&["deny", "--log-level", "error", "check", "licenses", "bans", "sources"]),
    )
}
