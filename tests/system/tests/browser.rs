//! The web UI in a real browser, from an app to the log line of its task.

use std::process::Command;
use std::time::Duration;

use chapada_harness::{Cluster, eventually};
use serde_json::json;

#[test]
fn from_the_app_to_the_log_line_of_its_task() {
    let cluster = Cluster::builder().services().start();
    let line = "a line that only this task writes";
    let app = json!({
        "id": "/shown", "cmd": format!("while true; do echo {line}; sleep 0.2; done"),
        "cpus": 0.1, "mem": 32, "instances": 1,
    });
    cluster.services_http().send("POST", "/v2/apps", &app).expect("the app is accepted");
    eventually("it runs", Duration::from_secs(60), || {
        if cluster.live_tasks()?.len() == 1 { Ok(()) } else { Err("not yet".to_owned()) }
    });
    let out = Command::new("npm")
        .args(["run", "--silent", "e2e"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../webui/app"))
        .env("CHAPADA_MASTER_URL", format!("http://{}", cluster.master_host_port(0)))
        .env("CHAPADA_APP_ID", "/shown")
        .env("CHAPADA_LOG_LINE", line)
        .output()
        .expect("npm is installed");
    let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{stdout}\n{stderr}");
}
