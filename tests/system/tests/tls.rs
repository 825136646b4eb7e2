//! A cluster under mutual TLS: every connection between its processes, and those who are not of it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use chapada_harness::{Authority, Certificate, Cluster, Daemon, Http, binary, eventually};
use serde_json::{Value, json};

const WITHIN: Duration = Duration::from_secs(60);

/// A client command with these flags of TLS.
fn chapada(master: &str, tls: &[String], arguments: &[&str]) -> Result<String, String> {
    // What follows `--` is the command's.
    let (ours, its) =
        arguments.split_at(arguments.iter().position(|one| *one == "--").unwrap_or(arguments.len()));
    let mut program = Command::new(binary("chapada"));
    program.args(ours).args(["--master", master]).args(tls).args(its);
    let out = program.output().expect("chapada is built");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if out.status.success() { Ok(text(&out.stdout)) } else { Err(text(&out.stderr)) }
}

fn in_cluster(cluster: &Cluster, arguments: &[&str]) -> Result<String, String> {
    chapada(&cluster.master_address(), &cluster.tls().client.flags(), arguments)
}

fn running(cluster: &Cluster, app: &str) -> Result<Vec<Value>, String> {
    let tasks = cluster.services_http().get(&format!("/v2/apps{app}/tasks"))?["tasks"].clone();
    let tasks = tasks.as_array().cloned().unwrap_or_default();
    let all = !tasks.is_empty() && tasks.iter().all(|task| task["state"] == "TASK_RUNNING");
    if all { Ok(tasks) } else { Err(format!("{tasks:?}")) }
}

/// The answer to a plain GET.
fn plain(at: &str, path: &str) -> String {
    plainly(at, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
}

/// The answer to a plain request.
fn plainly(at: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(at).expect("the port is open");
    stream.set_read_timeout(Some(WITHIN)).expect("a socket");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

fn says(daemon: &Daemon, sentence: &str) {
    eventually(&format!("its log says {sentence:?}"), WITHIN, || {
        let log = daemon.log();
        if log.contains(sentence) { Ok(()) } else { Err(log) }
    });
}

#[test]
fn an_app_runs_is_read_and_entered_and_whoever_is_not_of_the_cluster_gets_nothing() {
    let cluster = Cluster::builder().services().mutual_tls().start();
    let file = cluster.folder().join("app.json");
    let app =
        json!({"id": "/talk", "cmd": "echo hello from here; exec sleep 100000", "cpus": 0.1, "mem": 32});
    std::fs::write(&file, app.to_string()).expect("a file");
    in_cluster(&cluster, &["apps", "deploy", &file.to_string_lossy(), "--wait", "60"]).expect("deploys");
    let tasks = eventually("the app runs", WITHIN, || running(&cluster, "/talk"));
    let task = tasks[0]["id"].as_str().expect("an id");
    eventually("its line is read through the relay", WITHIN, || {
        let log = in_cluster(&cluster, &["logs", task])?;
        if log.contains("hello from here") { Ok(()) } else { Err(log) }
    });
    let said = in_cluster(&cluster, &["exec", task, "--", "echo", "within"]).expect("a command runs");
    assert_eq!(said, "within\n");
    let mut sweep = Command::new(binary("chapada-example-sweep"));
    sweep.args(["--master", cluster.master_host_port(0), "--param", "N=1,2", "--output", "json"]);
    let out = sweep.args(cluster.tls().client.flags()).arg("echo got $N").output().expect("it is built");
    let results = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success() && results.contains("got 1") && results.contains("got 2"), "{out:?}");
    let masters = format!("https://{}", cluster.master_host_port(0));
    chapada(&masters, &cluster.tls().client.flags(), &["status"]).expect("https:// is understood");
    let info = cluster.services_http().get("/v2/info").expect("an answer");
    assert_eq!(info["marathon_config"]["mesos_leader_ui_url"], masters, "{info}");

    let client = cluster.tls().client.clone();
    let shows_none = vec!["--tls-ca".to_owned(), client.ca.display().to_string()];
    let ports = [cluster.master_host_port(0), cluster.agent_host_port(0), cluster.services_host_port()];
    for at in ports {
        for path in ["/ping", "/health", "/state"] {
            let answer = plain(at, path);
            assert!(!answer.starts_with("HTTP/1.1 200"), "{at}{path}: {answer}");
        }
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--cacert"]).arg(&client.ca).arg(format!("https://{at}/ping"));
        let out = curl.output().expect("curl is there");
        assert!(!out.status.success() && out.stdout.is_empty(), "{at}: {out:?}");
    }
    // Executors of this machine have no certificate; what they say is looked at.
    let head =
        "POST /api/v1/executor HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 2\r\n";
    let answer = plainly(ports[1], &format!("{head}Content-Type: application/json\r\n\r\n{{}}"));
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(!answer.contains("speaks TLS"), "{answer}");
    let why = chapada(ports[0], &shows_none, &["status"]).expect_err("it has no certificate");
    assert!(why.contains("takes only callers with a certificate"), "{why}");
    let why = chapada(ports[0], &[], &["status"]).expect_err("it speaks no TLS");
    assert!(why.contains("this port speaks TLS"), "{why}");
}

/// An agent with this certificate beside those of a cluster.
fn agent(cluster: &Cluster, name: &str, certificate: &Certificate) -> Daemon {
    let folder = cluster.folder().join(name).display().to_string();
    let group = format!("{}-{name}", cluster.cgroups());
    let mut flags =
        ["agent", "--port", "0", "--master", &cluster.master_address()].map(str::to_owned).to_vec();
    flags.extend(["--work-dir", &folder, "--cgroups-root", &group, "--allow-host-root"].map(str::to_owned));
    flags.extend(certificate.flags());
    Daemon::start(name, cluster.folder(), None, &flags)
}

#[test]
fn an_agent_of_another_authority_is_refused_and_says_why_and_one_that_is_renewed_comes_in() {
    let cluster = Cluster::builder().agents(0).mutual_tls().start();
    let master = cluster.master_http(0);
    let folder = cluster.folder().join("elsewhere");
    let stranger = Authority::new(&folder, "stranger").issue("agent", &["127.0.0.1"]);
    let believes_us = Certificate { ca: cluster.tls().client.ca.clone(), ..stranger.clone() };
    let mut refused = agent(&cluster, "refused", &believes_us);
    says(&refused, "does not know the authority that signed our certificate");
    let unbelieving = agent(&cluster, "unbelieving", &stranger);
    says(&unbelieving, "signed by no authority of --tls-ca");
    let active = || Ok::<_, String>(master.get("/query/v1/overview")?["agents"]["active"].clone());
    assert_eq!(active(), Ok(json!(0)));

    let good = cluster.tls().authority.issue("renewed", &["127.0.0.1"]);
    for (new, old) in [(&good.key, &stranger.key), (&good.cert, &stranger.cert)] {
        std::fs::copy(new, old).expect("our own files");
    }
    eventually("it is registered without a restart", WITHIN, || match active()? {
        one if one == json!(1) => Ok(()),
        other => Err(format!("{other}: {}", refused.log())),
    });
    refused.stop();
}

#[test]
fn masters_hand_over_and_processes_of_services_ask_each_other() {
    let mut cluster = Cluster::builder().masters(2).services().mutual_tls().detect_by_list().start();
    let (address, second) = cluster.another_services("services2", &[]);
    let second_http = Http::under_tls(&address, &cluster.tls().client);
    eventually("the second asks the one that leads", WITHIN, || {
        let apps = second_http.get("/v2/apps").map_err(|error| format!("{error}: {}", second.log()))?;
        if apps["apps"] == json!([]) { Ok(()) } else { Err(apps.to_string()) }
    });
    let events = second_http.redirect("/v2/events").expect("elsewhere");
    assert_eq!(events, format!("https://{}/v2/events", cluster.services_host_port()));

    let leads = cluster.leader().expect("one leads");
    let redirect = cluster.master_http(1 - leads).redirect("/state").expect("elsewhere");
    assert!(redirect.starts_with(&format!("https://{}", cluster.master_host_port(leads))), "{redirect}");
    cluster.masters[leads].stop();
    eventually("the other leads, with its agent and its framework", WITHIN, || {
        let overview = cluster.master_http(1 - leads).get("/query/v1/overview")?;
        let agents = overview["agents"]["active"] == json!(1);
        if agents { Ok(()) } else { Err(overview.to_string()) }
    });
    let app = json!({"id": "/after", "cmd": "exec sleep 100000", "cpus": 0.1, "mem": 32});
    eventually("an app is taken", WITHIN, || second_http.send("POST", "/v2/apps", &app));
    eventually("it runs", WITHIN, || running(&cluster, "/after"));
}

#[test]
fn a_cluster_changes_over_daemon_by_daemon() {
    let cluster = Cluster::builder().agents(0).start();
    let authority = Authority::new(&cluster.folder().join("tls"), "authority");
    let certificate = authority.issue("one", &["127.0.0.1"]);
    let started = |name: &str, more: &[&str]| {
        let folder = cluster.folder().join(name).display().to_string();
        let mut flags = ["master", "--port", "0", "--work-dir", &folder].map(str::to_owned).to_vec();
        flags.extend(certificate.flags());
        flags.extend(more.iter().map(|flag| (*flag).to_owned()));
        Daemon::start(name, cluster.folder(), None, &flags)
    };
    let contradicting = ["--tls-require-client-cert", "--tls-also-plain"];
    let mut odd = started("odd", &contradicting);
    assert!(!odd.ends(WITHIN).success());
    says(&odd, "contradict each other");
    let both = started("both", &["--tls-also-plain"]);
    let at = eventually("it listens", WITHIN, || {
        let log = both.log();
        let address =
            log.split("the master listens address=").nth(1).and_then(|rest| rest.split_whitespace().next());
        address.map(str::to_owned).ok_or(log.clone())
    });
    let tls = vec!["--tls-ca".to_owned(), authority.file().display().to_string()];
    for flags in [&[][..], &tls] {
        eventually("callers of both kinds are served", WITHIN, || chapada(&at, flags, &["status"]));
    }
}
