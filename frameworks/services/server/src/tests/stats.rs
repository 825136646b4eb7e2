//! `taskStats`.

use serde_json::{Value, json};

use super::cluster::Cluster;

fn running(views: &Value, view: &str) -> Value {
    views[view]["stats"]["counts"]["running"].clone()
}

#[tokio::test]
async fn task_stats_have_marathons_four_views() {
    let cluster = Cluster::start().await;
    let app = json!({"id": "/web", "cmd": "sleep 1", "instances": 2, "cpus": 0.1, "mem": 32});
    assert_eq!(cluster.post("/v2/apps", &app).await.status, 201);
    let done = |json: &Value| *json == json!([]);
    cluster.eventually("/v2/deployments", done).await;
    assert_eq!(cluster.put("/v2/apps/web", &json!({"instances": 3})).await.status, 200);
    cluster.eventually("/v2/deployments", done).await;

    let shown = cluster.get("/v2/apps?embed=apps.taskStats").await.json();
    let views = &shown["apps"][0]["taskStats"];
    assert_eq!(running(views, "startedAfterLastScaling"), 1, "{views}");
    assert_eq!(running(views, "withLatestConfig"), 3, "{views}");
    assert_eq!(running(views, "totalSummary"), 3, "{views}");
    assert_eq!(views.get("withOutdatedConfig"), None, "a view without tasks is left out");
    let total = &views["totalSummary"]["stats"];
    assert_eq!(total["counts"], json!({"staged": 0, "running": 3, "healthy": 0, "unhealthy": 0}));
    assert!(total["lifeTime"]["averageSeconds"].is_f64() && total["lifeTime"]["medianSeconds"].is_f64());

    // A readiness check that nobody answers keeps the old tasks where they are.
    let next = json!({"cmd": "sleep 2", "readinessChecks": [{"portName": "http"}],
        "portDefinitions": [{"port": 0, "name": "http"}]});
    assert_eq!(cluster.put("/v2/apps/web", &next).await.status, 200);
    let of_both = |json: &Value| {
        running(&json["app"]["taskStats"], "withOutdatedConfig").as_u64() > Some(0)
            && running(&json["app"]["taskStats"], "withLatestConfig").as_u64() > Some(0)
    };
    let shown = cluster.eventually("/v2/apps/web?embed=app.taskStats", of_both).await;
    let group = cluster.get("/v2/groups?embed=group.apps&embed=group.apps.taskStats").await.json();
    let (alone, there) = (&shown["app"]["taskStats"], &group["apps"][0]["taskStats"]);
    let keys = |views: &Value| views.as_object().map(|views| views.keys().cloned().collect::<Vec<_>>());
    assert_eq!(keys(alone).map(|keys| keys.len()), Some(4));
    assert_eq!(keys(alone), keys(there));
}
