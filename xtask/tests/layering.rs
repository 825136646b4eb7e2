//! Holds the dependencies to one direction and the pure crates to their purity, on what cargo itself reports.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};

/// Crates that decide: no runtime, no clock, no chance, no I/O.
const PURE: &[&str] = &[
    "chapada-model",
    "chapada-allocator",
    "chapada-master-core",
    "chapada-agent-core",
    "chapada-sdk-core",
    "chapada-services-core",
];

/// What none of the pure crates may reach, however indirectly. (`rand_core` is traits only; `imbl` names it.)
const IMPURE: &[&str] = &[
    "async-io",
    "fastrand",
    "futures-core",
    "futures-util",
    "getrandom",
    "http",
    "hyper",
    "jiff",
    "nix",
    "prost",
    "rand",
    "redb",
    "rustix",
    "smol",
    "tempfile",
    "time",
    "tokio",
    "tonic",
    "tower",
    "tracing",
    "uuid",
    "warp",
];

/// What each crate of ours may name among its dependencies, crates of ours only. A crate that is missing here fails.
fn allowed() -> BTreeMap<&'static str, Vec<&'static str>> {
    let shells = ["chapada-model", "chapada-wire", "chapada-tls", "chapada-listener", "chapada-coordination"];
    let with = |more: &[&'static str]| shells.iter().chain(more).copied().collect::<Vec<_>>();
    BTreeMap::from([
        ("chapada-model", vec![]),
        ("chapada-wire", vec!["chapada-model"]),
        ("chapada-tls", vec![]),
        ("chapada-listener", vec!["chapada-tls"]),
        ("chapada-allocator", vec!["chapada-model"]),
        ("chapada-master-core", vec!["chapada-model", "chapada-allocator"]),
        ("chapada-coordination", vec!["chapada-tls"]),
        ("chapada-master", with(&["chapada-master-core", "chapada-allocator", "chapada-webui"])),
        ("chapada-agent-core", vec!["chapada-model"]),
        ("chapada-agent-log", vec!["chapada-agent-core", "chapada-model", "chapada-wire"]),
        ("chapada-isolation", vec![]),
        ("chapada-fetcher", vec!["chapada-isolation"]),
        ("chapada-images", vec![]),
        ("chapada-network", vec!["chapada-isolation"]),
        ("chapada-shim", vec!["chapada-isolation"]),
        ("chapada-shim-image", vec!["chapada-shim"]),
        (
            "chapada-agent",
            with(&[
                "chapada-agent-core",
                "chapada-agent-log",
                "chapada-fetcher",
                "chapada-images",
                "chapada-isolation",
                "chapada-network",
                "chapada-shim",
                "chapada-shim-image",
            ]),
        ),
        ("chapada-sdk-core", vec!["chapada-model"]),
        (
            "chapada-sdk",
            vec!["chapada-model", "chapada-wire", "chapada-tls", "chapada-coordination", "chapada-sdk-core"],
        ),
        ("chapada-sdk-testkit", vec!["chapada-model", "chapada-wire", "chapada-sdk"]),
        ("chapada-services-core", vec!["chapada-model", "chapada-sdk-core"]),
        (
            "chapada-services",
            vec![
                "chapada-model",
                "chapada-sdk",
                "chapada-sdk-core",
                "chapada-services-core",
                "chapada-tls",
                "chapada-listener",
            ],
        ),
        ("chapada-example-sweep", vec!["chapada-sdk"]),
        ("chapada-example-keeper", vec!["chapada-sdk"]),
        ("chapada-example-ha", vec!["chapada-sdk"]),
        ("chapada-webui", vec![]),
        (
            "chapada",
            vec![
                "chapada-master",
                "chapada-agent",
                "chapada-services",
                "chapada-coordination",
                "chapada-model",
                "chapada-tls",
                "chapada-wire",
            ],
        ),
        ("xtask", vec![]),
    ])
}

/// Crates under tests/ may use anything, and nothing but them may use those.
const TESTS: &[&str] =
    &["chapada-harness", "chapada-system-tests", "chapada-bench", "chapada-simulator", "chapada-fuzz"];

#[test]
fn dependencies_point_one_way() {
    let metadata = metadata();
    let allowed = allowed();
    let mut wrong = Vec::new();
    for package in metadata.workspace_packages() {
        let name = package.name.as_str();
        if TESTS.contains(&name) {
            continue;
        }
        let Some(allowed) = allowed.get(name) else {
            wrong.push(format!(
                "{name} has no place in the layering: give it one in this test and in the design"
            ));
            continue;
        };
        for dependency in
            package.dependencies.iter().filter(|d| d.path.is_some() && d.kind == DependencyKind::Normal)
        {
            if !allowed.contains(&dependency.name.as_str()) {
                wrong.push(format!("{name} must not depend on {}", dependency.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn pure_crates_reach_nothing_impure() {
    let metadata = metadata();
    let mut wrong = Vec::new();
    for name in PURE {
        let root = metadata.workspace_packages().into_iter().find(|p| p.name.as_str() == *name);
        let root = root.unwrap_or_else(|| panic!("{name} is listed as pure and does not exist"));
        for reached in reached(&metadata, &root.id) {
            let package = &metadata[&reached];
            if IMPURE.contains(&package.name.as_str()) {
                wrong.push(format!("{name} reaches {}", package.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn pure_crates_forbid_clocks_by_lint() {
    for name in PURE {
        let metadata = metadata();
        let package = metadata
            .workspace_packages()
            .into_iter()
            .find(|p| p.name.as_str() == *name)
            .expect("listed crate");
        let folder = package.manifest_path.parent().expect("a manifest has a folder");
        let lints = std::fs::read_to_string(folder.join("clippy.toml")).unwrap_or_default();
        for banned in ["std::time::Instant::now", "std::time::SystemTime::now"] {
            assert!(lints.contains(banned), "{folder}/clippy.toml must disallow {banned}");
        }
    }
}

#[test]
fn unsafe_code_is_forbidden_everywhere_but_beside_the_kernel() {
    let metadata = metadata();
    for package in metadata.workspace_packages() {
        if ["chapada-isolation", "chapada-shim"].contains(&package.name.as_str()) {
            continue;
        }
        for target in package.targets.iter().filter(|t| t.is_lib() || t.is_bin()) {
            let source = std::fs::read_to_string(&target.src_path).expect("a target has its source");
            assert!(
                source.contains("#![forbid(unsafe_code)]"),
                "{} lacks #![forbid(unsafe_code)]",
                target.src_path
            );
        }
    }
}

#[test]
fn every_folder_says_what_it_is_for() {
    let metadata = metadata();
    for package in metadata.workspace_packages() {
        let folder = package.manifest_path.parent().expect("a manifest has a folder");
        assert!(Path::new(folder.as_str()).join("README.md").is_file(), "{folder} has no README.md");
    }
}

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .exec()
        .expect("cargo metadata runs in the workspace")
}

/// Normal dependencies only: what a build of the crate itself contains.
fn reached(metadata: &Metadata, from: &PackageId) -> BTreeSet<PackageId> {
    let resolve = metadata.resolve.as_ref().expect("metadata was asked for with dependencies");
    let mut seen = BTreeSet::new();
    let mut open = vec![from.clone()];
    while let Some(id) = open.pop() {
        let node = resolve.nodes.iter().find(|node| node.id == id).expect("every package has a node");
        for dependency in &node.deps {
            let normal = dependency.dep_kinds.iter().any(|k| k.kind == DependencyKind::Normal);
            let macros = metadata[&dependency.pkg].targets.iter().any(|target| target.is_proc_macro());
            if normal && !macros && seen.insert(dependency.pkg.clone()) {
                open.push(dependency.pkg.clone());
            }
        }
    }
    seen
}
