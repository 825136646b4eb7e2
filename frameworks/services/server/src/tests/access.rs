//! What a caller may not see does not exist for it, and what it may not do is refused.

use chapada_listener::Policy;
use http::Method;
use serde_json::json;

use super::cluster::Cluster;
use super::events::{more, read_until};
use super::pretended::{Agents, Memory};
use crate::access::parse;
use crate::config::ServicesConfig;

/// A few numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

const PLACES: [&str; 6] = ["", "/a", "/a/b", "/b", "/b/a", "/ab"];

/// Every list, in every form.
const LISTS: [&str; 20] = [
    "/v2/apps",
    "/v2/apps?embed=apps.tasks&embed=apps.lastTaskFailure&embed=apps.taskStats&embed=apps.readiness",
    "/v2/apps?id=marker",
    "/v2/apps?cmd=sleep",
    "/v2/apps?label=x!=y",
    "/v2/apps/*",
    "/v2/apps/a/*",
    "/v2/apps/*/tasks",
    "/v2/tasks",
    "/v2/tasks?status=running",
    "/v2/groups",
    "/v2/groups?embed=group.groups&embed=group.apps&embed=group.apps.tasks",
    "/v2/groups/a",
    "/v2/groups/a/b/apps",
    "/v2/groups/apps",
    "/v2/queue?embed=lastUnusedOffers",
    "/v2/deployments",
    "/v2/pods",
    "/v2/pods/::status",
    "/metrics",
];

#[tokio::test]
async fn no_list_and_no_stream_shows_what_its_reader_may_not_see() {
    for case in 0..8 {
        let mut dice = Dice(case);
        let granted = PLACES[dice.below(6) as usize];
        let under = if granted.is_empty() { "/b/a" } else { granted };
        let works = case % 2 == 0;
        let store = Memory::default();
        let open = Cluster::with(store.clone(), works).await;
        let mut apps = Vec::new();
        let mut pods = Vec::new();
        for number in 0..12 {
            let id = format!("{}/marker{number}x", PLACES[dice.below(6) as usize]);
            let cmd = format!("sleep {id}");
            if number < 8 {
                let body = json!({"id": id, "cmd": cmd, "mem": 32});
                assert_eq!(open.post("/v2/apps", &body).await.status, 201);
                apps.push(id);
            } else {
                let container = json!({"name": "c", "exec": {"command": {"shell": cmd}},
                                       "resources": {"cpus": 0.1, "mem": 32}});
                let body = json!({"id": id, "containers": [container]});
                assert_eq!(open.post("/v2/pods", &body).await.status, 201);
                pods.push(id);
            }
        }
        if works {
            open.eventually("/v2/deployments", |deployments| *deployments == json!([])).await;
        }
        drop(open);
        let policy = parse(&format!("[[grant]]\nprincipal = '*'\nactions = ['view']\nunder = ['{under}']\n"));
        let reader = Cluster::with_policy(store, works, policy.expect("a policy")).await;
        let may_see = |id: &str| id.starts_with(&format!("{under}/"));
        let mut seen = String::new();
        for list in LISTS {
            for accept in ["application/json", "text/plain"] {
                let answer = reader.ask(Method::GET, list, &[("accept", accept)], "").await;
                for id in apps.iter().chain(&pods).filter(|id| !may_see(id)) {
                    let marker = id.rsplit_once('/').expect("a path").1;
                    assert!(
                        !answer.text.contains(marker),
                        "{list} shows {id} under {under}: {}",
                        answer.text
                    );
                }
                seen.push_str(&answer.text);
            }
        }
        for id in &apps {
            let status = if may_see(id) { 200 } else { 404 };
            assert!(seen.contains(id) == may_see(id), "{id} under {under}");
            for below in ["", "/tasks", "/versions"] {
                let path = format!("/v2/apps{id}{below}");
                assert_eq!(reader.get(&path).await.status, status, "{path} under {under}");
            }
        }
        for id in &pods {
            let status = if may_see(id) { 200 } else { 404 };
            assert!(seen.contains(id) == may_see(id), "{id} under {under}");
            for below in ["", "::status", "::versions", "::why"] {
                let path = format!("/v2/pods{id}{below}");
                assert_eq!(reader.get(&path).await.status, status, "{path} under {under}");
            }
        }
    }
}

#[tokio::test]
async fn a_stream_tells_only_of_what_its_reader_may_see() {
    let policy = parse("[[grant]]\nprincipal = '*'\nactions = ['view', 'create']\nunder = ['/seen']\n")
        .expect("a policy");
    let cluster = Cluster::with_policy(Memory::default(), true, policy).await;
    let (mut stream, mut text) = read_until(&cluster, "", "event_stream_attached").await;
    let hidden = json!({"id": "/hidden/marker", "cmd": "sleep 1", "mem": 32});
    let definition = hidden.as_object().cloned().expect("an object");
    let command = chapada_services_core::Command::Create { definition, force: false };
    cluster.services.command(command).await.expect("in time").expect("taken");
    let shown = json!({"id": "/seen/app", "cmd": "sleep 1", "mem": 32});
    assert_eq!(cluster.post("/v2/apps", &shown).await.status, 201);
    text.push_str(&more(&mut stream, "deployment_success").await);
    assert!(text.contains("/seen/app") && !text.contains("marker"), "{text}");
}

#[tokio::test]
async fn what_a_caller_may_not_do_is_refused_and_nothing_happens() {
    let store = Memory::default();
    let open = Cluster::with(store.clone(), true).await;
    for id in ["/mine/app", "/other/app"] {
        open.post("/v2/apps", &json!({"id": id, "cmd": "sleep 1", "mem": 32})).await;
    }
    open.eventually("/v2/deployments", |deployments| *deployments == json!([])).await;
    let task = open.get("/v2/apps/other/app/tasks").await.json()["tasks"][0]["id"].clone();
    let before = open.get("/v2/apps").await.json();
    drop(open);
    let grants = "[[grant]]\nprincipal = '*'\nactions = ['view', 'update']\nunder = ['/mine']\n\
                  [[grant]]\nprincipal = '*'\nactions = ['view']\nunder = ['/']\n";
    let cluster = Cluster::with_policy(store, true, parse(grants).expect("a policy")).await;
    let new = r#"{"id":"/mine/new","cmd":"x1"}"#;
    let ids = json!({"ids": [task]}).to_string();
    for (method, path, body) in [
        (Method::POST, "/v2/apps", new),
        (Method::PUT, "/v2/apps/mine/new", r#"{"cmd":"x1"}"#),
        (Method::PUT, "/v2/apps", r#"[{"id":"/mine/app","cmd":"x1"},{"id":"/other/app","cmd":"x1"}]"#),
        (Method::PUT, "/v2/apps/other/app", r#"{"instances":0}"#),
        (Method::PATCH, "/v2/apps/other/app", r#"{"instances":0}"#),
        (Method::DELETE, "/v2/apps/mine/app", ""),
        (Method::DELETE, "/v2/apps/other/app", ""),
        (Method::POST, "/v2/apps/other/app/restart", ""),
        (Method::DELETE, "/v2/apps/other/app/tasks", ""),
        (Method::POST, "/v2/tasks/delete", &ids),
        (Method::POST, "/v2/groups", r#"{"id":"/new"}"#),
        (Method::PUT, "/v2/groups", r#"{"apps":[]}"#),
        (Method::PUT, "/v2/groups/mine?dryRun=true", r#"{"apps":[]}"#),
        (Method::DELETE, "/v2/groups/other", ""),
        (Method::DELETE, "/v2/queue/other/app/delay", ""),
        (Method::POST, "/v2/pods", r#"{"id":"/mine/pod","containers":[]}"#),
        (Method::DELETE, "/v2/leader", ""),
        (Method::GET, "/logging", ""),
    ] {
        let answer = cluster.send(method.clone(), path, body).await;
        assert_eq!(answer.status, 403, "{method} {path}: {}", answer.text);
        assert!(answer.json()["message"].is_string(), "{}", answer.text);
    }
    assert_eq!(cluster.get("/v2/apps").await.json(), before, "nothing was changed");
    assert_eq!(cluster.put("/v2/apps/mine/app", &json!({"instances": 0})).await.status, 200);
}

const ALL_OF_MINE: &str =
    "[[grant]]\nprincipal = '*'\nactions = ['view', 'create', 'update', 'delete']\nunder = ['/mine']\n";

#[tokio::test]
async fn a_group_is_who_its_body_names() {
    let store = Memory::default();
    let open = Cluster::with(store.clone(), true).await;
    let other = json!({"id": "/other/app", "cmd": "sleep 1", "mem": 32});
    assert_eq!(open.post("/v2/apps", &other).await.status, 201);
    open.eventually("/v2/deployments", |deployments| *deployments == json!([])).await;
    let there = open.get("/v2/apps/other/app").await.json()["app"].clone();
    drop(open);
    let grants = format!("{ALL_OF_MINE}[[grant]]\nprincipal = '*'\nactions = ['view']\nunder = ['/']\n");
    let policy = parse(&grants).expect("a policy");
    let cluster = Cluster::with_policy(store, true, policy).await;
    let new = r#"{"id":"/new","apps":[{"id":"x","cmd":"x1"}]}"#;
    for (method, path, body, status) in [
        (Method::POST, "/v2/groups", r#"{"id":"/mine/x","apps":[{"id":"a","cmd":"a1"}]}"#, 201),
        (Method::PUT, "/v2/groups", r#"{"id":"mine/y","apps":[{"id":"a","cmd":"a1"}]}"#, 201),
        (Method::PUT, "/v2/groups?dryRun=true", r#"{"id":"mine/y","apps":[]}"#, 200),
        (Method::PUT, "/v2/groups/other", r#"{"id":"../mine/z","apps":[]}"#, 201),
        (Method::POST, "/v2/groups/mine", new, 403),
        (Method::PUT, "/v2/groups/mine", r#"{"id":"/","apps":[],"groups":[]}"#, 403),
        (Method::PUT, "/v2/groups/mine", r#"{"id":"..","groups":[]}"#, 403),
        (Method::PUT, "/v2/groups/mine", r#"{"id":"/other","scaleBy":0}"#, 403),
        (Method::PUT, "/v2/groups/mine", r#"{"id":"/other","version":"2026-01-01T00:00:00.000Z"}"#, 403),
        (Method::PUT, "/v2/groups/mine?dryRun=true", r#"{"id":"/other","scaleBy":0}"#, 403),
    ] {
        let answer = cluster.send(method.clone(), path, body).await;
        assert_eq!(answer.status, status, "{method} {path} {body}: {}", answer.text);
    }
    assert_eq!(cluster.get("/v2/apps/other/app").await.json()["app"]["version"], there["version"]);
}

#[tokio::test]
async fn a_secret_is_for_those_who_may_change_apps_at_its_path() {
    let directory = std::env::temp_dir().join(format!("chapada-secrets-{}", uuid::Uuid::new_v4()));
    for name in ["key", "mine/key", "other/key"] {
        let file = directory.join(name);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        std::fs::write(file, "xyzzy").expect("a file");
    }
    let config = ServicesConfig { secrets_dir: Some(directory.clone()), ..ServicesConfig::default() };
    let app = |id: &str, source: &str| {
        let env = json!({"KEY": {"secret": "s"}});
        json!({"id": id, "cmd": "sleep 1", "mem": 32, "env": env, "secrets": {"s": {"source": source}}})
    };
    let store = Memory::default();
    let open = Cluster::start_with(store.clone(), Agents::One, Policy::allow_all(), config.clone()).await;
    for (id, source) in [("/mine/given", "other/key"), ("/other/app", "key")] {
        assert_eq!(open.post("/v2/apps", &app(id, source)).await.status, 201, "without a policy");
    }
    assert_eq!(open.post("/v2/apps/mine/x/plan", &app("/mine/x", "none")).await.status, 422);
    open.eventually("/v2/deployments", |deployments| *deployments == json!([])).await;
    drop(open);
    let policy = parse(ALL_OF_MINE).expect("a policy");
    let cluster = Cluster::start_with(store, Agents::One, policy, config).await;
    for (source, status) in [
        ("other/key", 403),
        ("/other/key", 403),
        ("other/none", 403),
        ("other/../mine/key", 422),
        ("key", 403),
        ("none", 403),
        ("mine/none", 422),
        ("mine//key", 201),
    ] {
        let container = json!({"name": "c", "exec": {"command": {"shell": "sleep 1"}},
                               "resources": {"cpus": 0.1, "mem": 32}});
        let (secrets, new) = (json!({"s": {"source": source}}), app("/mine/new", source));
        let pod = json!({"id": "/mine/pod", "secrets": secrets, "containers": [container]});
        let group = json!({"groups": [{"id": "g", "apps": [app("a", source)]}]});
        for (method, path, body, taken) in [
            (Method::POST, "/v2/apps", json!({"secrets": secrets}), 422),
            (Method::POST, "/v2/apps/mine/new/plan", new.clone(), 200),
            (Method::POST, "/v2/apps", new.clone(), 201),
            (Method::PUT, "/v2/apps/mine/put", app("/mine/put", source), 201),
            (Method::PATCH, "/v2/apps/mine/given?force=true", json!({"secrets": secrets, "env": {}}), 200),
            (Method::PUT, "/v2/apps", json!([app("/mine/bulk", source)]), 200),
            (Method::PUT, "/v2/groups/mine/sub?dryRun=true", group.clone(), 200),
            (Method::PUT, "/v2/groups/mine/sub", group.clone(), 201),
            (Method::POST, "/v2/pods", pod, 201),
        ] {
            let had = method == Method::PATCH && source == "other/key";
            let expected = match status {
                201 => taken,
                _ if had => 200,
                status => status,
            };
            let answer = cluster.send(method.clone(), path, &body.to_string()).await;
            assert_eq!(answer.status, expected, "{method} {path} of {source}: {}", answer.text);
        }
    }
    std::fs::remove_dir_all(directory).expect("it is there");
}
