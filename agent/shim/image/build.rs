//! Builds the shim with settings of its own, which a cargo profile cannot give one package of a build: static, small,
//! abort on panic. The nested cargo works in a folder of its own below OUT_DIR, offline: whatever the shim depends on,
//! `chapada-shim`'s library brings in as well, so the outer cargo has fetched it already.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What changes the shim when it changes, relative to this crate.
const SOURCES: [&str; 5] =
    ["../src", "../Cargo.toml", "../../isolation/src", "../../isolation/Cargo.toml", "../../../Cargo.lock"];

fn main() {
    for path in SOURCES {
        println!("cargo::rerun-if-changed={path}");
    }
    println!("cargo::rerun-if-changed=build.rs");
    let variable =
        |name: &str| env::var(name).unwrap_or_else(|_| panic!("cargo sets {name} for build scripts"));
    let target = variable("TARGET");
    let target_dir = PathBuf::from(variable("OUT_DIR")).join("shim");
    let manifest = Path::new(&variable("CARGO_MANIFEST_DIR")).join("../Cargo.toml");

    let mut cargo = Command::new(variable("CARGO"));
    cargo
        .args(["build", "--quiet", "--release", "--offline", "--bin", "chapada-shim", "--target", &target])
        .arg("--manifest-path")
        .arg(&manifest)
        .arg("--target-dir")
        .arg(&target_dir);
    forget_outer_settings(&mut cargo);
    for (name, value) in [
        ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "z"),
        ("CARGO_PROFILE_RELEASE_PANIC", "abort"),
        ("CARGO_PROFILE_RELEASE_LTO", "fat"),
        ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
        ("CARGO_PROFILE_RELEASE_DEBUG", "false"),
        ("CARGO_PROFILE_RELEASE_STRIP", "symbols"),
        ("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static\x1f-Crelocation-model=static"),
    ] {
        cargo.env(name, value);
    }
    match cargo.status() {
        Ok(status) if status.success() => {}
        Ok(status) => panic!("building the shim failed with {status}; its errors are above"),
        Err(error) => panic!("cannot run cargo to build the shim: {error}"),
    }
    let image = target_dir.join(&target).join("release/chapada-shim");
    println!("cargo::rustc-env=CHAPADA_SHIM_IMAGE={}", image.display());
}

/// Flags, wrappers (clippy is one) and profiles of the outer build are not for the shim; the job server is.
fn forget_outer_settings(cargo: &mut Command) {
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let theirs = ["CARGO_PROFILE_", "CARGO_BUILD_", "CARGO_CFG_", "CARGO_FEATURE_", "CARGO_TARGET_"];
        let rustc = text.starts_with("RUSTC") || text.ends_with("RUSTFLAGS") || text == "CLIPPY_ARGS";
        if rustc || theirs.iter().any(|prefix| text.starts_with(prefix)) {
            cargo.env_remove(&name);
        }
    }
}
