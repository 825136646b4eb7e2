//! The switch that plants bugs is in no binary.

use std::path::Path;
use std::process::Command;

#[test]
fn the_binary_has_no_switch_for_bugs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments =
        ["tree", "--offline", "--edges", "features,normal,build", "--package", "chapada", "--prefix", "none"];
    let output = Command::new(cargo).args(arguments).current_dir(root).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8_lossy(&output.stdout);
    assert!(tree.contains("chapada-master-core"), "the binary has the master's core");
    let lines = tree.lines().filter(|line| line.contains("chapada") && line.contains("\"testing\""));
    assert_eq!(lines.collect::<Vec<_>>(), Vec::<&str>::new());
    assert!(!tree.contains("chapada-simulator"));
}

#[test]
fn the_switch_exists_where_it_is_looked_for() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let metadata = cargo_metadata::MetadataCommand::new().manifest_path(manifest).no_deps().exec();
    let metadata = metadata.expect("cargo metadata runs");
    let core = metadata.packages.iter().find(|package| package.name.as_str() == "chapada-master-core");
    let features = &core.expect("the master's core is in the workspace").features;
    assert!(features.contains_key("testing"));
    assert!(features.get("default").is_none_or(|default| default.is_empty()), "nothing is on by default");
}
