//! An agent's API through the master: what goes on, what does not, and that nothing is left when any of the three goes.

use chapada_listener::{Action, Policy};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::agent::ScriptedAgent;
use crate::support::api::{AgentApi, LARGE};
use crate::support::http::{Connection, ask, post_json};
use crate::support::{DEADLINE, TestMaster};

const SESSION: &[u8] = br#"{"type":"LAUNCH_NESTED_CONTAINER_SESSION","launch_nested_container_session":{"container_id":{"value":"s","parent":{"value":"c"}}}}"#;
const PER_AGENT: usize = 128;

async fn cluster() -> (TestMaster, AgentApi, ScriptedAgent) {
    let master = TestMaster::start().await;
    let api = AgentApi::start().await;
    let agent = ScriptedAgent::connect_with(master.at, Some(api.clone())).await;
    (master, api, agent)
}

fn head(agent: &ScriptedAgent) -> String {
    format!("POST /agents/{}/api/v1 HTTP/1.1\nContent-Type: application/json", agent.id)
}

async fn session(master: &TestMaster, agent: &ScriptedAgent) -> Connection {
    let mut connection = Connection::open(master.at).await;
    connection.send(&head(agent), SESSION).await;
    let answer = tokio::time::timeout(DEADLINE, connection.head()).await.expect("in time");
    assert_eq!((answer.status, connection.chunk().await.as_deref()), (200, Some(&b"begun"[..])));
    connection
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_goes_to_its_agent_and_the_answer_comes_back() {
    let (master, _api, agent) = cluster().await;
    for path in [format!("/agents/{}/api/v1", agent.id), format!("/slave/{}/api/v1", agent.id)] {
        let call = r#"{"type":"GET_HEALTH"}"#;
        let with = "Content-Type: application/json\nAccept: application/json\nMessage-Accept: application/json\nCookie: secret";
        let answer = ask(master.at, &format!("POST {path} HTTP/1.1\n{with}"), call.as_bytes()).await;
        assert_eq!(answer.status, 200, "{path}");
        let seen = answer.json();
        assert_eq!(seen["asked"], call);
        let headers: Vec<_> =
            seen["headers"].as_array().unwrap().iter().filter_map(|name| name.as_str()).collect();
        assert!(headers.contains(&"message-accept") && !headers.contains(&"cookie"), "{headers:?}");
    }
    let missing = post_json(
        master.at,
        &format!("/agents/{}/api/v1", agent.id),
        r#"{"type":"WAIT_CONTAINER","wait_container":{"container_id":{"value":"x"}}}"#,
    )
    .await;
    assert_eq!((missing.status, missing.text().as_str()), (404, "Container x cannot be found"));
    master.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_any_size_comes_whole() {
    let (master, _api, agent) = cluster().await;
    let answer = ask(master.at, &head(&agent), br#"{"type":"GET_STATE"}"#).await;
    let expected: Vec<u8> = (0..LARGE).map(|number| (number % 251) as u8).collect();
    assert!(answer.status == 200 && answer.body == expected, "{} bytes", answer.body.len());
    master.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_answered_while_it_is_sent() {
    let (master, _api, agent) = cluster().await;
    let mut connection = Connection::open(master.at).await;
    let head = format!(
        "POST /agents/{}/api/v1 HTTP/1.1\nContent-Type: application/recordio\nMessage-Content-Type: application/json\nTransfer-Encoding: chunked",
        agent.id
    );
    connection.send(&head, b"").await;
    for word in ["one", "two", "three"] {
        let chunk = format!("{:x}\r\n{word}\r\n", word.len());
        connection.stream.write_all(chunk.as_bytes()).await.unwrap();
        if word == "one" {
            assert_eq!(connection.head().await.status, 200);
        }
        assert_eq!(connection.chunk().await.as_deref(), Some(word.as_bytes()));
    }
    connection.stream.write_all(b"0\r\n\r\n").await.unwrap();
    assert_eq!(connection.chunk().await, None);
    master.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_caller_leaves_its_session_ends_and_others_go_on() {
    let (master, api, agent) = cluster().await;
    let (leaves, stays) = (session(&master, &agent).await, session(&master, &agent).await);
    api.has_sessions(2).await;
    drop(leaves);
    api.has_sessions(1).await;
    drop(stays);
    api.has_sessions(0).await;
    master.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_dies_in_the_middle_breaks_the_answer_off() {
    let (master, api, agent) = cluster().await;
    let mut connection = session(&master, &agent).await;
    api.die();
    let mut rest = Vec::new();
    let read = connection.stream.read_to_end(&mut rest);
    drop(tokio::time::timeout(DEADLINE, read).await.expect("the connection ends"));
    assert!(!rest.ends_with(b"0\r\n\r\n"), "nobody takes it for whole: {rest:?}");
    master.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_master_ends_so_does_the_session() {
    let (master, api, agent) = cluster().await;
    let _connection = session(&master, &agent).await;
    api.has_sessions(1).await;
    master.end().await;
    api.has_sessions(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_agent_takes_so_many_calls_and_those_that_end_make_room() {
    let (master, api, agent) = cluster().await;
    let mut sessions = Vec::new();
    for _ in 0..PER_AGENT {
        sessions.push(session(&master, &agent).await);
    }
    let refused = ask(master.at, &head(&agent), SESSION).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.text().contains("128 calls to agent"), "{}", refused.text());
    sessions.pop();
    api.has_sessions(PER_AGENT - 1).await;
    session(&master, &agent).await;
    drop(sessions);
    api.has_sessions(0).await;
    master.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_go_on_is_said_why() {
    let (master, _api, agent) = cluster().await;
    let own = format!("/agents/{}/api/v1", agent.id);
    let health = r#"{"type":"GET_HEALTH"}"#;
    for (path, body, status, words) in [
        ("/agents/nobody/api/v1", health, 404, "there is no agent nobody"),
        (&own, "{}", 400, "Expecting 'type' to be present"),
        (&own, r#"{"type":"#, 400, "Failed to convert JSON into Call protobuf"),
        (&own, r#"{"type":"PRUNE_IMAGES"}"#, 403, "PRUNE_IMAGES does not go through the master"),
        (&own, r#"{"type":"LAUNCH_CONTAINER"}"#, 403, "LAUNCH_CONTAINER does not go through the master"),
    ] {
        let answer = post_json(master.at, path, body).await;
        assert!(answer.status == status && answer.text().contains(words), "{path} {body}: {answer:?}");
    }
    let form =
        ask(master.at, &format!("POST {own} HTTP/1.1\nContent-Type: text/plain"), health.as_bytes()).await;
    assert_eq!(form.status, 415);
    assert_eq!(ask(master.at, &format!("GET {own} HTTP/1.1"), b"").await.status, 405);
    agent.disconnect();
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        let answer = post_json(master.at, &own, health).await;
        if answer.status == 503 {
            assert!(answer.text().contains("is not connected"), "{}", answer.text());
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{answer:?}");
    }
    master.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_look_may_not_enter_containers() {
    let master = TestMaster::start_with(Policy::allow_all().deny_action(Action::UseContainers)).await;
    let api = AgentApi::start().await;
    let agent = ScriptedAgent::connect_with(master.at, Some(api)).await;
    assert_eq!(ask(master.at, &head(&agent), SESSION).await.status, 403);
    let stream = format!(
        "POST /agents/{}/api/v1 HTTP/1.1\nContent-Type: application/recordio\nMessage-Content-Type: application/json",
        agent.id
    );
    assert_eq!(ask(master.at, &stream, b"2\n{}").await.status, 403);
    let health =
        post_json(master.at, &format!("/agents/{}/api/v1", agent.id), r#"{"type":"GET_HEALTH"}"#).await;
    assert_eq!((health.status, &health.json()["asked"]), (200, &json!(r#"{"type":"GET_HEALTH"}"#)));
    master.end().await;
}
