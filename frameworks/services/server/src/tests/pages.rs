//! Long lists, in pages and as a whole.

use serde_json::{Value, json};

use super::cluster::Cluster;

/// More apps and tasks than one turn looks at.
const APPS: usize = 120;
const EACH: usize = 3;

async fn crowded() -> Cluster {
    let cluster = Cluster::start().await;
    let app = |number: usize| json!({"id": format!("/g{}/app-{number:03}", number % 7), "cmd": "x", "cpus": 0.001, "mem": 1, "instances": EACH, "ports": []});
    let apps: Vec<Value> = (0..APPS).map(app).collect();
    assert_eq!(cluster.put("/v2/apps", &json!(apps)).await.status, 200);
    cluster.eventually("/v2/deployments", |deployments| *deployments == json!([])).await;
    cluster
}

fn ids(list: &Value) -> Vec<String> {
    let items = list.as_array().expect("a list").iter();
    items.map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test]
async fn pages_follow_each_other_and_make_up_the_whole() {
    let cluster = crowded().await;
    for (path, name, total) in [("/v2/apps", "apps", APPS), ("/v2/tasks", "tasks", APPS * EACH)] {
        let whole = ids(&cluster.get(path).await.json()[name]);
        assert_eq!(whole.len(), total, "{path}");
        let mut read: Vec<String> = Vec::new();
        loop {
            let after = read.last().cloned().unwrap_or_default();
            let page = ids(&cluster.get(&format!("{path}?limit=50&after={after}")).await.json()[name]);
            read.extend(page.iter().cloned());
            if page.len() < 50 {
                break;
            }
        }
        assert_eq!(read, whole, "{path}");
    }
}

#[tokio::test]
async fn a_filter_goes_over_all_turns() {
    let cluster = crowded().await;
    let last = &cluster.get("/v2/apps?id=app-118&limit=1").await.json()["apps"];
    assert_eq!(ids(last), ["/g6/app-118"]);
    let few = cluster.get("/v2/tasks?status=staging").await.json();
    assert_eq!(few, json!({"tasks": []}));
    for bad in ["/v2/apps?limit=0", "/v2/apps?limit=x", "/v2/apps?after=/A", "/v2/tasks?after=task"] {
        assert_eq!(cluster.get(bad).await.status, 422, "{bad}");
    }
}
