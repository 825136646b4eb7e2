//! What somebody does by hand to the election's znodes: the cluster goes on, and where it cannot, the masters' doors say why.

use std::net::Ipv4Addr;
use std::time::Duration;

use chapada_harness::zookeeper::Ensemble;
use chapada_harness::{Cluster, Daemon, Http, eventually, free_port};
use serde_json::json;
use tokio::runtime::Runtime;
use zookeeper_client::{Acl, Acls, Client, CreateMode, Permission};

const WITHIN: Duration = Duration::from_secs(60);

/// Two masters, and a task that runs.
struct Running {
    cluster: Cluster,
    /// Whose processes are to stay as they are.
    tasks: Vec<u32>,
    runtime: Runtime,
    client: Client,
}

impl Running {
    /// Masters whose sessions last so long.
    fn start(session: &str) -> Self {
        let session = format!("--zk-session-timeout={session}");
        let mut cluster = Cluster::builder().masters(2).services().master_flag(&session).start();
        let app = json!({"id": "/steady", "cmd": "exec sleep 100000", "cpus": 0.1, "mem": 32});
        cluster.services_http().send("POST", "/v2/apps", &app).expect("the app is accepted");
        let tasks =
            eventually("it runs", WITHIN, || match (processes(&cluster), cluster.live_tasks()?.len()) {
                (found, 1) if found.len() == 1 => Ok(found),
                other => Err(format!("{other:?}")),
            });
        let servers = cluster.ensemble().connect_string();
        let runtime = Runtime::new().expect("a runtime");
        let client = runtime.block_on(Client::connect(&servers)).expect("ZooKeeper answers");
        Self { cluster, tasks, runtime, client }
    }

    fn znodes(&self) -> Vec<String> {
        let children = self.runtime.block_on(self.client.list_children("/chapada")).expect("it is there");
        let mut found: Vec<String> =
            children.into_iter().filter(|name| name.starts_with("json.info_")).collect();
        found.sort();
        found.iter().map(|name| format!("/chapada/{name}")).collect()
    }

    fn epoch(&self) -> Result<f64, String> {
        let metrics = self.cluster.leader_http()?.get("/metrics/snapshot")?;
        metrics["master/epoch"].as_f64().ok_or_else(|| metrics.to_string())
    }

    /// All are there, the task as it was, and it was launched once.
    fn goes_on(&self, when: &str) {
        eventually(&format!("the agent, the framework and the task are there {when}"), WITHIN, || {
            let overview = self.cluster.leader_http()?.get("/query/v1/overview")?;
            match (overview["agents"]["active"].as_u64(), self.cluster.live_tasks()?.len()) {
                (Some(1), 1) => self.cluster.services_http().get("/v2/apps").map(drop),
                _ => Err(overview.to_string()),
            }
        });
        assert_eq!(processes(&self.cluster), self.tasks, "{when}");
        assert_eq!(self.cluster.agents[0].log().matches(": launch ").count(), 1, "{when}");
    }
}

fn processes(cluster: &Cluster) -> Vec<u32> {
    let is_one = |(_, command): &&(u32, String)| command.starts_with("sleep 100000");
    cluster.processes().iter().filter(is_one).map(|(pid, _)| *pid).collect()
}

#[test]
fn rubbish_in_the_leader_s_znode_is_written_over_and_the_same_leader_is_found_again() {
    // Nobody waits for the end of one here, and the leader's is not to end because the machine is busy.
    let mut running = Running::start("20s");
    let leader = running.cluster.leader().expect("it leads");
    let (znode, epoch) = (running.znodes().remove(0), running.epoch().expect("it leads"));
    let read = || running.runtime.block_on(running.client.get_data(&znode)).expect("it is there");
    let (info, before) = read();
    running.runtime.block_on(running.client.set_data(&znode, b"rubbish", None)).expect("anyone may");
    eventually("the leader writes who it is", WITHIN, || match read() {
        (data, stat) if data == info && stat.version > before.version => Ok(()),
        (data, _) => Err(String::from_utf8_lossy(&data).into_owned()),
    });
    let log = running.cluster.masters[leader].log();
    assert!(log.contains(&znode) && log.contains("changed by somebody else"), "{log}");
    // One that has never seen it before finds it, as those do that have.
    let other = 1 - leader;
    running.cluster.masters[other].kill();
    running.cluster.masters[other].restart();
    let there = format!("//{}/state", running.cluster.master_host_port(leader));
    eventually("a new one finds the leader", WITHIN, || {
        match running.cluster.master_http(other).redirect("/state")? {
            place if place == there => Ok(()),
            place => Err(place),
        }
    });
    running.goes_on("after the rubbish");
    assert_eq!(running.epoch(), Ok(epoch), "it is the same leadership");
}

#[test]
fn a_znode_that_belongs_to_no_session_leads_nobody_and_keeps_nobody_from_leading() {
    let mut running = Running::start("5s");
    let by_hand = CreateMode::Persistent.with_acls(Acls::anyone_all());
    let nobodys = "/chapada/json.info_0";
    let info = json!({"id": "nobody", "ip": 16_777_343, "port": 1, "hostname": "nobody.example"}).to_string();
    running.runtime.block_on(running.client.create(nobodys, info.as_bytes(), &by_hand)).expect("it is new");
    assert_eq!(running.znodes()[0], nobodys, "it comes before all candidates");
    running.goes_on("beside a znode of nobody's");
    let former = running.cluster.leader().expect("it leads");
    running.cluster.masters[former].kill();
    eventually("the other one leads", WITHIN, || match running.cluster.leader()? {
        now if now != former => Ok(()),
        now => Err(format!("{now} leads")),
    });
    running.goes_on("under the next leader");
    running.cluster.masters[former].restart();
    let there = format!("//{}/state", running.cluster.master_host_port(1 - former));
    eventually("who comes finds the leader", WITHIN, || {
        match running.cluster.master_http(former).redirect("/state")? {
            place if place == there => Ok(()),
            place => Err(place),
        }
    });
    let log = running.cluster.masters[former].log();
    assert!(log.contains(nobodys) && log.contains("belongs to no session"), "{log}");
}

#[test]
fn a_master_that_may_not_stand_in_line_says_why_at_its_door_until_it_may() {
    let ensemble = Ensemble::single();
    let runtime = Runtime::new().expect("a runtime");
    let client = runtime.block_on(Client::connect(&ensemble.connect_string())).expect("ZooKeeper answers");
    let read_alone = [Acl::new_const(Permission::READ | Permission::ADMIN, "world", "anyone")];
    let made = client.create("/chapada", b"", &CreateMode::Persistent.with_acls(Acls::new(&read_alone)));
    runtime.block_on(made).expect("it is new");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let port = free_port(Ipv4Addr::LOCALHOST).to_string();
    let zookeeper = format!("zk://me:secret@{}/chapada", ensemble.connect_string());
    let work = folder.path().join("work").display().to_string();
    let flags = ["master", "--ip", "127.0.0.1", "--port", &port, "--work-dir", &work, "--zk", &zookeeper];
    let master = Daemon::start("master", folder.path(), None, &flags.map(str::to_owned));
    let door = Http::new(&format!("127.0.0.1:{port}"));
    let why = "No leader elected: ZooKeeper refuses access to /chapada/json.info_: check user:password";
    for path in ["/state", "/redirect"] {
        let said = eventually("the door says why", WITHIN, || match door.call("GET", path, None)? {
            (503, said) if said.starts_with(why) => Ok(said),
            other => Err(format!("{other:?}")),
        });
        assert!(!said.contains("secret"), "{said}");
    }
    assert!(!master.log().contains("secret"));
    let anyone = [Acl::new_const(Permission::ALL, "world", "anyone")];
    runtime.block_on(client.set_acl("/chapada", &anyone, None)).expect("anyone may");
    eventually("it leads", WITHIN, || door.get("/state").map(drop));
}
