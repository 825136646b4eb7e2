//! What an app can say, done: images, a bridge with its ports, files that are fetched, secrets, and health that the framework and
//! agents look after, on real agents. Needs root, a busybox without libraries, and the CNI plugins.

mod image;
mod pods;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use chapada_harness::{Cluster, eventually};
use serde_json::{Value, json};

/// Far above what anything here takes on a machine under load.
const WITHIN: Duration = Duration::from_secs(120);

/// A cluster whose agent has a network namespace of its own, finds the image `box:v1`, fetches from `shelf`, and whose
/// framework has the secret `db/password`.
fn cluster(shelf: &Path) -> Cluster {
    let images = shelf.join("images");
    image::make(&images.join("box"));
    std::fs::create_dir_all(shelf.join("secrets/db")).expect("files of the test");
    std::fs::write(shelf.join("secrets/db/password"), "xyzzy").expect("files of the test");
    Cluster::builder()
        .separate_machines()
        .agent_flag(&format!("--docker-registry={}", images.display()))
        .agent_flag(&format!("--fetcher-allowed-paths={}", shelf.display()))
        .services()
        .services_flag(&format!("--secrets-dir={}", shelf.join("secrets").display()))
        .start()
}

/// Containers have a `/tmp` of their own.
fn shelf() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("chapada-shelf-").tempdir_in("/var/tmp").expect("files of the test")
}

fn deploy(cluster: &Cluster, app: &Value) {
    cluster.services_http().send("POST", "/v2/apps", app).expect("the app is accepted");
}

/// The app, once as many of its tasks as it wants are well.
fn healthy(cluster: &Cluster, id: &str) -> Value {
    eventually(&format!("{id} is healthy"), WITHIN, || {
        let app = cluster.services_http().get(&format!("/v2/apps{id}"))?["app"].clone();
        if app["tasksHealthy"] == app["instances"] { Ok(app) } else { Err(app.to_string()) }
    })
}

/// What the task of `id` wrote, once it has `text` in it.
fn said(cluster: &Cluster, id: &str, text: &str) -> String {
    let of_task = format!("{}.instance-", id.trim_start_matches('/').replace('/', "_"));
    eventually(&format!("{id} says {text:?}"), WITHIN, || {
        let outputs = outputs(&cluster.folder().join("agent0/slaves"), &of_task);
        let found = outputs.iter().filter_map(|path| std::fs::read_to_string(path).ok());
        let found: Vec<String> = found.collect();
        let app = || cluster.services_http().get(&format!("/v2/apps{id}")).map(|app| app.to_string());
        found.iter().find(|said| said.contains(text)).cloned().ok_or(format!("{found:?} {:?}", app()))
    })
}

/// The `stdout` of every run of tasks of that name.
fn outputs(folder: &Path, of_task: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let text = path.to_string_lossy().into_owned();
            let depth = text.split("/slaves/").nth(1).map_or(0, |below| below.split('/').count());
            let in_runs = text.contains("/executors/");
            if in_runs && !text.contains(of_task) {
                continue;
            }
            if path.file_name().is_some_and(|name| name == "stdout") {
                found.push(path);
            } else if depth < 8 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(path);
            }
        }
    }
    found
}

#[test]
fn images_run_and_a_bridge_leads_to_their_ports() {
    let shelf = shelf();
    let cluster = cluster(shelf.path());
    deploy(
        &cluster,
        &json!({
            "id": "/images/said", "cpus": 0.1, "mem": 32, "args": ["cat /etc/motd; exec sleep 1000"],
            "container": {"type": "MESOS", "docker": {"image": "box:v1"}},
        }),
    );
    deploy(
        &cluster,
        &json!({
            "id": "/images/web", "cpus": 0.1, "mem": 32, "cmd": "exec httpd -f -p $PORT_WEB_IN -h /srv",
            "env": {"PORT_WEB_IN": "80"}, "networks": [{"mode": "container/bridge"}],
            "container": {
                "type": "DOCKER", "docker": {"image": "box:v1"},
                "portMappings": [{"containerPort": 80, "hostPort": 0, "name": "web"}],
            },
            "healthChecks": [{"protocol": "HTTP", "path": "/index.html", "portIndex": 0, "intervalSeconds": 1}],
        }),
    );
    said(&cluster, "/images/said", "from the image");
    let app = healthy(&cluster, "/images/web");
    let task = &app["tasks"][0];
    assert_eq!(task["ports"].as_array().map(Vec::len), Some(1), "{task}");
    assert_eq!(task["healthCheckResults"][0]["alive"], true, "{task}");
    let own = task["ipAddresses"][0]["ipAddress"].as_str().unwrap_or_default();
    assert!(own.starts_with("10.222."), "{task}");
    assert_ne!(Some(own), task["host"].as_str());
}

#[test]
fn files_and_secrets_are_there_when_a_task_starts() {
    let shelf = shelf();
    let cluster = cluster(shelf.path());
    let files = shelf.path().join("report-1.2");
    std::fs::create_dir_all(&files).expect("files of the test");
    std::fs::write(files.join("run.sh"), "echo unpacked and $1; exec sleep 1000\n")
        .expect("files of the test");
    let mut pack = Command::new("tar");
    pack.arg("-czf").arg(shelf.path().join("report.tgz")).arg("-C").arg(shelf.path()).arg("report-1.2");
    assert!(pack.status().expect("files of the test").success());
    deploy(
        &cluster,
        &json!({
            "id": "/fetched", "cpus": 0.1, "mem": 32, "cmd": "sh report-1.2/run.sh $MARATHON_APP_ID",
            "fetch": [{"uri": format!("file://{}/report.tgz", shelf.path().display())}],
        }),
    );
    deploy(
        &cluster,
        &json!({
            "id": "/secretive", "cpus": 0.1, "mem": 32, "cmd": "exec sleep 1000",
            "secrets": {"password": {"source": "db/password"}}, "env": {"PASSWORD": {"secret": "password"}},
            "container": {"type": "MESOS", "volumes": [{"containerPath": "password", "secret": "password"}]},
            "healthChecks": [{
                "protocol": "COMMAND", "intervalSeconds": 1, "delaySeconds": 0,
                "command": {"value": "test ${#PASSWORD} = 5 && test $PASSWORD = $(cat $MESOS_SANDBOX/password)"},
            }],
        }),
    );
    said(&cluster, "/fetched", "unpacked and /fetched");
    let app = healthy(&cluster, "/secretive");
    assert!(!app.to_string().contains("xyzzy"), "{app}");
}

#[test]
fn agents_say_whether_tasks_are_well() {
    let shelf = shelf();
    let cluster = cluster(shelf.path());
    let check = |check: Value| {
        let mut check = check;
        check["intervalSeconds"] = json!(1);
        check["delaySeconds"] = json!(0);
        check["gracePeriodSeconds"] = json!(1);
        check
    };
    deploy(
        &cluster,
        &json!({
            "id": "/asked/command", "cpus": 0.1, "mem": 32, "cmd": "touch up; exec sleep 1000",
            "healthChecks": [check(json!({
                "protocol": "COMMAND", "maxConsecutiveFailures": 0, "command": {"value": "test -e $MESOS_SANDBOX/up"},
            }))],
            "check": {"exec": {"command": {"shell": "exit 3"}}, "intervalSeconds": 1, "delaySeconds": 0},
        }),
    );
    deploy(
        &cluster,
        &json!({
            "id": "/asked/http", "cpus": 0.1, "mem": 32,
            "cmd": "mkdir w; echo hi > w/index.html; exec busybox httpd -f -p $PORT0 -h w",
            "healthChecks": [check(json!({"protocol": "MESOS_HTTP", "path": "/index.html", "portIndex": 0}))],
        }),
    );
    healthy(&cluster, "/asked/http");
    let app = healthy(&cluster, "/asked/command");
    let (task, results) = (&app["tasks"][0], &app["tasks"][0]["healthCheckResults"]);
    assert_eq!((results.as_array().map(Vec::len), &results[0]["alive"]), (Some(1), &json!(true)), "{task}");
    eventually("the check's result is shown", WITHIN, || {
        let app = cluster.services_http().get("/v2/apps/asked/command")?["app"].clone();
        let found = app["tasks"][0]["checkResult"]["command"]["exitCode"] == 3;
        if found { Ok(()) } else { Err(app.to_string()) }
    });
    let of_task = outputs(&cluster.folder().join("agent0/slaves"), "asked_command.instance-");
    let sandbox = of_task.first().and_then(|path| path.parent()).expect("a sandbox");
    std::fs::remove_file(sandbox.join("up")).expect("files of the test");
    eventually("it is told that the task is not well", WITHIN, || {
        let app = cluster.services_http().get("/v2/apps/asked/command")?["app"].clone();
        if app["tasksUnhealthy"] == 1 { Ok(()) } else { Err(app.to_string()) }
    });
}
