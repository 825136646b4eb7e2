//! `chapada exec` and `chapada logs` against a real cluster: through the master alone, into containers of tasks.

mod command;
mod ends;
mod log;
mod pty;

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use chapada_harness::{Cluster, binary, eventually};
use serde_json::json;

/// Far above what anything here takes on a machine under load.
const WITHIN: Duration = Duration::from_secs(60);

/// A cluster with one task of this command, and the task's id.
fn cluster_with(cmd: &str) -> (Cluster, String) {
    let cluster = Cluster::builder().services().start();
    let app = json!({ "id": "/box", "cmd": cmd, "cpus": 0.5, "mem": 64, "backoffSeconds": 600 });
    cluster.services_http().send("POST", "/v2/apps", &app).expect("the app is accepted");
    let id = eventually("its task runs", WITHIN, || {
        let tasks = cluster.live_tasks()?;
        let task = tasks.first().ok_or_else(|| "no task".to_owned())?;
        task["id"].as_str().map(str::to_owned).ok_or_else(|| task.to_string())
    });
    (cluster, id)
}

/// `chapada` with these arguments, speaking to the master.
fn chapada(cluster: &Cluster, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary("chapada"));
    command.args(&arguments[..1]).args(["--master", cluster.master_host_port(0)]).args(&arguments[1..]);
    command.stdin(Stdio::null());
    command
}

fn run(cluster: &Cluster, arguments: &[&str]) -> Output {
    chapada(cluster, arguments).output().expect("chapada is built")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
