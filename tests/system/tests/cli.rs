//! The command line against a real cluster.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
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
    let app = r#"{"id":"/count","cmd":"echo line 1; until [ -e go ]; do sleep 0.02; done; for n in 2 3 4 5; do echo line $n; sleep 0.2; done","cpus":0.1,"mem":32,"backoffSeconds":600}"#;
    std::fs::write(&file, app).expect("a file");
    chapada(&cluster, &["apps", "deploy", &file.to_string_lossy()]).expect("deploys");
    let id = eventually("it runs", WITHIN, || {
        let tasks = json(&cluster, &["tasks", "--state", "TASK_RUNNING"]);
        tasks[0]["id"].as_str().map(str::to_owned).ok_or_else(|| tasks.to_string())
    });
    let mut follower = Command::new(binary("chapada"));
    follower.args(["logs", "--follow", &id, "--master", cluster.master_host_port(0)]).stdout(Stdio::piped());
    let mut follower = follower.spawn().expect("chapada is built");
    let mut said = BufReader::new(follower.stdout.take().expect("a pipe"));
    let mut text = String::new();
    said.read_line(&mut text).expect("text");
    assert_eq!(text, "line 1\n", "it follows a task that goes on");
    std::fs::write(cluster.sandbox().join("go"), "").expect("the sandbox is there");
    said.read_to_string(&mut text).expect("text");
    assert_eq!(text, "line 1\nline 2\nline 3\nline 4\nline 5\n");
    assert!(follower.wait().expect("it ends with the task").success());
}

/// The command of each task that runs of `/stages`, by the versions of the app; in order.
fn commands(cluster: &Cluster) -> Result<Vec<String>, String> {
    let services = cluster.services_http();
    let tasks = services.get("/v2/apps//stages/tasks")?;
    let running = |task: &&Value| task["state"] == "TASK_RUNNING";
    let mut commands = Vec::new();
    for task in tasks["tasks"].as_array().into_iter().flatten().filter(running) {
        let version = task["version"].as_str().unwrap_or_default();
        let app = services.get(&format!("/v2/apps//stages/versions/{version}"))?;
        commands.push(app["cmd"].as_str().unwrap_or_default().to_owned());
    }
    commands.sort();
    Ok(commands)
}

fn come_to_run(cluster: &Cluster, wanted: [&str; 3]) {
    eventually("the tasks that are wanted run", WITHIN, || {
        let found = commands(cluster)?;
        if found == wanted { Ok(()) } else { Err(format!("{found:?}")) }
    });
}

fn no_deployment_is_left(cluster: &Cluster) {
    eventually("no deployment is on its way", WITHIN, || match json(cluster, &["deployments", "list"]) {
        Value::Array(left) if left.is_empty() => Ok(()),
        left => Err(left.to_string()),
    });
}

#[test]
fn a_canary_is_paused_resumed_promoted_taken_back_and_left() {
    let cluster = Cluster::builder().services().start();
    let file = cluster.folder().join("stages.json");
    let deploy = |cmd: &str, wait: &[&str]| {
        let app = serde_json::json!({
            "id": "/stages", "cmd": cmd, "cpus": 0.1, "mem": 32, "instances": 3, "rollout": {"canary": [{"instances": 1}]},
        });
        std::fs::write(&file, app.to_string()).expect("a file");
        let file = file.to_string_lossy().into_owned();
        let arguments: Vec<&str> =
            ["apps", "deploy", &file].into_iter().chain(wait.iter().copied()).collect();
        chapada(&cluster, &arguments).expect("deploys");
    };
    let (first, second, third) = ("sleep 1001", "sleep 1002", "sleep 1003");
    let on_its_way =
        || json(&cluster, &["deployments", "list"])[0]["id"].as_str().expect("there is one").to_owned();
    deploy(first, &["--wait", "60"]);

    deploy(second, &[]);
    come_to_run(&cluster, [first, first, second]);
    let id = on_its_way();
    chapada(&cluster, &["deployments", "pause", &id]).expect("it goes on");
    let listed = chapada(&cluster, &["deployments", "list"]).expect("a table");
    assert!(listed.contains(&id) && listed.contains("/stages") && listed.contains("paused"), "{listed}");
    let refused = chapada(&cluster, &["deployments", "promote", &id]).expect_err("it is paused");
    assert!(refused.contains("resume it first"), "{refused}");
    chapada(&cluster, &["deployments", "resume", &id]).expect("it is paused");
    chapada(&cluster, &["deployments", "promote", &id]).expect("a canary waits");
    no_deployment_is_left(&cluster);
    come_to_run(&cluster, [second; 3]);

    deploy(third, &[]);
    come_to_run(&cluster, [second, second, third]);
    let undoing = chapada(&cluster, &["deployments", "rollback", &on_its_way()]).expect("it goes on");
    assert!(undoing.starts_with("deployment "), "{undoing}");
    no_deployment_is_left(&cluster);
    come_to_run(&cluster, [second; 3]);

    deploy(third, &[]);
    come_to_run(&cluster, [second, second, third]);
    chapada(&cluster, &["deployments", "cancel", &on_its_way()]).expect("it goes on");
    no_deployment_is_left(&cluster);
    let gone = chapada(&cluster, &["deployments", "pause", &id]).expect_err("it has ended");
    assert!(gone.contains("does not exist"), "{gone}");
}
