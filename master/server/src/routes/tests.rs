//! What every door answers of a master that does not lead, or that cannot tell whether it still does.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use chapada_coordination::{DetectError, LeaderInfo, SessionError};
use chapada_listener::{ListenConfig, Listener, Policy};
use chapada_master_core::{FrameworkRecord, RegistryState};
use chapada_model::{FrameworkDescription, FrameworkId, MasterDescription, Wall};
use chapada_wire::explain::ExplainRequest;
use chapada_wire::link::{ToAgent, refused, to_agent};
use chapada_wire::v1::master::call::Type;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use prost::Message;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::*;
use crate::agent_api::Exchanges;
use crate::agent_link::Relays;
use crate::core_loop::alone::{Alone, Beginning, candidate, lead};
use crate::sample;
use crate::shell::{Led, Standing};

/// Whoever has not answered by then waits for something that does not come.
const DEADLINE: Duration = Duration::from_secs(60);

/// What a master that does not lead, or cannot tell, does with what comes in at a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It needs no leader.
    Own,
    /// It names the leader.
    ToLeader,
    /// It reads the books of the leader: answered by one that was suspended.
    Read,
    /// Only a leader does it.
    Lead,
    /// A call of an operator: it depends on the call.
    Call,
}

/// Every route has its place here.
fn kind_of(entry: &RouteEntry) -> Option<Kind> {
    let is_get = entry.method == Some(Method::GET);
    let name = entry.pattern.strip_prefix("/master").unwrap_or(entry.pattern);
    Some(match name.strip_suffix(".json").unwrap_or(name) {
        "/health" | "/version" | "/flags" | "/metrics" | "/metrics/snapshot" | "/files/browse"
        | "/files/debug" | "/system/stats" | "/logging/toggle" | "/{*rest}" => Kind::Own,
        "/redirect" | "/redirect/{*rest}" => Kind::ToLeader,
        "/api/v1/{*rest}" => Kind::Call,
        "/api/v1/scheduler/{*rest}" | "/agents/{agent}/api/v1" | "/slave/{agent}/api/v1" => Kind::Lead,
        "/reserve" | "/unreserve" | "/create-volumes" | "/destroy-volumes" | "/teardown" => Kind::Lead,
        "/machine/down" | "/machine/up" | "/leadership/step-down" => Kind::Lead,
        "/quota/{*rest}" | "/weights/{*rest}" | "/maintenance/schedule" if is_get => Kind::Read,
        "/quota/{*rest}" | "/weights/{*rest}" | "/maintenance/schedule" => Kind::Lead,
        "/state" | "/state-summary" | "/slaves" | "/frameworks" | "/tasks" | "/roles" => Kind::Read,
        "/maintenance/status" | "/registrar(1)/registry" | "/proxy/{framework}/{*rest}" => Kind::Read,
        // The allocator is asked, which stands still.
        "/allocator/explain" => Kind::Lead,
        other if other.starts_with("/query/v1/") => Kind::Read,
        _ => return None,
    })
}

/// So has every gRPC method.
fn kind_of_method(path: &str) -> Option<Kind> {
    Some(match path {
        "/chapada.explain.v1.ExplainService/Explain" => Kind::Lead,
        "/chapada.v1.scheduler.SchedulerService/Connect" | "/chapada.v1.scheduler.SchedulerService/Send" => {
            Kind::Lead
        }
        "/chapada.link.v1.AgentLink/Connect" => Kind::Lead,
        // Bytes on behalf of somebody who was let in before.
        "/chapada.link.v1.AgentLink/Relay" => Kind::Read,
        _ => return None,
    })
}

/// And every call of operators: one more does not compile before it is here.
fn kind_of_call(kind: Type) -> Option<Kind> {
    Some(match kind {
        Type::Unknown => return None,
        Type::GetHealth
        | Type::GetFlags
        | Type::GetVersion
        | Type::GetMetrics
        | Type::GetLoggingLevel
        | Type::ListFiles
        | Type::ReadFile
        | Type::GetState
        | Type::GetAgents
        | Type::GetFrameworks
        | Type::GetExecutors
        | Type::GetOperations
        | Type::GetTasks
        | Type::GetRoles
        | Type::GetWeights
        | Type::GetMaster
        | Type::Subscribe
        | Type::GetMaintenanceStatus
        | Type::GetMaintenanceSchedule
        | Type::GetQuota => Kind::Read,
        Type::SetLoggingLevel
        | Type::UpdateWeights
        | Type::ReserveResources
        | Type::UnreserveResources
        | Type::CreateVolumes
        | Type::DestroyVolumes
        | Type::GrowVolume
        | Type::ShrinkVolume
        | Type::UpdateMaintenanceSchedule
        | Type::StartMaintenance
        | Type::StopMaintenance
        | Type::DrainAgent
        | Type::DeactivateAgent
        | Type::ReactivateAgent
        | Type::UpdateQuota
        | Type::SetQuota
        | Type::RemoveQuota
        | Type::Teardown
        | Type::MarkAgentGone
        | Type::CancelDrain
        | Type::DrainAgents
        | Type::AllowAgentRemovals => Kind::Lead,
    })
}

/// Where a master stands, and what it owes those who come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owed {
    /// The way to the leader.
    Redirect,
    /// That nobody leads.
    NobodyLeads,
    /// The same, and that it is elected itself.
    Election,
    /// What it knows, and no more.
    Knowledge,
}

/// A master behind a real port that stands as it is told.
struct Stood {
    at: SocketAddr,
    standing: watch::Sender<Standing>,
    leader: watch::Sender<Option<LeaderInfo>>,
    problem: watch::Sender<Option<Arc<DetectError>>>,
    led: Arc<Led>,
    /// Those who would answer if it led.
    _others: (watch::Sender<bool>, mpsc::Receiver<crate::core_loop::Writing>),
    _stop: [DropGuard; 2],
}

fn another() -> LeaderInfo {
    let (id, hostname) = ("m2".to_owned(), "leader.example".to_owned());
    LeaderInfo { id, hostname, ip: IpAddr::from([10, 9, 8, 7]), ..candidate() }
}

/// As the registry has a framework.
fn recorded(description: FrameworkDescription) -> (FrameworkId, FrameworkRecord) {
    let id = description.id.clone().expect("it has one");
    let (description, registered) = (Arc::new(description), Wall(1));
    (id, FrameworkRecord { description, registered, disconnected: None, removed: None })
}

impl Stood {
    async fn start() -> Self {
        Self::knowing(|_| Vec::new()).await
    }

    /// One with such frameworks in its books, who know where it is.
    async fn knowing(frameworks: impl FnOnce(SocketAddr) -> Vec<FrameworkDescription>) -> Self {
        let (standing, standings) = watch::channel(Standing::Following);
        let (leader, leaders) = watch::channel(None);
        let (problem, problems) = watch::channel(None);
        let mut shell = Shell::closed();
        // The loop stands still, as it does while its leadership is uncertain.
        let config = ListenConfig { port: Some(0), ..ListenConfig::default() };
        let listener = Listener::bind(&config, 0).await.expect("a free port");
        let (at, stop) = (listener.local_addr(), CancellationToken::new());
        let registry = RegistryState {
            frameworks: frameworks(at).into_iter().map(recorded).collect(),
            ..RegistryState::default()
        };
        let beginning =
            Beginning { clock: shell.clock, registry, is_suspended: true, ..Beginning::default() };
        let Alone { core, epoch, records, suspend, ended } = lead(beginning).await;
        let led = Arc::new(Led {
            core,
            master: MasterDescription {
                id: "m1".into(),
                hostname: "127.0.0.1".into(),
                ip: Ipv4Addr::LOCALHOST.into(),
                port: at.port(),
                version: "1.0".into(),
                domain: None,
            },
            epoch,
            elected: shell.clock.wall(),
            relays: Relays::default(),
            exchanges: Exchanges::default(),
            ended: ended.clone(),
        });
        (shell.standing, shell.leader, shell.own) = (standings, leaders, (at.ip(), at.port()));
        shell.problem = problems;
        let shell = Arc::new(shell);
        tokio::spawn(listener.serve(http(&shell), grpc(&shell), Policy::allow_all(), stop.clone()));
        let (_others, _stop) = ((suspend, records), [ended.drop_guard(), stop.drop_guard()]);
        Self { at, standing, leader, problem, led, _others, _stop }
    }

    /// Every way of not leading, each once.
    fn stands(&self) -> Vec<(&'static str, Standing, Option<LeaderInfo>, Owed)> {
        let unable = || Standing::Unable("no space".into());
        let hindered = || Standing::Hindered("no access".into());
        let itself = LeaderInfo { ip: self.at.ip(), port: self.at.port(), ..another() };
        let (other, nobody) = (Some(another()), None::<LeaderInfo>);
        vec![
            ("another leads", Standing::Following, other.clone(), Owed::Redirect),
            ("it has given its place away", Standing::HandingOver, other.clone(), Owed::Redirect),
            ("it could not lead, and another does", unable(), other.clone(), Owed::Redirect),
            ("it is not in line, and another leads", hindered(), other, Owed::Redirect),
            ("nobody leads", Standing::Following, nobody.clone(), Owed::NobodyLeads),
            ("it gives its place away", Standing::HandingOver, nobody.clone(), Owed::NobodyLeads),
            ("it cannot lead", unable(), nobody.clone(), Owed::NobodyLeads),
            ("it is not in line", hindered(), nobody.clone(), Owed::NobodyLeads),
            ("it reads the registry", Standing::Recovering, nobody.clone(), Owed::NobodyLeads),
            ("it is elected and does not know", Standing::Following, Some(itself), Owed::Election),
            ("it is suspended", Standing::Suspended(self.led.clone()), nobody, Owed::Knowledge),
        ]
    }

    fn stand(&self, standing: &Standing, leader: &Option<LeaderInfo>) {
        self.standing.send_replace(standing.clone());
        self.leader.send_replace(leader.clone());
    }

    async fn ask(&self, method: Method, path: &str, media: &str, body: Vec<u8>) -> Response<Incoming> {
        let request = Request::builder()
            .method(method.clone())
            .uri(format!("http://{}{path}", self.at))
            .header(CONTENT_TYPE, media)
            .body(Full::new(Bytes::from(body)))
            .expect("a request");
        let answer = Client::builder(TokioExecutor::new()).build_http().request(request);
        let answer = tokio::time::timeout(DEADLINE, answer).await;
        answer.unwrap_or_else(|_| panic!("{method} {path} is not answered")).expect("an answer")
    }
}

/// What is asked for at a route.
fn path_of(entry: &RouteEntry) -> String {
    let path = entry.pattern.replace("{*rest}", "a").replace("{list}", "agents").replace(['{', '}'], "");
    match entry.pattern {
        "/allocator/explain" => format!("{path}?framework=f&agent=a"),
        "/query/v1/watch" => format!("{path}?of=overview"),
        _ => path,
    }
}

/// What is wrong with an answer over HTTP; nothing when it is as it should be.
fn wrong_with(answer: &Response<Incoming>, kind: Kind, owed: Owed, asked: &str) -> Option<String> {
    let location = answer.headers().get(LOCATION).and_then(|location| location.to_str().ok());
    let is_about_leaders = matches!(answer.status().as_u16(), 307 | 503);
    let to_leader = asked.split_once("/redirect").map_or(asked, |(_, rest)| rest.trim_start_matches(".json"));
    let is_right = match (kind, owed) {
        (Kind::Own, _) => !is_about_leaders,
        (Kind::Read, Owed::Knowledge) => !is_about_leaders && !answer.status().is_server_error(),
        (Kind::ToLeader, Owed::Knowledge | Owed::Election) => {
            answer.status() == StatusCode::TEMPORARY_REDIRECT
        }
        (_, Owed::Redirect) => {
            let there = format!("//{}{to_leader}", another().authority());
            answer.status() == StatusCode::TEMPORARY_REDIRECT && location == Some(&*there)
        }
        (_, _) => answer.status() == StatusCode::SERVICE_UNAVAILABLE,
    };
    (!is_right).then(|| format!("{} {location:?}", answer.status()))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_answers_as_it_should_while_this_master_does_not_lead() {
    let master = Stood::start().await;
    let (table, _) = doors();
    let mut wrong = Vec::new();
    for (stands, standing, leader, owed) in master.stands() {
        master.stand(&standing, &leader);
        for entry in &table {
            let kind = kind_of(entry).unwrap_or_else(|| panic!("{entry:?} is of no kind: say which"));
            let (path, method) = (path_of(entry), entry.method.clone().unwrap_or(Method::POST));
            let kind = if kind == Kind::Call { Kind::Read } else { kind };
            let body = if method == Method::GET { Vec::new() } else { br#"{"type":"GET_STATE"}"#.to_vec() };
            let is_form = entry.content == ContentRule::Form;
            let media = if is_form { "application/x-www-form-urlencoded" } else { "application/json" };
            let answer = master.ask(method.clone(), &path, media, body).await;
            let found = wrong_with(&answer, kind, owed, &path);
            wrong.extend(found.map(|found| format!("{stands}: {method} {path} as {kind:?}: {found}")));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_of_operators_is_answered_as_it_should_be_while_this_master_does_not_lead() {
    let master = Stood::start().await;
    let all = (0..20_000).filter_map(|number| Type::try_from(number).ok());
    let kinds: Vec<(Type, Kind)> = all.filter_map(|kind| Some((kind, kind_of_call(kind)?))).collect();
    assert!(kinds.len() > 40, "{kinds:?}");
    let mut wrong = Vec::new();
    for (stands, standing, leader, owed) in master.stands() {
        master.stand(&standing, &leader);
        for (call, kind) in &kinds {
            let body = format!(r#"{{"type":"{}"}}"#, call.as_str_name());
            let answer = master.ask(Method::POST, "/api/v1", "application/json", body.into_bytes()).await;
            let found = wrong_with(&answer, *kind, owed, "/api/v1");
            wrong.extend(found.map(|found| format!("{stands}: {call:?} as {kind:?}: {found}")));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_door_says_why_nobody_leads_where_that_is_known() {
    let master = Stood::start().await;
    let denied = DetectError::Session(SessionError::Denied { path: "/cluster".to_owned() });
    let source = LeaderInfo::from_json(br#"{"id": {"rubbish": 1}}"#).expect_err("no leader's");
    let bad = DetectError::BadLeader { path: "/cluster/json.info_7".to_owned(), source };
    let hindered = || Standing::Hindered("no ZooKeeper answers".into());
    for (standing, problem, why) in [
        (Standing::Following, None, "No leader elected"),
        (Standing::Following, Some(denied), "No leader elected: ZooKeeper refuses access to /cluster: check"),
        (
            Standing::Following,
            Some(bad),
            "No leader elected: znode /cluster/json.info_7 does not say who leads",
        ),
        (hindered(), None, "No leader elected: no ZooKeeper answers"),
    ] {
        master.stand(&standing, &None);
        master.problem.send_replace(problem.map(Arc::new));
        let mut said = Vec::new();
        for path in ["/redirect", "/state", "/api/v1", "/api/v1/scheduler"] {
            let (method, body) = match path.starts_with("/api") {
                true => (Method::POST, &br#"{"type":"GET_STATE"}"#[..]),
                false => (Method::GET, &[][..]),
            };
            let answer = master.ask(method, path, "application/json", body.to_vec()).await;
            let text = answer.into_body().collect().await.expect("an end").to_bytes();
            said.push(String::from_utf8_lossy(&text).into_owned());
        }
        let link = "/chapada.link.v1.AgentLink/Connect";
        let answer = master.ask(Method::POST, link, "application/grpc", frame(&())).await;
        let refused = answer.into_body().collect().await.expect("an end").to_bytes();
        said.push(String::from_utf8_lossy(&refused).into_owned());
        for said in said {
            assert!(said.contains(why) && !said.contains("rubbish"), "{said:?} is to be {why:?}");
            assert!(
                !said.contains("elected:") || why.contains("elected:"),
                "{said:?} where nothing is known"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_framework_has_this_master_call_itself() {
    let registered =
        |url: String| FrameworkDescription { webui_url: Some(url.into()), ..sample::framework(0) };
    let master = Stood::knowing(|at| vec![registered(format!("http://localhost:{}/", at.port()))]).await;
    master.stand(&Standing::Suspended(master.led.clone()), &None);
    let answer = master.ask(Method::GET, "/proxy/framework-0/health", "text/plain", Vec::new()).await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    let text = answer.into_body().collect().await.expect("an end").to_bytes();
    let text = String::from_utf8_lossy(&text);
    assert!(text.contains("where a master listens"), "{text}");
}

/// A message as gRPC frames it.
fn frame(message: &impl Message) -> Vec<u8> {
    let length = u32::try_from(message.encoded_len()).expect("small");
    [&[0][..], &length.to_be_bytes(), &message.encode_to_vec()].concat()
}

/// The number and the leader that a gRPC answer names.
fn status_of(answer: &Response<Incoming>) -> (Option<&str>, Option<&str>) {
    let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
    (header("grpc-status"), header("leader"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_grpc_method_answers_as_it_should_while_this_master_does_not_lead() {
    const UNAVAILABLE: Option<&str> = Some("14");
    let master = Stood::start().await;
    let (_, methods) = doors();
    let leader_of = another().authority();
    for (stands, standing, leader, owed) in master.stands() {
        master.stand(&standing, &leader);
        for (path, _) in &methods {
            let kind = kind_of_method(path).unwrap_or_else(|| panic!("{path} is of no kind: say which"));
            let explained = ExplainRequest { framework_id: "f".to_owned(), agent_id: "a".to_owned() };
            let body = if path.contains("Explain") { frame(&explained) } else { frame(&()) };
            let answer = master.ask(Method::POST, path, "application/grpc", body).await;
            let (status, named) = status_of(&answer);
            let whom = format!("{stands}: {path} as {kind:?}: {status:?} {named:?}");
            if path.ends_with("AgentLink/Connect") {
                // An agent reads why on the link itself, and looks for the leader as it found this one.
                let said = answer.into_body().collect().await.expect("an end").to_bytes();
                let said = ToAgent::decode(said.slice(5..)).expect("a message");
                let Some(to_agent::Message::Refused(refused)) = &said.message else {
                    panic!("{whom}: {said:?}")
                };
                assert_eq!(refused.reason(), refused::Reason::NotLeading, "{whom}");
                assert_eq!(refused.message.contains(&leader_of), owed == Owed::Redirect, "{whom}");
                continue;
            }
            match (kind, owed) {
                (Kind::Read, Owed::Knowledge) => assert!(status.is_some_and(|it| it != "14"), "{whom}"),
                (_, Owed::Redirect) => {
                    assert_eq!((status, named), (UNAVAILABLE, Some(&*leader_of)), "{whom}")
                }
                (_, _) => assert_eq!((status, named), (UNAVAILABLE, None), "{whom}"),
            }
        }
    }
}
