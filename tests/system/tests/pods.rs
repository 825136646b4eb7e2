//! Pods on a real agent: containers that share a volume and a network, and live and end together.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use chapada_harness::{Cluster, Http, eventually};
use serde_json::{Value, json};

const WITHIN: Duration = Duration::from_secs(60);

/// A server that hands out a volume, and a maker that writes into the volume what it hears from the server. The server is
/// well once that can be fetched from it: that takes the volume, the network, and the agent's way into it.
fn pod(instances: u32, word: &str) -> Value {
    let fetch = "import os,urllib.request as u; \
        open('out/heard','wb').write(u.urlopen('http://127.0.0.1:'+os.environ['ENDPOINT_WEB']+'/page').read())";
    let maker = format!(
        "echo $WORD > out/page; until python3 -c \"{fetch}\" 2>/dev/null; do sleep 0.1; done; exec sleep 98765"
    );
    json!({
        "id": "/shop/pages",
        "environment": {"WORD": word},
        "volumes": [{"name": "pages"}],
        "networks": [{"mode": "container", "name": "none"}],
        "containers": [
            {
                "name": "maker", "exec": {"command": {"shell": maker}}, "resources": {"cpus": 0.1, "mem": 64},
                "volumeMounts": [{"name": "pages", "mountPath": "out"}],
            },
            {
                "name": "server", "resources": {"cpus": 0.1, "mem": 64},
                "exec": {"command": {"argv": [
                    "python3", "-m", "http.server", "8080", "--bind", "127.0.0.1", "--directory", "in",
                ]}},
                "endpoints": [{"name": "web", "containerPort": 8080}],
                "volumeMounts": [{"name": "pages", "mountPath": "in", "readOnly": true}],
                "healthCheck": {
                    "http": {"endpoint": "web", "path": "/heard"}, "delaySeconds": 0, "intervalSeconds": 1,
                    "timeoutSeconds": 0.9, "gracePeriodSeconds": 30, "maxConsecutiveFailures": 0,
                },
                "lifecycle": {"killGracePeriodSeconds": 1},
            },
        ],
        "scaling": {"kind": "fixed", "instances": instances},
        "scheduling": {"backoff": {"backoff": 0.1}},
    })
}

#[test]
fn containers_share_what_they_should_and_live_and_end_together() {
    let cluster = Cluster::builder().services().start();
    let services = cluster.services_http();
    services.send("POST", "/v2/pods", &pod(1, "first")).expect("the pod is accepted");
    let first = stable(&services, 1);
    let before = containers(&first, 0);
    assert!(before.iter().all(|id| id.ends_with(".1")), "{before:?}");

    // What it heard can be fetched a moment before it begins to sleep.
    let pid = eventually("the maker has heard and sleeps", WITHIN, || {
        match running(&cluster, "sleep 98765").as_slice() {
            [(pid, _)] => Ok(nix::unistd::Pid::from_raw(i32::try_from(*pid).expect("a pid"))),
            sleeps => Err(format!("{sleeps:?}")),
        }
    });
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("it is there to be killed");
    eventually("all of it begins again", WITHIN, || {
        let status = services.get("/v2/pods/shop/pages::status")?;
        let now = containers(&status, 0);
        let anew = now.len() == 2 && now.iter().all(|id| id.ends_with(".2"));
        if anew && is_stable(&status, 1) { Ok(()) } else { Err(status.to_string()) }
    });
    let again = services.get("/v2/pods/shop/pages::status").expect("a status");
    assert_eq!(again["instances"][0]["id"], first["instances"][0]["id"], "in its place");
    let ended = &again["terminationHistory"][0];
    assert_eq!(ended["containers"][0]["lastKnownState"], "TASK_FAILED", "{ended}");
    assert_eq!(ended["containers"][1]["lastKnownState"], "TASK_KILLED", "{ended}");
    assert_eq!(running(&cluster, "http.server 8080").len(), 1, "the first server has ended");

    services.send("PUT", "/v2/pods/shop/pages", &pod(2, "first")).expect("the number is accepted");
    let scaled = stable(&services, 2);
    let kept = (0..2).any(|at| containers(&scaled, at) == containers(&again, 0));
    assert!(kept, "the first was not touched: {scaled}");

    services.send("PUT", "/v2/pods/shop/pages", &pod(2, "second")).expect("the change is accepted");
    no_deployments(&services);
    let replaced = stable(&services, 2);
    let old: Vec<String> = (0..2).flat_map(|at| containers(&scaled, at)).collect();
    let new: Vec<String> = (0..2).flat_map(|at| containers(&replaced, at)).collect();
    assert!(new.iter().all(|id| !old.contains(id)), "{old:?}, then {new:?}");

    let (status, body) = services.call("DELETE", "/v2/pods/shop/pages", None).expect("an answer");
    assert_eq!((status, body.as_str()), (202, ""));
    no_deployments(&services);
    assert_eq!(services.get("/v2/pods/::status"), Ok(json!([])));
    eventually("nothing is left of it", WITHIN, || {
        let left = [running(&cluster, "sleep 98765"), running(&cluster, "http.server 8080")].concat();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
    assert_eq!(cluster.live_tasks().expect("the tasks"), Vec::<Value>::new());
}

#[test]
fn endpoints_artifacts_and_limits_of_the_machines_network() {
    let folder = tempfile::Builder::new().prefix("chapada-pods-").tempdir_in("/var/tmp").expect("a folder");
    let everyone = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), everyone).expect("it is ours");
    let page = folder.path().join("page");
    std::fs::write(&page, "from the machine").expect("a file");
    let allowed = format!("--fetcher-allowed-paths={}", folder.path().display());
    let cluster = Cluster::builder().services().agent_flag(&allowed).start();
    let services = cluster.services_http();
    let serve = "test \"$EP_HOST_WEB\" = \"$ENDPOINT_WEB\" && exec python3 -m http.server $ENDPOINT_WEB --bind 127.0.0.1";
    let pod = json!({
        "id": "/shop/files",
        "containers": [
            {
                "name": "files", "exec": {"command": {"shell": serve}}, "resources": {"cpus": 0.1, "mem": 64},
                "resourceLimits": {"cpus": 1, "mem": 128},
                "artifacts": [{"uri": page.display().to_string(), "extract": false}],
                "endpoints": [{"name": "web"}],
                "healthCheck": {
                    "tcp": {"endpoint": "web"}, "delaySeconds": 0, "intervalSeconds": 1, "timeoutSeconds": 0.9,
                    "maxConsecutiveFailures": 0,
                },
            },
            {
                "name": "once", "exec": {"command": {"argv": ["true"]}}, "resources": {"cpus": 0.1, "mem": 32},
            },
        ],
    });
    services.send("POST", "/v2/pods", &pod).expect("the pod is accepted");
    let status = eventually("it is well", WITHIN, || {
        let status = services.get("/v2/pods/shop/files::status")?;
        let containers = &status["instances"][0]["containers"];
        let well = containers[0]["conditions"][0]["value"] == "true";
        let ended = containers[1]["termination"]["exitCode"] == 0;
        if well && ended && status["status"] == "STABLE" { Ok(status) } else { Err(status.to_string()) }
    });
    let port = &status["instances"][0]["containers"][0]["endpoints"][0]["allocatedHostPort"];
    let page = Http::new(&format!("127.0.0.1:{port}")).text("/page");
    assert_eq!(page.as_deref(), Ok("from the machine"));
    no_deployments(&services);

    let instance = status["instances"][0]["id"].as_str().expect("an id").to_owned();
    let killed = services.send("DELETE", &format!("/v2/pods/shop/files::instances/{instance}"), &json!([]));
    assert_eq!(killed.expect("it is killed")["id"], instance.as_str());
    eventually("another takes its place", WITHIN, || {
        let status = services.get("/v2/pods/shop/files::status")?;
        let other = status["instances"][0]["id"] != instance.as_str();
        let well = status["instances"][0]["containers"][0]["conditions"][0]["value"] == "true";
        if other && well { Ok(()) } else { Err(status.to_string()) }
    });
}

fn stable(services: &Http, instances: usize) -> Value {
    eventually("it is stable and well", WITHIN, || {
        let status = services.get("/v2/pods/shop/pages::status")?;
        if is_stable(&status, instances) { Ok(status) } else { Err(status.to_string()) }
    })
}

/// Whether so many instances are there, and their servers said that they are well.
fn is_stable(status: &Value, instances: usize) -> bool {
    let list = status["instances"].as_array().map(Vec::as_slice).unwrap_or_default();
    let well =
        |one: &Value| one["status"] == "STABLE" && one["containers"][1]["conditions"][0]["value"] == "true";
    status["status"] == "STABLE" && list.len() == instances && list.iter().all(well)
}

/// The ids of the tasks of an instance.
fn containers(status: &Value, instance: usize) -> Vec<String> {
    let list = status["instances"][instance]["containers"].as_array().cloned().unwrap_or_default();
    list.iter().map(|one| one["containerId"].as_str().unwrap_or_default().to_owned()).collect()
}

fn running(cluster: &Cluster, command: &str) -> Vec<(u32, String)> {
    cluster
        .processes()
        .into_iter()
        .filter(|(_, line)| line.contains(command) && !line.contains("sh -c"))
        .collect()
}

fn no_deployments(services: &Http) {
    eventually("it is brought about", WITHIN, || {
        let deployments = services.get("/v2/deployments")?;
        if deployments == json!([]) { Ok(()) } else { Err(deployments.to_string()) }
    });
}
