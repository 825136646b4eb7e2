//! Published clients run unmodified.

use std::path::{Path, PathBuf};
use std::process::Command;

use chapada_harness::Cluster;

#[test]
fn pymesos_runs_ten_tasks_to_the_end() {
    let cluster = Cluster::builder().start();
    run("ten_tasks.py", cluster.master_host_port(0));
}

#[test]
fn pymesos_runs_a_task_on_an_executor_of_its_own() {
    let cluster = Cluster::builder().start();
    run("own_executor.py", cluster.master_host_port(0));
}

#[test]
fn the_marathon_client_creates_scales_lists_and_deletes_an_app() {
    let cluster = Cluster::builder().services().start();
    run("marathon_app.py", cluster.services_host_port());
}

#[test]
fn the_whole_surface_of_the_marathon_client_has_an_answer() {
    let cluster = Cluster::builder().services().start();
    run("marathon_surface.py", cluster.services_host_port());
}

/// No agents: commands that a fuzzer makes up shall run nowhere.
#[test]
fn the_rest_api_is_as_its_openapi_document_says() {
    let cluster = Cluster::builder().agents(0).services().start();
    run("fuzz_schema.py", cluster.services_host_port());
}

fn run(client: &str, address: &str) {
    let system = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = system.join("../../target/python/bin/python");
    let python = if python.is_file() { python } else { PathBuf::from("/usr/bin/python3") };
    let out =
        Command::new(&python).arg(system.join("clients").join(client)).arg(address).output().unwrap_or_else(
            |error| panic!("cannot start {}: {error}; run `cargo xtask install`", python.display()),
        );
    let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{client} failed ({})\n{stdout}\n{stderr}", out.status);
}
