//! Two services processes on one ZooKeeper: the one that waits for its turn serves clients through the leader, and when leadership
//! is given away the work goes on under the other.

use std::time::Duration;

use chapada_harness::{Cluster, Http, eventually};
use serde_json::{Value, json};

const WITHIN: Duration = Duration::from_secs(60);

/// An app that is well once there is a file `open` in the folder.
fn gated(id: &str, folder: &std::path::Path) -> Value {
    json!({
        "id": id, "cmd": "exec sleep 100000", "instances": 2, "cpus": 0.1, "mem": 32,
        "healthChecks": [{
            "protocol": "COMMAND", "command": {"value": format!("test -e {}/open", folder.display())},
            "intervalSeconds": 1, "delaySeconds": 0, "gracePeriodSeconds": 600,
        }],
    })
}

fn leads(services: &Http, address: &str) -> Result<(), String> {
    match services.get("/v2/leader")? {
        leader if leader == json!({"leader": address}) => Ok(()),
        leader => Err(leader.to_string()),
    }
}

/// The ids of the tasks of an app, when as many run as it wants.
fn running(services: &Http, app: &str) -> Result<Vec<String>, String> {
    let app = services.get(&format!("/v2/apps{app}"))?["app"].clone();
    let tasks = app["tasks"].as_array().into_iter().flatten();
    let mut ids: Vec<String> = tasks.filter_map(|task| task["id"].as_str().map(str::to_owned)).collect();
    ids.sort();
    if app["tasksRunning"] == app["instances"] { Ok(ids) } else { Err(app.to_string()) }
}

fn deployments(services: &Http) -> Result<Vec<Value>, String> {
    let list = services.get("/v2/deployments")?;
    Ok(list.as_array().into_iter().flatten().map(|one| one["id"].clone()).collect())
}

#[test]
fn a_standby_relays_and_takes_over_when_leadership_is_given_away() {
    let gate = tempfile::Builder::new().prefix("chapada-gate-").tempdir_in("/var/tmp").expect("a folder");
    let cluster = Cluster::builder().masters(2).services().start();
    let (first, first_address) = (cluster.services_http(), cluster.services_host_port());
    let (second_address, mut second_daemon) = cluster.another_services("services2", &[]);
    let second = Http::new(&second_address);
    eventually("the second knows who leads", WITHIN, || leads(&second, first_address));

    let made = second.send("POST", "/v2/apps", &gated("/gated", gate.path())).expect("the leader takes it");
    let deployment = made["deployments"][0]["id"].clone();
    assert!(deployment.is_string(), "{made}");
    for services in [&first, &second] {
        assert_eq!(deployments(services), Ok(vec![deployment.clone()]));
    }
    let refused = second.call("POST", "/v2/apps", Some(&json!({"id": "/gated", "cmd": "true"})));
    assert_eq!(refused.expect("the leader's answer").0, 409);
    assert_eq!(second.redirect("/v2/events"), Ok(format!("http://{first_address}/v2/events")));
    let tasks = eventually("its tasks run", WITHIN, || running(&second, "/gated"));

    second.send("DELETE", "/v2/leader", &json!({})).expect("leadership is given away");
    for services in [&first, &second] {
        eventually("the second leads", WITHIN, || leads(services, &second_address));
    }
    eventually("it is asked about the same deployment", WITHIN, || match deployments(&first)? {
        found if found == [deployment.clone()] => Ok(()),
        other => Err(format!("{other:?}")),
    });
    assert_eq!(first.redirect("/v2/events"), Ok(format!("http://{second_address}/v2/events")));
    first.send("POST", "/v2/apps", &gated("/more", gate.path())).expect("the new leader takes it");
    std::fs::write(gate.path().join("open"), "").expect("a file");
    eventually("both deployments have ended", WITHIN, || match deployments(&first)? {
        none if none.is_empty() => Ok(()),
        some => Err(format!("{some:?}")),
    });
    assert_eq!(running(&second, "/gated"), Ok(tasks), "none was started anew");

    second_daemon.stop();
    eventually("the first leads again", WITHIN, || leads(&first, first_address));
    eventually("it has both apps", WITHIN, || {
        running(&first, "/gated")?;
        running(&first, "/more")
    });
}
