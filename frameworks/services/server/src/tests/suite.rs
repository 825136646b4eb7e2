//! The definitions that people write are deployed, every one.

use std::path::{Path, PathBuf};

use chapada_listener::Policy;
use chapada_model::{TaskId, TaskState};
use chapada_services_core::{Event, ReadinessResponse};
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::pretended::{Agents, Memory, update};
use crate::config::ServicesConfig;

/// The JSON files of a folder of the core's tests, each with its name.
fn files(folder: &str) -> Vec<(PathBuf, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/tests").join(folder);
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("a file");
        (path, serde_json::from_str(&text).expect("JSON"))
    };
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    entries.map(|entry| read(entry.expect("an entry").path())).collect()
}

/// Says of every task that it is well and ready, until no deployment is left.
async fn deployed(cluster: &Cluster) {
    let end = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let left = cluster.get("/v2/deployments").await.json();
        if left == json!([]) {
            return;
        }
        let waiting = cluster.get("/v2/deployments?embed=explanation").await.text;
        assert!(tokio::time::Instant::now() < end, "left: {waiting}");
        for app in cluster.get("/v2/apps?embed=apps.tasks").await.json()["apps"].as_array().expect("a list") {
            for task in app["tasks"].as_array().expect("a list") {
                is_well(cluster, &task["id"], app["healthChecks"].as_array().map_or(0, Vec::len)).await;
            }
        }
        for pod in cluster.get("/v2/pods/::status").await.json().as_array().expect("a list") {
            let instances = pod["instances"].as_array().into_iter().flatten();
            for container in instances.filter_map(|one| one["containers"].as_array()).flatten() {
                is_well(cluster, &container["containerId"], 0).await;
            }
        }
    }
}

async fn is_well(cluster: &Cluster, task: &Value, checks: usize) {
    let Some(task) = task.as_str().and_then(|task| task.parse::<TaskId>().ok()) else { return };
    let Event::Update(mut status) = update(task.clone(), TaskState::Running) else { panic!("an update") };
    status.healthy = Some(true);
    cluster.services.event(Event::Update(status)).await;
    for check in 0..checks {
        cluster.services.event(Event::Probed { task: task.clone(), check, result: Ok(()) }).await;
    }
    let answer =
        ReadinessResponse { status: 200, content_type: "text/plain".to_owned(), body: String::new() };
    cluster.services.event(Event::Readiness { task, check: 0, result: Ok(answer) }).await;
}

#[tokio::test]
async fn every_example_is_deployed() {
    let secrets = std::env::temp_dir().join(format!("chapada-suite-{}", uuid::Uuid::new_v4()));
    for name in ["db/key.pem", "db/password", "data/cache/password", "data/cache/tls"] {
        std::fs::create_dir_all(secrets.join(name).parent().expect("a folder")).expect("a folder");
        std::fs::write(secrets.join(name), "xyzzy").expect("a file");
    }
    let config = ServicesConfig { secrets_dir: Some(secrets.clone()), ..ServicesConfig::default() };
    let cluster = Cluster::start_with(Memory::default(), Agents::Six, Policy::allow_all(), config).await;
    let (apps, pods) = (files("definitions/apps"), files("pods/definitions"));
    assert!(apps.len() >= 20 && pods.len() >= 4, "{} apps, {} pods", apps.len(), pods.len());
    for (file, app) in &apps {
        let made = cluster.post("/v2/apps", &app["given"]).await;
        assert_eq!(made.status, 201, "{}: {}", file.display(), made.text);
    }
    for (file, pod) in &pods {
        let made = cluster.post("/v2/pods", pod).await;
        assert_eq!(made.status, 201, "{}: {}", file.display(), made.text);
    }
    deployed(&cluster).await;
    let shown = cluster.get("/v2/apps").await.json()["apps"].clone();
    assert_eq!(shown.as_array().map(Vec::len), Some(apps.len()));
    for app in shown.as_array().expect("a list") {
        assert_eq!(app["tasksRunning"], app["instances"], "{app:#}");
    }
    for pod in cluster.get("/v2/pods/::status").await.json().as_array().expect("a list") {
        let wanted = pod["spec"]["scaling"]["instances"].as_u64();
        assert_eq!(pod["instances"].as_array().map(|list| list.len() as u64), wanted, "{pod:#}");
        assert_eq!(pod["status"], "STABLE", "{pod:#}");
    }
    std::fs::remove_dir_all(secrets).expect("it is there");
}
