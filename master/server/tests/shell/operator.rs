//! What operators ask for, through `POST /api/v1` in both forms and through the older forms.

use chapada_wire::v1::master::{Call, Response};
use chapada_wire::{Json, decode_binary};
use prost::Message;
use serde_json::{Value, json};

use crate::support::TestMaster;
use crate::support::agent::ScriptedAgent;
use crate::support::http::{Answer, ask, get, post_json};
use crate::support::stream::{Subscription, subscribe_body};

fn cpus(amount: f64, roles: &[&str]) -> Value {
    let reservations: Vec<Value> =
        roles.iter().map(|role| json!({"type": "DYNAMIC", "role": role})).collect();
    json!({"name": "cpus", "type": "SCALAR", "scalar": {"value": amount}, "reservations": reservations})
}

fn disk(amount: f64, volume: Option<&str>) -> Value {
    let mut disk = json!({"name": "disk", "type": "SCALAR", "scalar": {"value": amount},
        "reservations": [{"type": "DYNAMIC", "role": "ops"}]});
    if let Some(id) = volume {
        disk["disk"] = json!({"persistence": {"id": id}, "volume": {"container_path": "data", "mode": "RW"}});
    }
    disk
}

/// Calls in JSON, or in protobuf made from the same JSON.
async fn call(master: &TestMaster, in_json: bool, kind: &str, body: Value) -> Answer {
    let text = json!({"type": kind, kind.to_ascii_lowercase(): body}).to_string();
    if in_json {
        return post_json(master.at, "/api/v1", &text).await;
    }
    let message = Call::from_json(text.as_bytes()).expect("a call").encode_to_vec();
    let head = "POST /api/v1 HTTP/1.1\nContent-Type: application/x-protobuf\nAccept: application/x-protobuf";
    ask(master.at, head, &message).await
}

/// What the agent has, as the resources of a role, in the form of `/slaves`.
async fn reserved(master: &TestMaster, role: &str) -> Value {
    get(master.at, "/slaves").await.json()["slaves"][0]["reserved_resources_full"][role].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_is_done_in_both_forms() {
    let master = TestMaster::start().await;
    let agent = ScriptedAgent::connect(master.at).await;
    let id = json!({"value": agent.id});
    for in_json in [true, false] {
        let steps = [
            ("RESERVE_RESOURCES", json!({"agent_id": id, "resources": [disk(100.0, None)]}), 100.0, 0.0),
            ("CREATE_VOLUMES", json!({"agent_id": id, "volumes": [disk(40.0, Some("v"))]}), 60.0, 40.0),
            (
                "GROW_VOLUME",
                json!({"agent_id": id, "volume": disk(40.0, Some("v")), "addition": disk(10.0, None)}),
                50.0,
                50.0,
            ),
            (
                "SHRINK_VOLUME",
                json!({"agent_id": id, "volume": disk(50.0, Some("v")), "subtract": {"value": 30}}),
                80.0,
                20.0,
            ),
            ("DESTROY_VOLUMES", json!({"agent_id": id, "volumes": [disk(20.0, Some("v"))]}), 100.0, 0.0),
            ("UNRESERVE_RESOURCES", json!({"agent_id": id, "resources": [disk(100.0, None)]}), 0.0, 0.0),
        ];
        for (kind, body, plain, volume) in steps {
            let answer = call(&master, in_json, kind, body).await;
            assert_eq!((answer.status, answer.text().as_str()), (202, ""), "{kind}");
            let shown = reserved(&master, "ops").await;
            let amount = |is_volume: bool| {
                let shown = shown.as_array().cloned().unwrap_or_default();
                let is_it = |one: &&Value| one["disk"]["persistence"].is_object() == is_volume;
                shown.iter().find(is_it).map_or(0.0, |one| one["scalar"]["value"].as_f64().expect("a number"))
            };
            assert_eq!((amount(false), amount(true)), (plain, volume), "{kind}: {shown}");
        }
    }
    agent.disconnect();
    master.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_is_taken_back_for_an_operator_and_what_is_missing_is_said() {
    let master = TestMaster::start().await;
    let agent = ScriptedAgent::connect(master.at).await;
    let mut events = Subscription::open(master.at, &subscribe_body("offered", None)).await;
    let mut seen = Vec::new();
    let offer = events.wait_for("OFFERS", &mut seen).await["offers"]["offers"][0].clone();
    let id = json!({"value": agent.id});
    let reserve = |amount| json!({"agent_id": id, "resources": [cpus(amount, &["ops"]), disk(1.0, None)]});
    let refused = call(&master, true, "RESERVE_RESOURCES", reserve(10_000.0)).await;
    let words = "cpus:2; disk:252899; mem:23081; ports:[31000-32000] does not contain cpus:10000; disk:1";
    assert_eq!((refused.status, refused.text().as_str()), (409, words));
    assert_eq!(call(&master, true, "RESERVE_RESOURCES", reserve(0.5)).await.status, 202);
    let rescinded = events.wait_for("RESCIND", &mut seen).await;
    assert_eq!(rescinded["rescind"]["offer_id"], offer["id"]);
    let exchange =
        json!({"agent_id": id, "source": [cpus(0.5, &["ops"])], "resources": [cpus(0.5, &["dev", "dev/x"])]});
    assert_eq!(call(&master, false, "RESERVE_RESOURCES", exchange).await.status, 202);
    assert_eq!(reserved(&master, "dev/x").await[0]["reservations"][1]["role"], "dev/x");
    agent.disconnect();
    master.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_calls_name_what_is_wrong() {
    let master = TestMaster::start().await;
    let agent = ScriptedAgent::connect(master.at).await;
    let id = json!({"value": agent.id});
    let nobody = json!({"value": "nobody"});
    for (kind, body, words) in [
        ("RESERVE_RESOURCES", json!(null), "Expecting 'reserve_resources' to be present"),
        (
            "RESERVE_RESOURCES",
            json!({"agent_id": nobody, "resources": [cpus(1.0, &["ops"])]}),
            "No agent found",
        ),
        ("RESERVE_RESOURCES", json!({"agent_id": {"value": "a/b"}, "resources": []}), "the agent's id"),
        ("RESERVE_RESOURCES", json!({"agent_id": id, "resources": []}), "RESERVE names no resources"),
        (
            "RESERVE_RESOURCES",
            json!({"agent_id": id, "resources": [cpus(-1.0, &["ops"])]}),
            "reserve.resources[0]",
        ),
        (
            "RESERVE_RESOURCES",
            json!({"agent_id": id, "resources": [cpus(1.0, &[])]}),
            "Invalid RESERVE operation",
        ),
        ("GROW_VOLUME", json!({"volume": disk(1.0, Some("v")), "addition": disk(1.0, None)}), "'agent_id'"),
        (
            "SHRINK_VOLUME",
            json!({"agent_id": id, "volume": disk(1.0, Some("v")), "subtract": {"value": -1}}),
            "subtract",
        ),
        ("TEARDOWN", json!({"framework_id": nobody}), "No framework found with ID nobody"),
        ("SET_LOGGING_LEVEL", json!({"level": 1, "duration": {"nanoseconds": -1}}), "duration"),
        ("LIST_FILES", json!(null), "Expecting 'list_files'"),
        ("READ_FILE", json!(null), "Expecting 'read_file'"),
    ] {
        let mut asked = json!({"type": kind});
        if !body.is_null() {
            asked[kind.to_ascii_lowercase()] = body;
        }
        let answer = post_json(master.at, "/api/v1", &asked.to_string()).await;
        assert_eq!(answer.status, 400, "{asked}: {}", answer.text());
        assert!(answer.text().contains(words), "{asked}: {}", answer.text());
    }
    agent.disconnect();
    master.end().await;
}

/// `name=value&…`, every byte of the values escaped.
fn form(fields: &[(&str, String)]) -> String {
    let escaped = |value: &str| value.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    fields.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect::<Vec<_>>().join("&")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_older_forms_do_the_same() {
    let master = TestMaster::start().await;
    let agent = ScriptedAgent::connect(master.at).await;
    let post = async |path: &str, fields: &[(&str, String)], more: &str| {
        let head = format!("POST {path} HTTP/1.1\nContent-Type: application/x-www-form-urlencoded{more}");
        ask(master.at, &head, form(fields).as_bytes()).await
    };
    let slave = ("slaveId", agent.id.clone());
    // As Mesos had it before stacks of reservations, too.
    let old =
        json!([{"name": "disk", "type": "SCALAR", "scalar": {"value": 7}, "role": "ops", "reservation": {}}]);
    let (plain, volume) = (json!([disk(7.0, None)]).to_string(), json!([disk(7.0, Some("v"))]).to_string());
    for (path, name, list, volumes) in [
        ("/reserve", "resources", &old.to_string(), 0),
        ("/master/create-volumes", "volumes", &volume, 1),
        ("/destroy-volumes", "volumes", &volume, 0),
        ("/unreserve", "resources", &plain, 0),
    ] {
        let answer = post(path, &[slave.clone(), (name, list.clone())], "").await;
        assert_eq!(answer.status, 202, "{path}: {}", answer.text());
        let shown = reserved(&master, "ops").await.to_string();
        assert_eq!(shown.matches("persistence").count(), volumes, "{path}: {shown}");
    }
    let mut events = Subscription::open(master.at, &subscribe_body("removed", None)).await;
    let mut seen = Vec::new();
    let subscribed = events.wait_for("SUBSCRIBED", &mut seen).await;
    let framework = subscribed["subscribed"]["framework_id"]["value"].as_str().expect("an id").to_owned();
    for (path, fields, more, status, words) in [
        ("/reserve", vec![("resources", plain.clone())], "", 400, "Missing 'slaveId' query parameter"),
        ("/reserve", vec![slave.clone()], "", 400, "Missing 'resources' query parameter"),
        (
            "/reserve",
            vec![slave.clone(), ("resources", "[}".to_owned())],
            "",
            400,
            "Error in parsing 'resources'",
        ),
        (
            "/reserve",
            vec![slave.clone(), ("resources", "[1],\"x\":[]".to_owned())],
            "",
            400,
            "Error in parsing",
        ),
        (
            "/reserve",
            vec![slave.clone(), ("resources", plain.replace("7.0", "1e9"))],
            "",
            409,
            "does not contain",
        ),
        ("/teardown", vec![("frameworkId", "nobody".to_owned())], "", 400, "No framework found"),
        (
            "/teardown",
            vec![("frameworkId", framework.clone())],
            "\nOrigin: http://127.0.0.1",
            415,
            "browsers",
        ),
        ("/teardown", vec![("frameworkId", framework)], "", 200, ""),
    ] {
        let answer = post(path, &fields, more).await;
        assert_eq!(answer.status, status, "{path} {fields:?}: {}", answer.text());
        assert!(answer.text().contains(words), "{path} {fields:?}: {}", answer.text());
    }
    assert_eq!(events.wait_for("ERROR", &mut seen).await["error"]["message"], "Framework has been removed");
    let json = ask(master.at, "POST /teardown HTTP/1.1\nContent-Type: application/json", b"{}").await;
    assert_eq!((json.status, get(master.at, "/teardown").await.status), (415, 405));
    agent.disconnect();
    master.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_tells_of_itself() {
    let master = TestMaster::start().await;
    let agent = ScriptedAgent::connect(master.at).await;
    let level = call(&master, false, "GET_LOGGING_LEVEL", json!(null)).await;
    let read: Response = decode_binary(&level.body).expect("an answer");
    assert_eq!(read.get_logging_level.and_then(|level| level.level), Some(0));
    let set = json!({"level": 1, "duration": {"nanoseconds": 1}});
    assert_eq!(call(&master, true, "SET_LOGGING_LEVEL", set).await.status, 501, "a log that is not its own");
    let listed = call(&master, true, "LIST_FILES", json!({"path": "/master/log"})).await;
    assert_eq!((listed.status, listed.text().as_str()), (200, r#"{"type":"LIST_FILES","list_files":{}}"#));
    for (kind, path) in [("LIST_FILES", "/etc"), ("READ_FILE", "/master/log")] {
        let answer = call(&master, true, kind, json!({"path": path, "offset": 0})).await;
        assert_eq!(answer.status, 404, "{kind} {path}");
    }
    assert_eq!(get(master.at, "/files/browse?path=/etc").await.status, 404);
    assert_eq!(get(master.at, "/files/browse").await.status, 400);
    let registry = get(master.at, "/registrar(1)/registry").await.json();
    assert_eq!(registry["slaves"]["slaves"][0]["info"]["id"]["value"], agent.id.as_str(), "{registry}");
    agent.disconnect();
    master.end().await;
}
