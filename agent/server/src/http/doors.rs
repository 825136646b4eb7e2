//! Each of the agent's routes can be denied, and only it is; and who may call those that are for plain callers. Needs root, as every
//! agent does.

use chapada_listener::{GrpcRoutes, ListenConfig, Listener, Peer, Policy, tunnel};
use chapada_shim::{Cgroups, Launcher};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::containers::{Settings, Supplies};
use crate::disks::Disks;
use crate::executors::Tokens;
use crate::layout::Layout;
use crate::overhead::Overhead;

/// An agent's routes without an agent behind them: what they read answers 503.
fn api(folder: &std::path::Path, cgroups: &Cgroups) -> Arc<Api> {
    let layout = Layout::new(folder.to_owned());
    let settings = Settings {
        overhead: Overhead::new(None).unwrap(),
        logs: chapada_shim::LogLimits::default(),
        enforce_cpu: true,
        limit_swap: true,
        switch_user: true,
        port: 5051,
        endpoint: "127.0.0.1:5051".to_owned(),
        hostname: "localhost".to_owned(),
        frameworks_home: None,
        bridge_network: "mesos-bridge".to_owned(),
        executor_return: std::time::Duration::from_secs(2),
    };
    let launcher = Arc::new(Launcher::new(chapada_shim_image::SHIM_IMAGE, cgroups.clone()).unwrap());
    let tokens = Tokens::new(layout.tokens(), false);
    let (config, runtime_dir) = (AgentConfig::default(), folder.join("runtime"));
    let supplies =
        Supplies::new(&config, 5051, &layout, Disks::default(), launcher.clone(), runtime_dir.clone())
            .unwrap();
    let events = mpsc::channel(1).0;
    let means = Means::new(launcher, runtime_dir, layout.clone(), settings, tokens, supplies, events);
    let who = Presentation {
        info: chapada_wire::v1::AgentInfo::default(),
        address: "127.0.0.1:5051".to_owned(),
        boot_id: String::new(),
        capabilities: &[],
    };
    let clock = Clock::start();
    Arc::new(Api {
        inputs: mpsc::channel(1).0,
        files: Files::new(layout),
        means: Arc::new(means),
        counters: Arc::default(),
        history: Arc::new(History::new(1, &View::default())),
        logging: Logging::default(),
        who: Arc::new(who),
        resources: Resources::default(),
        config: AgentConfig::default(),
        started: clock.now().wall,
        tasks: TaskTracker::new(),
        clock,
    })
}

/// The statuses of these paths under this policy.
async fn statuses(api: &Arc<Api>, policy: Policy, paths: &[&str]) -> Vec<String> {
    let config = ListenConfig { port: Some(0), ..ListenConfig::default() };
    let listener = Listener::bind(&config, 0).await.unwrap();
    let (address, stop) = (listener.local_addr(), CancellationToken::new());
    let server = tokio::spawn(listener.serve(routes(api.clone()), GrpcRoutes::new(), policy, stop.clone()));
    let mut statuses = Vec::new();
    for path in paths {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        statuses.push(answer.split(' ').nth(1).unwrap_or_default().to_owned());
    }
    stop.cancel();
    server.await.unwrap();
    statuses
}

#[tokio::test]
async fn each_route_can_be_denied_and_only_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let cgroups = Cgroups::discover(format!("chapada-doors-{}", std::process::id())).unwrap();
    let api = api(folder.path(), &cgroups);
    let table = routes(api.clone()).table();
    assert!(table.len() > 40, "{} routes", table.len());
    for route in table {
        let other = if route.pattern == "/health" { "/version" } else { "/health" };
        let policy = Policy::allow_all().deny_endpoint(route.pattern);
        let seen = statuses(&api, policy, &[route.pattern, other]).await;
        assert_eq!(seen, ["403", "200"], "{} denied", route.pattern);
    }
    drop(api);
    cgroups.remove().unwrap();
}

/// The status of a GET of this path by who calls from this address.
async fn status_for(routes: Routes, remote: &str, path: &str, token: Option<&str>) -> String {
    let listener =
        Listener::bind(&ListenConfig { port: Some(0), ..ListenConfig::default() }, 0).await.unwrap();
    let (local, entrance, stop) = (listener.local_addr(), listener.entrance(), CancellationToken::new());
    let server = tokio::spawn(listener.serve(routes, GrpcRoutes::new(), Policy::allow_all(), stop.clone()));
    let (to_server, from_client) = mpsc::channel(1);
    let (to_client, from_server) = mpsc::channel(1);
    let pieces = |pieces| ReceiverStream::new(pieces).map(Ok::<_, std::io::Error>);
    let (mut near, carrying) = tunnel(pieces(from_server), to_server);
    tokio::spawn(carrying);
    let (far, carrying) = tunnel(pieces(from_client), to_client);
    tokio::spawn(carrying);
    let peer = Peer { remote: remote.parse().unwrap(), local, is_brought: false };
    assert!(entrance.bring(far, peer).await);
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{token}Connection: close\r\n\r\n");
    near.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    near.read_to_string(&mut answer).await.unwrap();
    stop.cancel();
    server.await.unwrap();
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn plain_callers_of_elsewhere_need_a_token_of_an_executor() {
    let folder = tempfile::tempdir().unwrap();
    let cgroups = Cgroups::discover(format!("chapada-strangers-{}", std::process::id())).unwrap();
    let api = api(folder.path(), &cgroups);
    let token = api.means.tokens.issue(&"one".parse().unwrap()).unwrap();
    let wrong = "0".repeat(token.len());
    let table = of_plain_callers(&api).table();
    assert!(!table.is_empty());
    for route in table {
        let status =
            async |remote, token| status_for(of_plain_callers(&api), remote, route.pattern, token).await;
        for shown in [None, Some(wrong.as_str())] {
            assert_eq!(status("198.51.100.7:4000", shown).await, "403", "{}", route.pattern);
        }
        // The route's own word for a GET.
        assert_eq!(status("198.51.100.7:4000", Some(&token)).await, "405", "{}", route.pattern);
        assert_eq!(status("127.0.0.1:4000", None).await, "405", "{}", route.pattern);
    }
    drop(api);
    cgroups.remove().unwrap();
}
