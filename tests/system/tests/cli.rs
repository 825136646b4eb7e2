//! The command line against a real cluster.

use std::process::Command;
use std::time::Duration;

use chapada_harness::{Cluster, binary, eventually};
use serde_json::Value;

const WITHIN: Duration = Duration::from_secs(60);

fn chapada(cluster: &Cluster, arguments: &[&str]) -> Result<String, String> {
    let out = Command::new(binary("chapada"))
        .args(arguments)
        .args(["--master", cluster.master_host_port(0)])
        .output()
        .expect("chapada is built");
    let stdout = String::from_utf8_lossy(&out.stdout).into_owned();
    if out.status.success() { Ok(stdout) } else { Err(String::from_utf8_lossy(&out.stderr).into_owned()) }
}

fn json(cluster: &Cluster, arguments: &[&str]) -> Value {
    let mut arguments = arguments.to_vec();
    arguments.extend(["--output", "json"]);
    let out = chapada(cluster, &arguments).expect("the command succeeds");
    serde_json::from_str(&out).expect("the output is JSON")
}

#[test]
fn an_app_is_deployed_scaled_read_and_removed() {
    let cluster = Cluster::builder().services().start();
    let file = cluster.folder().join("app.json");
    std::fs::write(&file, r#"{"id":"/talk","cmd":"echo from $PORT0; sleep 1000","cpus":0.1,"mem":32}"#)
        .expect("a file");
    chapada(&cluster, &["apps", "deploy", &file.to_string_lossy(), "--wait", "60"]).expect("deploys");
    chapada(&cluster, &["apps", "scale", "/talk", "3", "--wait", "60"]).expect("scales");

    let apps = json(&cluster, &["apps", "list"]);
    assert_eq!((&apps[0]["id"], &apps[0]["instances"]), (&"/talk".into(), &3.into()), "{apps}");
    let tasks = json(&cluster, &["tasks", "--state", "TASK_RUNNING"]);
    let tasks = tasks.as_array().expect("a list");
    assert_eq!(tasks.len(), 3);
    let table = chapada(&cluster, &["tasks"]).expect("a table");
    assert_eq!(table.lines().filter(|line| line.contains("TASK_RUNNING")).count(), 3, "{table}");

    let id = tasks[0]["id"].as_str().expect("a task has an id");
    let port = tasks[0]["ports"][0].to_string();
    eventually("its line is in its log", WITHIN, || {
        let logs = chapada(&cluster, &["logs", id])?;
        if logs.contains(&format!("from {port}\n")) { Ok(()) } else { Err(logs) }
    });

    let agents = json(&cluster, &["agents"]);
    assert_eq!(agents[0]["state"], "active", "{agents}");
    let frameworks = json(&cluster, &["frameworks"]);
    assert_eq!(frameworks[0]["name"], "services", "{frameworks}");
    let status = json(&cluster, &["status"]);
    assert_eq!(status["tasks"]["running"], 3, "{status}");

    chapada(&cluster, &["apps", "rm", "/talk", "--wait", "60"]).expect("removes");
    assert_eq!(json(&cluster, &["apps", "list"]), Value::Array(Vec::new()));
}

#[test]
fn a_pod_is_deployed_scaled_changed_and_removed() {
    let cluster = Cluster::builder().services().start();
    let file = cluster.folder().join("pod.json");
    let deploy = |command: &str| {
        let pod = serde_json::json!({
            "id": "/shop/two", "scaling": {"kind": "fixed", "instances": 1},
            "containers": [{"name": "one", "resources": {"cpus": 0.1, "mem": 32}, "exec": {"command": {"shell": command}}}],
        });
        std::fs::write(&file, pod.to_string()).expect("a file");
        chapada(&cluster, &["pods", "deploy", &file.to_string_lossy(), "--wait", "60"]).expect("deploys");
    };
    deploy("sleep 1000");
    chapada(&cluster, &["pods", "scale", "shop/two", "2", "--wait", "60"]).expect("scales");
    let pods = json(&cluster, &["pods", "list"]);
    assert_eq!((&pods[0]["id"], &pods[0]["status"]), (&"/shop/two".into(), &"STABLE".into()), "{pods}");
    assert_eq!(pods[0]["instances"].as_array().map(Vec::len), Some(2), "{pods}");

    deploy("sleep 2000");
    let shown = json(&cluster, &["pods", "show", "/shop/two"]);
    assert_eq!(shown["pod"]["spec"]["containers"][0]["exec"]["command"]["shell"], "sleep 2000", "{shown}");
    assert_eq!(shown["pod"]["instances"].as_array().map(Vec::len), Some(1), "{shown}");
    let table = chapada(&cluster, &["pods", "show", "/shop/two"]).expect("a table");
    assert!(table.contains("STABLE"), "{table}");

    chapada(&cluster, &["pods", "rm", "/shop/two", "--wait", "60"]).expect("removes");
    assert_eq!(json(&cluster, &["pods", "list"]), Value::Array(Vec::new()));
}

#[test]
fn what_is_not_there_has_an_exit_code_of_its_own() {
    let cluster = Cluster::builder().services().start();
    for arguments in
        [&["logs", "nothing"][..], &["apps", "scale", "/nothing", "1"], &["pods", "rm", "/nothing"]]
    {
        let out = Command::new(binary("chapada"))
            .args(arguments)
            .args(["--master", cluster.master_host_port(0)])
            .output()
            .expect("chapada is built");
        assert_eq!(out.status.code(), Some(3), "{arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
    }
}

#[test]
fn logs_are_followed_until_the_task_ends() {
    let cluster = Cluster::builder().services().start();
    let file = cluster.folder().join("app.json");
    let app = r#"{"id":"/count","cmd":"for n in 1 2 3 4 5; do echo line $n; sleep 0.2; done; sleep 1","cpus":0.1,"mem":32,"backoffSeconds":600}"#;
    std::fs::write(&file, app).expect("a file");
    chapada(&cluster, &["apps", "deploy", &file.to_string_lossy()]).expect("deploys");
    let id = eventually("it runs", WITHIN, || {
        let tasks = json(&cluster, &["tasks", "--state", "TASK_RUNNING"]);
        tasks[0]["id"].as_str().map(str::to_owned).ok_or_else(|| tasks.to_string())
    });
    let text = chapada(&cluster, &["logs", "--follow", &id]).expect("follows to the end");
    assert_eq!(text, "line 1\nline 2\nline 3\nline 4\nline 5\n");
}
