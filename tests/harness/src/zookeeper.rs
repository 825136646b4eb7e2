//! A real ZooKeeper for tests: one server or three, on free ports below a temporary folder.
//!
//! The folder is in memory unless a disk is asked for: each of ZooKeeper's writes waits for its disk, a busy machine's disk
//! stands still for seconds, and the sessions of tests last one. What is written outlives the processes all the same.
//!
//! Needs Debian's `zookeeper` package and its Java; see [`Ensemble::start_on`].

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::eventually::eventually;
use crate::ports::free_ports;

/// Where Debian puts the jars.
const JARS: &str = "/usr/share/java/zookeeper.jar:/usr/share/java/slf4j-simple.jar";
/// A file system in memory, on every Linux.
const MEMORY: &str = "/dev/shm";
/// Java and a quorum on two busy cores.
const START_WITHIN: Duration = Duration::from_secs(60);
/// The servers' tick: sessions from two of them (400 ms) on are granted, and expire within one.
pub(crate) const TICK_MS: u32 = 200;

/// ZooKeeper servers. They are killed, and their files deleted, with this value.
#[derive(Debug)]
pub struct Ensemble {
    servers: Vec<Server>,
    _folder: TempDir,
}

/// Where ZooKeeper's files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// In memory, which never makes a session wait.
    Memory,
    /// Where temporary files are: for figures that are to include what a disk costs.
    Real,
}

/// One server, which may be down.
#[derive(Debug)]
pub struct Server {
    folder: PathBuf,
    config: String,
    address: SocketAddr,
    process: Option<Child>,
}

impl Ensemble {
    /// One server on loopback.
    ///
    /// # Panics
    /// As [`Ensemble::start_on`].
    pub fn single() -> Self {
        Self::start_on(Ipv4Addr::LOCALHOST, 1)
    }

    /// Three servers on loopback.
    ///
    /// # Panics
    /// As [`Ensemble::start_on`].
    pub fn three() -> Self {
        Self::start_on(Ipv4Addr::LOCALHOST, 3)
    }

    /// So many servers on an address of this host, once they serve.
    ///
    /// # Panics
    /// When they do not start, with a log.
    pub fn start_on(ip: impl Into<IpAddr>, servers: usize) -> Self {
        Self::start_with(ip, servers, TICK_MS, Disk::Memory)
    }

    /// The same with a tick of so many milliseconds: sessions last two of them at least.
    ///
    /// # Panics
    /// As [`Ensemble::start_on`].
    pub fn start_with(ip: impl Into<IpAddr>, servers: usize, tick_ms: u32, disk: Disk) -> Self {
        let ip = ip.into();
        let mut folder = tempfile::Builder::new();
        folder.prefix("chapada-zookeeper-");
        let folder = match disk {
            Disk::Memory => folder.tempdir_in(MEMORY),
            Disk::Real => folder.tempdir(),
        };
        let folder = folder.expect("a temporary folder can be made");
        let ports = free_ports(ip, 3 * servers);
        let members: Vec<u16> = ports.chunks(3).map(|of_one| of_one[2]).collect();
        let config = if servers == 1 {
            format!("{}clientPort={}\nclientPortAddress={ip}\n", settings(tick_ms), ports[2])
        } else {
            let members: String = ports
                .chunks(3)
                .zip(1..)
                .map(|(of_one, id)| {
                    format!("server.{id}={ip}:{}:{};{ip}:{}\n", of_one[0], of_one[1], of_one[2])
                })
                .collect();
            format!("{}standaloneEnabled=false\nreconfigEnabled=true\n{members}", settings(tick_ms))
        };
        let members = members.into_iter().map(|port| (SocketAddr::new(ip, port), config.clone())).collect();
        Self::start(folder, members)
    }

    fn start(folder: TempDir, members: Vec<(SocketAddr, String)>) -> Self {
        let servers = members
            .into_iter()
            .zip(1..)
            .map(|((address, config), id)| {
                let folder = folder.path().join(format!("server-{id}"));
                let data = folder.join("data");
                fs::create_dir_all(&data).expect("the temporary folder is writable");
                fs::write(data.join("myid"), format!("{id}\n")).expect("the temporary folder is writable");
                let config = format!("{config}dataDir={}\n", data.display());
                Server { folder, config, address, process: None }
            })
            .collect();
        let mut ensemble = Self { servers, _folder: folder };
        ensemble.servers.iter_mut().for_each(Server::launch);
        ensemble.servers.iter().for_each(Server::wait_until_serving);
        ensemble
    }

    /// `host:port,host:port,…`
    pub fn connect_string(&self) -> String {
        self.servers.iter().map(|server| server.address.to_string()).collect::<Vec<_>>().join(",")
    }

    /// `zk://host:port,…`, without a path.
    pub fn address(&self) -> String {
        format!("zk://{}", self.connect_string())
    }

    /// One server, counted from 0.
    ///
    /// # Panics
    /// When there is none of that number.
    pub fn server(&mut self, index: usize) -> &mut Server {
        &mut self.servers[index]
    }

    /// Number of servers.
    pub fn len(&self) -> usize {
        self.servers.len()
    }

    /// Never: an ensemble has servers.
    pub fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }

    /// Which server leads the ensemble, counted from 0; none while they elect.
    pub fn leader(&self) -> Option<usize> {
        self.servers.iter().position(|server| server.role().as_deref() == Some("leader"))
    }
}

impl Server {
    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Kills it with SIGKILL. Does nothing to one that is down.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("a child of ours may be killed");
            process.wait().expect("a child of ours can be waited for");
        }
    }

    /// Starts it again, on the same port with the same data, and waits until it serves.
    ///
    /// # Panics
    /// When it does not start, with its log.
    pub fn restart(&mut self) {
        self.kill();
        self.launch();
        self.wait_until_serving();
    }

    /// Stops it where it stands: connections stay open and nothing answers.
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets it go on after [`Server::pause`].
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().expect("only a running server can be signalled");
        kill(Pid::from_raw(process.id().cast_signed()), signal).expect("a child of ours may be signalled");
    }

    fn launch(&mut self) {
        let file = self.folder.join("zoo.cfg");
        // The server rewrites its file and refuses one that it rewrote when the ports have changed.
        for old in fs::read_dir(&self.folder).expect("the folder was made").flatten() {
            if old.file_name().to_string_lossy().starts_with("zoo.cfg") {
                fs::remove_file(old.path()).expect("the temporary folder is writable");
            }
        }
        fs::write(&file, &self.config).expect("the temporary folder is writable");
        let log = fs::File::create(self.log()).expect("the temporary folder is writable");
        let process = Command::new("java")
            .args(["-Xmx1536m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .arg("-Dzookeeper.admin.enableServer=false")
            .args(["-cp", JARS, "org.apache.zookeeper.server.quorum.QuorumPeerMain"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be opened twice"))
            .stderr(log)
            .spawn()
            .expect("java is needed: apt-get install --no-install-recommends zookeeper default-jre-headless");
        self.process = Some(process);
    }

    fn wait_until_serving(&self) {
        eventually("ZooKeeper serves", START_WITHIN, || match self.role() {
            Some(_) => Ok(()),
            None => Err(format!("{}, log: {}", self.address, tail(&self.log()))),
        });
    }

    /// `standalone`, `leader` or `follower`; none while it does not serve.
    fn role(&self) -> Option<String> {
        let answer = self.ask("srvr")?;
        answer.lines().find_map(|line| line.strip_prefix("Mode: ")).map(str::to_owned)
    }

    fn ask(&self, word: &str) -> Option<String> {
        let patience = Duration::from_secs(1);
        let mut stream = TcpStream::connect_timeout(&self.address, patience).ok()?;
        stream.set_read_timeout(Some(patience)).ok()?;
        stream.write_all(word.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    fn log(&self) -> PathBuf {
        self.folder.join("out.log")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn settings(tick_ms: u32) -> String {
    format!(
        "tickTime={tick_ms}\ninitLimit=50\nsyncLimit=25\nminSessionTimeout={}\nmaxSessionTimeout=60000\n\
         4lw.commands.whitelist=*\nmaxClientCnxns=0\n",
        2 * tick_ms
    )
}

fn tail(file: &Path) -> String {
    let log = fs::read_to_string(file).unwrap_or_default();
    log.lines().rev().take(5).collect::<Vec<_>>().join(" | ")
}
