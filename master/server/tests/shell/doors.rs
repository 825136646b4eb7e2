//! Every door: who is refused, with which code, and what stays usable.

use chapada_listener::{Action, Policy};
use serde_json::json;

use crate::support::http::{Connection, ask, get, post_json};
use crate::support::{TestMaster, http};

const JSON: &str = "POST /api/v1/scheduler HTTP/1.1\nContent-Type: application/json";

#[tokio::test(flavor = "multi_thread")]
async fn web_pages_cannot_drive_the_cluster() {
    let master = TestMaster::start().await;
    let at = master.at;
    assert_eq!(ask(at, "GET /state HTTP/1.1\nHost: rebound.example", b"").await.status, 403);
    assert_eq!(ask(at, "GET /state HTTP/1.1\nOrigin: http://evil.example", b"").await.status, 403);
    let teardown = json!({"type": "TEARDOWN", "teardown": {"framework_id": {"value": "x"}}}).to_string();
    for (head, status) in [
        ("POST /api/v1 HTTP/1.1", 400),
        ("POST /api/v1 HTTP/1.1\nContent-Type: text/plain", 415),
        ("POST /api/v1 HTTP/1.1\nContent-Type: application/json\nOrigin: null", 403),
        ("POST /proxy/marathon/v2/apps HTTP/1.1\nContent-Type: text/plain", 415),
        // It passed every check, and there is no such framework.
        ("POST /api/v1 HTTP/1.1\nContent-Type: application/json", 400),
    ] {
        assert_eq!(ask(at, head, teardown.as_bytes()).await.status, status, "{head}");
    }
    master.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_survives_bad_bodies() {
    let master = TestMaster::start().await;
    let mut connection = Connection::open(master.at).await;
    let deep = format!("{}1{}", r#"{"type":["#.repeat(100_000), "]}".repeat(100_000));
    let large = vec![b' '; 9 * 1024 * 1024];
    for (body, status) in [
        (&b"{\"type\":"[..], 400),
        (b"", 400),
        (b"[1,2]", 400),
        (b"{\"type\":\"SUBSCRIBE\",\"subscribe\":{\"framework_info\":{\"name\":\"x\"}}}", 400),
        (deep.as_bytes(), 400),
        (&large, 413),
        (b"\xff\xfe", 400),
    ] {
        connection.send(JSON, body).await;
        let answer = connection.answer().await;
        assert_eq!(
            answer.status,
            status,
            "{}: {}",
            String::from_utf8_lossy(&body[..body.len().min(60)]),
            answer.text()
        );
    }
    connection.send("GET /health HTTP/1.1", b"").await;
    assert_eq!(connection.answer().await.status, 200);
    master.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_endpoint_answers_under_all_its_names() {
    let master = TestMaster::start().await;
    for name in [
        "/health",
        "/version",
        "/state",
        "/state-summary",
        "/slaves",
        "/frameworks",
        "/tasks",
        "/roles",
        "/quota",
        "/weights",
        "/master/weights",
        "/flags",
        "/metrics/snapshot",
        "/metrics",
        "/master/state",
        "/master/frameworks/",
        "/master/state.json",
        "/state.json",
        "/registrar(1)/registry",
        "/maintenance/schedule",
        "/maintenance/status",
        "/files/browse?path=/master/log",
        "/files/debug",
        "/system/stats.json",
        "/query/v1/overview",
        "/query/v1/agents",
        "/query/v1/tasks?limit=5&state=running",
        "/",
    ] {
        assert_eq!(get(master.at, name).await.status, 200, "{name}");
    }
    let redirect = get(master.at, "/redirect").await;
    assert_eq!((redirect.status, redirect.header("location")), (307, Some(&*format!("//{}", master.at))));
    for (path, status) in [
        ("/no-such-endpoint", 404),
        ("/api/v1/scheduler", 405),
        ("/query/v1/nothing", 404),
        ("/query/v1/tasks?color=red", 400),
        ("/query/v1/tasks/f/../files/read?path=stdout", 404),
        ("/query/v1/tasks/f/t/files/read?path=stdout", 404),
        ("/proxy/nobody/", 404),
        ("/assets/none.js", 404),
    ] {
        assert_eq!(get(master.at, path).await.status, status, "{path}");
    }
    // Clients append to the operator's path; the nearest route above answers.
    for path in ["/api/v1", "/api/v1/operator", "/master/api/v1"] {
        let health = post_json(master.at, path, r#"{"type":"GET_HEALTH"}"#).await;
        assert_eq!(health.json(), json!({"type": "GET_HEALTH", "get_health": {"healthy": true}}), "{path}");
    }
    for kind in [
        "GET_VERSION",
        "GET_FLAGS",
        "GET_STATE",
        "GET_AGENTS",
        "GET_FRAMEWORKS",
        "GET_TASKS",
        "GET_ROLES",
        "GET_MASTER",
        "GET_METRICS",
        "GET_EXECUTORS",
        "GET_WEIGHTS",
        "GET_QUOTA",
        "GET_OPERATIONS",
        "GET_LOGGING_LEVEL",
        "GET_MAINTENANCE_SCHEDULE",
        "GET_MAINTENANCE_STATUS",
    ] {
        let answer = post_json(master.at, "/api/v1", &json!({ "type": kind }).to_string()).await;
        assert_eq!((answer.status, answer.json()["type"].as_str()), (200, Some(kind)));
    }
    master.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_action_is_denied_in_its_turn() {
    let calls = [
        (Action::ViewHealth, "GET /health", ""),
        (Action::ViewFlags, "GET /flags", ""),
        (Action::ViewMetrics, "GET /metrics", ""),
        (Action::ViewCluster, "GET /state", ""),
        (Action::ViewCluster, "GET /query/v1/tasks", ""),
        (Action::ViewCluster, "GET /allocator/explain?framework=f&agent=a", ""),
        (Action::ViewCluster, "POST /api/v1", r#"{"type":"GET_STATE"}"#),
        (Action::ViewEvents, "GET /query/v1/watch?of=overview", ""),
        (Action::ViewEvents, "POST /api/v1", r#"{"type":"SUBSCRIBE"}"#),
        (Action::ViewUi, "GET /", ""),
        (Action::AccessSandbox, "GET /query/v1/tasks/f/t/files/browse", ""),
        (Action::UseProxy, "GET /proxy/f/", ""),
        (Action::ActAsFramework, "POST /api/v1/scheduler", r#"{"type":"SUBSCRIBE"}"#),
        (Action::OperateCluster, "POST /api/v1", r#"{"type":"TEARDOWN"}"#),
        (Action::ViewCluster, "GET /quota", ""),
        (Action::ViewCluster, "GET /weights", ""),
        (Action::OperateCluster, "POST /api/v1", r#"{"type":"UPDATE_QUOTA"}"#),
        (Action::OperateCluster, "POST /api/v1", r#"{"type":"SET_QUOTA"}"#),
        (Action::OperateCluster, "POST /api/v1", r#"{"type":"REMOVE_QUOTA"}"#),
        (Action::OperateCluster, "POST /api/v1", r#"{"type":"UPDATE_WEIGHTS"}"#),
        (Action::OperateCluster, "POST /quota", "{}"),
        (Action::OperateCluster, "DELETE /quota/r", ""),
        (Action::OperateCluster, "PUT /weights", "[]"),
        (Action::OperateCluster, "POST /api/v1", r#"{"type":"RESERVE_RESOURCES"}"#),
        (Action::OperateCluster, "POST /api/v1", r#"{"type":"UNRESERVE_RESOURCES"}"#),
        (Action::OperateCluster, "POST /api/v1", r#"{"type":"CREATE_VOLUMES"}"#),
        (Action::OperateCluster, "POST /api/v1", r#"{"type":"DESTROY_VOLUMES"}"#),
        (Action::OperateCluster, "POST /api/v1", r#"{"type":"GROW_VOLUME"}"#),
        (Action::OperateCluster, "POST /api/v1", r#"{"type":"SHRINK_VOLUME"}"#),
        (Action::OperateCluster, "POST /api/v1", r#"{"type":"SET_LOGGING_LEVEL"}"#),
        (Action::OperateCluster, "POST /reserve", ""),
        (Action::ViewCluster, "GET /registrar(1)/registry", ""),
        (Action::ViewCluster, "GET /maintenance/status", ""),
        (Action::ViewCluster, "GET /files/browse?path=/master/log", ""),
        (Action::ViewMetrics, "GET /system/stats.json", ""),
    ];
    for (action, line, body) in calls {
        let master = TestMaster::start_with(Policy::allow_all().deny_action(action)).await;
        let head = format!("{line} HTTP/1.1\nContent-Type: application/json");
        let answer = http::ask(master.at, &head, body.as_bytes()).await;
        assert_eq!(answer.status, 403, "{action:?} {line}: {}", answer.text());
        master.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_is_denied_in_its_turn() {
    let (http_routes, grpc_routes) = chapada_master::doors();
    assert!(http_routes.len() > 50 && grpc_routes.len() == 5, "{} {}", http_routes.len(), grpc_routes.len());
    let all = http_routes.iter().map(|entry| entry.pattern);
    let policy = all.clone().fold(Policy::allow_all(), Policy::deny_endpoint);
    let master = TestMaster::start_unready(policy).await;
    for entry in &http_routes {
        let path = entry.pattern.replace("{*rest}", "a").replace(['{', '}'], "");
        let method = entry.method.as_ref().map_or("POST", |method| method.as_str());
        let answer =
            http::ask(master.at, &format!("{method} {path} HTTP/1.1\nContent-Type: application/json"), b"{}")
                .await;
        assert_eq!(answer.status, 403, "{entry:?}");
    }
    master.end().await;
    for (path, _) in &grpc_routes {
        let master = TestMaster::start_with(Policy::allow_all().deny_endpoint(path)).await;
        let head = format!("POST {path} HTTP/1.1\nContent-Type: application/grpc");
        let answer = http::ask(master.at, &head, b"").await;
        assert_eq!(answer.header("grpc-status"), Some("7"), "{path}: {answer:?}");
        master.end().await;
    }
}
