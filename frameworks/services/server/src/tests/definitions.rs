//! What of a definition depends on how the process was started.

use serde_json::{Value, json};

use super::cluster::Cluster;
use crate::config::ServicesConfig;

fn with_secret(source: &str) -> Value {
    json!({"id": "/s", "cmd": "sleep 100", "secrets": {"pass": {"source": source}}, "env": {"PASS": {"secret": "pass"}}})
}

#[tokio::test]
async fn secrets_are_refused_where_none_are_kept_and_where_this_one_is_not() {
    let without = Cluster::start().await.post("/v2/apps", &with_secret("db")).await;
    assert_eq!((without.status.as_u16(), &without.json()["details"][0]["path"]), (422, &json!("/secrets")));

    let directory = std::env::temp_dir().join(format!("chapada-kept-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("db"), "xyzzy").unwrap();
    let secrets_dir = Some(directory.clone());
    let cluster = Cluster::with_config(ServicesConfig { secrets_dir, ..ServicesConfig::default() }).await;
    let missing = cluster.post("/v2/apps", &with_secret("web")).await;
    assert_eq!(missing.json()["details"][0]["path"], "/secrets(pass)/source", "{}", missing.text);
    let outside = cluster.post("/v2/apps", &with_secret("../db")).await;
    assert_eq!(outside.status, 422, "{}", outside.text);
    let mut inner = with_secret("web");
    inner["id"] = json!("s");
    let group = json!({"id": "/g", "groups": [{"id": "in", "apps": [{"id": "a", "cmd": "true"}, inner]}]});
    for answer in [cluster.post("/v2/groups", &group).await, cluster.put("/v2/groups", &group).await] {
        let path = answer.json()["details"][0]["path"].clone();
        assert_eq!((answer.status.as_u16(), path), (422, json!("/groups(0)/apps(1)/secrets(pass)/source")));
    }
    let made = cluster.post("/v2/apps", &with_secret("db")).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert!(!made.text.contains("xyzzy"), "{}", made.text);
    std::fs::remove_dir_all(directory).unwrap();
}

#[tokio::test]
async fn a_container_network_without_a_name_is_the_default_one() {
    let app = json!({"id": "/n", "cmd": "sleep 100", "networks": [{"mode": "container"}]});
    let refused = Cluster::start().await.post("/v2/apps", &app).await;
    assert_eq!(refused.json()["details"][0]["path"], "/networks(0)/name", "{}", refused.text);
    let default_network_name = Some("dev".to_owned());
    let config = ServicesConfig { default_network_name, ..ServicesConfig::default() };
    let made = Cluster::with_config(config).await.post("/v2/apps", &app).await.json();
    assert_eq!(made["networks"], json!([{"mode": "container", "name": "dev"}]));
    assert_eq!(made["container"]["portMappings"][0]["servicePort"], 10_000);
    assert!(made.get("portDefinitions").is_none());
}
