//! Why things wait, and what a change would do.

use serde_json::{Value, json};

use super::cluster::Cluster;
use super::pretended::Memory;

/// More than the pretended agent has.
fn large(id: &str) -> Value {
    json!({"id": id, "cmd": "sleep 100", "cpus": 0.1, "mem": 131_072})
}

#[tokio::test]
async fn an_app_that_fits_nowhere_says_so_everywhere() {
    let cluster = Cluster::start().await;
    assert_eq!(cluster.post("/v2/apps", &large("/large")).await.status, 201);
    let told = |why: &Value| why["reasons"][0]["cause"] == "mem";
    let why = cluster.eventually("/v2/apps//large/why", told).await;
    let sentence = "Needs 128 GiB of memory on an agent; the only agent offered has 64 GiB free (host-1); \
                    it would fit if mem were 64 GiB.";
    assert_eq!((&why["sentence"], &why["waiting"]), (&json!(sentence), &json!(1)), "{why:#}");
    assert_eq!(why["reasons"][0]["changes"][0]["patch"], json!({"mem": 65_536}));
    let mem = why["funnel"]
        .as_array()
        .and_then(|rows| rows.iter().find(|row| row["reason"] == "InsufficientMemory"));
    assert_eq!(mem, Some(&json!({"reason": "InsufficientMemory", "declined": 1, "processed": 1})));

    let plain = cluster.get("/v2/queue").await.json();
    let known = ["app", "count", "delay", "processedOffersSummary", "since"];
    let keys: Vec<&String> = plain["queue"][0].as_object().expect("an object").keys().collect();
    assert_eq!(keys, known, "clients know no others");
    let reasons = plain["queue"][0]["processedOffersSummary"]["rejectSummaryLaunchAttempt"].as_array();
    assert_eq!(reasons.map(Vec::len), Some(10));
    let told = cluster.get("/v2/queue?embed=lastUnusedOffers&embed=explanation").await.json();
    let entry = &told["queue"][0];
    assert_eq!(entry["explanation"]["sentence"], sentence);
    assert_eq!(entry["lastUnusedOffers"][0]["offer"]["hostname"], "host-1");
    assert_eq!(entry["lastUnusedOffers"][0]["reason"], json!(["InsufficientMemory"]));
    let deployments = cluster.get("/v2/deployments?embed=explanation").await.json();
    assert_eq!(deployments[0]["explanations"][0]["sentence"], sentence);

    assert_eq!(cluster.get("/v2/apps/none/why").await.status, 404);
    assert_eq!(cluster.get("/v2/pods/none::why").await.status, 404);
}

#[tokio::test]
async fn a_plan_says_what_a_put_would_do_and_changes_nothing() {
    let store = Memory::default();
    let cluster = Cluster::with(store.clone(), true).await;
    let app = json!({"id": "/a", "cmd": "sleep 100", "cpus": 0.1, "mem": 32, "labels": {"old": "1"}});
    assert_eq!(cluster.post("/v2/apps", &app).await.status, 201);
    cluster.eventually("/v2/deployments", |list| *list == json!([])).await;
    let (asked, refused) = (json!({"cpus": -1}), cluster.put("/v2/apps/a", &json!({"cpus": -1})).await);
    let paths =
        ["/v2/apps?embed=apps.tasks", "/v2/deployments", "/v2/queue", "/v2/apps/a/versions", "/v2/groups"];
    let records = || store.0.lock().expect("unbroken").clone();
    let mut before = Vec::new();
    for path in paths {
        before.push(cluster.get(path).await.json());
    }
    let written = records();

    let change = json!({"mem": 64, "labels": {"new": "2"}, "instances": 3});
    let answer = cluster.post("/v2/apps//a/plan", &change).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let plan = answer.json();
    let fields = json!([
        {"path": "/instances", "from": 1, "to": 3},
        {"path": "/labels/new", "from": null, "to": "2"},
        {"path": "/labels/old", "from": "1", "to": null},
        {"path": "/mem", "from": 32, "to": 64},
    ]);
    assert_eq!(plan["changes"], json!([{"id": "/a", "change": "update", "fields": fields}]));
    let on = json!([{"agentId": "agent-1", "host": "host-1", "instances": 3}]);
    assert_eq!(
        (&plan["placements"][0]["on"], &plan["placements"][0]["starts"]),
        (&on, &json!(3)),
        "{plan:#}"
    );

    let too_large = cluster.post("/v2/apps/*/plan", &json!([large("/b")])).await.json();
    assert_eq!(too_large["changes"][0]["change"], "create");
    assert_eq!(too_large["placements"][0]["waiting"], 1, "{too_large:#}");
    assert_eq!(too_large["placements"][0]["explanation"]["reasons"][0]["cause"], "mem");
    let planned = cluster.post("/v2/apps/a/plan", &asked).await;
    assert_eq!((planned.status.as_u16(), planned.json()), (refused.status.as_u16(), refused.json()));

    for (path, before) in paths.into_iter().zip(before) {
        assert_eq!(cluster.get(path).await.json(), before, "{path}");
    }
    assert_eq!(records(), written);

    let done = cluster.put("/v2/apps/a", &change).await;
    assert_eq!(done.status, 200, "{}", done.text);
    assert_eq!(plan["steps"], json!([{"actions": [{"action": "RestartApplication", "app": "/a"}]}]));
    cluster.eventually("/v2/apps/a", |app| app["app"]["tasksRunning"] == 3).await;
}
