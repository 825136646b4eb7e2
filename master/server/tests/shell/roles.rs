//! Quotas and weights through every door: as a real Mesos answered, in both forms, and what is refused.

use std::net::SocketAddr;

use chapada_master::{Master, MasterConfig};
use chapada_wire::v1::master::call::{self, UpdateQuota};
use chapada_wire::v1::master::{Call, Response};
use chapada_wire::v1::quota::QuotaConfig;
use chapada_wire::v1::value::Scalar;
use prost::Message;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::support::http::{Answer, ask, get, post_json};
use crate::support::{DEADLINE, TestMaster};

async fn operate(at: SocketAddr, call: Value) -> Answer {
    post_json(at, "/api/v1", &call.to_string()).await
}

async fn update(at: SocketAddr, configs: Value, force: bool) -> Answer {
    let update = json!({ "force": force, "quota_configs": configs });
    operate(at, json!({ "type": "UPDATE_QUOTA", "update_quota": update })).await
}

async fn plain(at: SocketAddr, line: &str, body: &str) -> Answer {
    ask(at, &format!("{line} HTTP/1.1\nContent-Type: application/json"), body.as_bytes()).await
}

/// The recordings operator/04 to 07c, and those of a master that was asked for nothing yet.
#[tokio::test(flavor = "multi_thread")]
async fn quotas_and_weights_are_answered_as_recorded() {
    let master = TestMaster::start().await;
    let at = master.at;
    assert_eq!(get(at, "/quota").await.text(), "{}");
    assert_eq!(get(at, "/weights").await.text(), "[]");
    for (kind, none) in [
        ("GET_QUOTA", r#"{"type":"GET_QUOTA","get_quota":{"status":{}}}"#),
        ("GET_WEIGHTS", r#"{"type":"GET_WEIGHTS"}"#),
        ("GET_ROLES", r#"{"type":"GET_ROLES","get_roles":{}}"#),
    ] {
        assert_eq!(operate(at, json!({ "type": kind })).await.text(), none);
    }
    let weights = json!({ "weight_infos": [{ "weight": 2.0, "role": "r2" }] });
    let done = operate(at, json!({ "type": "UPDATE_WEIGHTS", "update_weights": weights })).await;
    assert_eq!((done.status, done.text().as_str()), (200, ""));
    assert_eq!(
        operate(at, json!({ "type": "GET_WEIGHTS" })).await.text(),
        r#"{"type":"GET_WEIGHTS","get_weights":{"weight_infos":[{"weight":2.0,"role":"r2"}]}}"#
    );
    assert_eq!(get(at, "/weights").await.text(), r#"[{"weight":2.0,"role":"r2"}]"#);
    let quota = json!([{ "role": "r2", "guarantees": { "cpus": { "value": 0.1 } }, "limits": { "cpus": { "value": 1.0 } } }]);
    let done = update(at, quota, true).await;
    assert_eq!((done.status, done.text().as_str()), (200, ""));
    let status = r#"{"infos":[{"role":"r2","guarantee":[{"name":"cpus","type":"SCALAR","scalar":{"value":0.1}}]}],"configs":[{"role":"r2","guarantees":{"cpus":{"value":0.1}},"limits":{"cpus":{"value":1.0}}}]}"#;
    assert_eq!(
        operate(at, json!({ "type": "GET_QUOTA" })).await.text(),
        format!(r#"{{"type":"GET_QUOTA","get_quota":{{"status":{status}}}}}"#)
    );
    for path in ["/quota", "/master/quota"] {
        let answer = get(at, path).await;
        assert_eq!(
            (answer.header("content-type"), answer.text().as_str()),
            (Some("application/json"), status)
        );
    }
    let big = json!([{ "role": "r3", "guarantees": { "cpus": { "value": 10000 } }, "limits": { "cpus": { "value": 10000 } } }]);
    let refused = update(at, big, false).await;
    assert_eq!((refused.status, refused.header("content-type")), (400, Some("text/plain; charset=utf-8")));
    assert_eq!(
        refused.text(),
        "Invalid QuotaConfig: total quota guarantees 'cpus:10000.1' exceed cluster capacity '{}' (use 'force' flag to bypass this check)"
    );
    let roles = get(at, "/roles").await.json();
    assert_eq!(
        roles["roles"],
        json!([{ "name": "r2", "weight": 2.0, "quota": { "role": "r2", "guarantee": { "cpus": 0.1 },
            "limit": { "cpus": 1.0 }, "consumed": {} }, "resources": {}, "allocated": {}, "offered": {},
            "reserved": {}, "frameworks": [] }])
    );
    let metrics = get(at, "/metrics/snapshot").await.json();
    let metric =
        |what: &str| metrics[format!("allocator/mesos/quota/roles/r2/resources/cpus/{what}")].as_f64();
    let shown = ["guarantee", "limit", "offered_or_allocated", "consumed"].map(metric);
    assert_eq!(shown, [Some(0.1), Some(1.0), Some(0.0), Some(0.0)]);
    assert_eq!(update(at, json!([{ "role": "r2" }]), false).await.status, 200);
    assert_eq!(get(at, "/quota").await.text(), "{}");
    master.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doors_before_api_v1_set_and_remove() {
    let master = TestMaster::start().await;
    let at = master.at;
    let request = |force: bool| {
        json!({ "role": "eng/db", "force": force,
            "guarantee": [{ "name": "cpus", "type": "SCALAR", "scalar": { "value": 2 } }] })
        .to_string()
    };
    let refused = plain(at, "POST /quota", &request(false)).await;
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert!(refused.text().starts_with("Quota guarantees overcommit the cluster (use 'force'"));
    assert_eq!(plain(at, "POST /quota", &request(true)).await.status, 200);
    let config = &get(at, "/quota").await.json()["configs"][0];
    assert_eq!(config["limits"], json!({ "cpus": { "value": 2.0 } }), "the guarantee is the limit");
    assert_eq!(plain(at, "POST /quota", &request(true)).await.status, 400, "it has one");
    assert_eq!(plain(at, "DELETE /quota/eng/db", "").await.status, 200);
    let set = json!({ "type": "SET_QUOTA", "set_quota": { "quota_request": serde_json::from_str::<Value>(&request(true)).expect("JSON") } });
    assert_eq!(operate(at, set).await.status, 200);
    // Ticket 9786: the second of two in a row.
    let remove = json!({ "type": "REMOVE_QUOTA", "remove_quota": { "role": "eng/db" } });
    let (first, second) = tokio::join!(operate(at, remove.clone()), operate(at, remove));
    let mut statuses = [first.status, second.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400], "{} {}", first.text(), second.text());
    let done =
        plain(at, "PUT /weights", r#"[{"role": " r1 ", "weight": 0.5}, {"role": "r2", "weight": 3}]"#).await;
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(
        get(at, "/weights").await.json(),
        json!([{"weight": 0.5, "role": "r1"}, {"weight": 3.0, "role": "r2"}])
    );
    for (line, body, word) in [
        ("POST /quota", "{", "Failed to validate set quota request JSON"),
        ("POST /quota", r#"{"role": "a b"}"#, "Invalid 'role'"),
        ("POST /quota", r#"{"guarantee": []}"#, "'role' must be set"),
        ("POST /quota", r#"{"role": "a", "guarantee": []}"#, "is empty"),
        (
            "POST /quota",
            r#"{"role": "a", "guarantee": [{"name": "ports", "type": "RANGES", "ranges": {"range": []}}]}"#,
            "no scalar",
        ),
        (
            "POST /quota",
            r#"{"role": "a", "guarantee": [{"name": "cpus", "type": "SCALAR", "scalar": {"value": 1}, "role": "a", "revocable": {}}]}"#,
            "RevocableInfo",
        ),
        ("DELETE /quota", "", "Empty role name"),
        ("DELETE /quota/nobody", "", "Role 'nobody' has no quota set"),
        ("PUT /weights", r#"{"role": "a", "weight": 1}"#, "Failed to parse update weights request JSON"),
        (
            "PUT /weights",
            r#"[{"role": "a", "weight": 1}], "x": [1]"#,
            "Failed to parse update weights request JSON",
        ),
        ("PUT /weights", r#"[{"role": "a", "weight": 0}]"#, "Weights must be positive"),
        ("PUT /weights", r#"[{"role": "a", "weight": -1}]"#, "Weights must be positive"),
        ("PUT /weights", r#"[{"role": "a/", "weight": 1}]"#, "cannot end with a slash"),
    ] {
        let refused = plain(at, line, body).await;
        assert_eq!(refused.status, 400, "{line} {body}: {}", refused.text());
        assert!(refused.text().contains(word), "{line} {body}: {}", refused.text());
    }
    let wrong = plain(at, "PUT /quota", "{}").await;
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("GET, POST, DELETE")));
    assert_eq!(ask(at, "POST /quota HTTP/1.1\nContent-Type: text/plain", b"{}").await.status, 415);
    master.end().await;
}

/// Ticket 10008: protobuf can say what JSON cannot, and none of it can be counted.
#[tokio::test(flavor = "multi_thread")]
async fn ticket_10008_amounts_that_cannot_be_counted_are_refused_in_protobuf_and_json() {
    let master = TestMaster::start().await;
    let binary = |value: f64| {
        let limits = [("cpus".to_owned(), Scalar { value: Some(value) })].into();
        let config = QuotaConfig { role: Some("r".to_owned()), limits, ..QuotaConfig::default() };
        let update = UpdateQuota { force: Some(true), quota_configs: vec![config] };
        Call { r#type: Some(call::Type::UpdateQuota.into()), update_quota: Some(update), ..Call::default() }
    };
    let head = "POST /api/v1 HTTP/1.1\nContent-Type: application/x-protobuf\nAccept: application/x-protobuf";
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, -0.0001, 1e300, 1_000_000_000_000.1] {
        let refused = ask(master.at, head, &binary(value).encode_to_vec()).await;
        assert_eq!(refused.status, 400, "{value}");
        assert!(refused.text().contains("'QuotaConfig.limits': cpus"), "{value}: {}", refused.text());
    }
    for (name, value) in [("mem", "1099511627777"), ("disk", "1e30"), ("gpus", "-1")] {
        let limits: Value =
            serde_json::from_str(&format!(r#"{{"{name}": {{"value": {value}}}}}"#)).expect("JSON");
        let refused = update(master.at, json!([{ "role": "r", "limits": limits }]), true).await;
        assert_eq!(refused.status, 400, "{name}:{value}");
    }
    assert_eq!(ask(master.at, head, &binary(1_000_000_000_000.0).encode_to_vec()).await.status, 200);
    let get = Call { r#type: Some(call::Type::GetQuota.into()), ..Call::default() };
    let answer = ask(master.at, head, &get.encode_to_vec()).await;
    let response = Response::decode(answer.body.as_slice()).expect("a response");
    let status = response.get_quota.and_then(|quota| quota.status).expect("a status");
    assert_eq!(status.configs[0].limits["cpus"].value, Some(1_000_000_000_000.0));
    master.end().await;
}

/// Runs a master on this folder until it leads, and gives what it shows.
async fn once(folder: &TempDir, weights: &str, change: Option<Value>) -> (Value, Value) {
    let config = MasterConfig {
        port: 0,
        work_dir: folder.path().into(),
        weights: Some(weights.to_owned()).filter(|weights| !weights.is_empty()),
        ..MasterConfig::default()
    };
    // The file is free once the last task of the former master has ended.
    let bound = async {
        loop {
            match Master::bind(config.clone()).await {
                Err(chapada_master::Error::Registry(_)) => tokio::task::yield_now().await,
                bound => return bound,
            }
        }
    };
    let master = tokio::time::timeout(DEADLINE, bound).await.expect("in time").expect("a free port");
    let (at, stop) = (master.local_addr(), CancellationToken::new());
    let task = tokio::spawn(master.run(stop.clone()));
    let leads = async {
        while get(at, "/roles").await.status != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, leads).await.expect("it leads in time");
    if let Some(change) = change {
        let done = operate(at, change).await;
        assert_eq!(done.status, 200, "{}", done.text());
    }
    let wanted = async {
        loop {
            // Weights of the flag are on their way into the registry when it begins to lead.
            let shown = (get(at, "/weights").await.json(), get(at, "/quota").await.json());
            if weights.is_empty() || shown.0 != json!([]) {
                return shown;
            }
        }
    };
    let shown = tokio::time::timeout(DEADLINE, wanted).await.expect("weights come in time");
    stop.cancel();
    task.await.expect("no panic").expect("ends well");
    shown
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_of_the_flag_count_until_the_registry_has_some() {
    let folder = TempDir::new().expect("a folder");
    let weight = |weight: f64| json!([{ "weight": weight, "role": "a" }]);
    assert_eq!(once(&folder, "a=2.5", None).await.0, weight(2.5));
    assert_eq!(once(&folder, "", None).await.0, weight(2.5), "they were made durable");
    assert_eq!(once(&folder, "a=9,b=3", None).await.0, weight(2.5), "the registry has some");
    let infos = json!({ "weight_infos": [{ "role": "a", "weight": 4 }] });
    let change = json!({ "type": "UPDATE_WEIGHTS", "update_weights": infos });
    assert_eq!(once(&folder, "a=9", Some(change)).await.0, weight(4.0));
    let quota = json!({ "quota_configs": [{ "role": "a", "limits": { "cpus": { "value": 1 } } }] });
    let change = json!({ "type": "UPDATE_QUOTA", "update_quota": quota });
    let set = once(&folder, "", Some(change)).await.1;
    assert_eq!(once(&folder, "", None).await, (weight(4.0), set), "and quota after a restart");
}
