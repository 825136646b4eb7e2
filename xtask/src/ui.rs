//! The web UI: TypeScript in, the files that the binary embeds out.

use std::process::Command;

use anyhow::{Result, ensure};

use crate::run::{on_path, root, run};

/// # Errors
/// Without Node.js, with the remedy.
pub(crate) fn build() -> Result<()> {
    packages()?;
    npm("build the web UI", &["run", "--silent", "build"])
}

/// Type checks and unit tests of the UI.
pub(crate) fn check() -> Result<()> {
    npm("check the web UI", &["run", "--silent", "check"])?;
    npm("test the web UI", &["test", "--silent"])
}

fn packages() -> Result<()> {
    ensure!(
        on_path("npm"),
        "the web UI needs Node.js 20 or newer with npm: install it, then call this again"
    );
    let folder = root().join("webui/app");
    let installed = folder.join("node_modules/.package-lock.json");
    let newer = |a: &std::path::Path, b: &std::path::Path| -> Option<bool> {
        Some(a.metadata().ok()?.modified().ok()? >= b.metadata().ok()?.modified().ok()?)
    };
    if newer(&installed, &folder.join("package-lock.json")) == Some(true) {
        return Ok(());
    }
    npm("install the web UI's packages", &["ci", "--silent", "--no-audit", "--no-fund"])
}

fn npm(what: &str, args: &[&str]) -> Result<()> {
    run(what, Command::new("npm").args(args).current_dir(root().join("webui/app")))
}
