//! Commands on a terminal, a real one: a pseudo-terminal whose other side the test types on and reads.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use chapada_harness::{Cluster, binary, eventually};
use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, Termios, tcgetattr};
use nix::unistd::Pid;
use rustix::termios::{Winsize, tcsetwinsize};

use crate::{WITHIN, cluster_with};

/// `chapada exec -it` on a terminal of its own.
struct Typist {
    keys: File,
    terminal: OwnedFd,
    shown: Arc<Mutex<String>>,
    client: Child,
}

impl Typist {
    fn start(cluster: &Cluster, id: &str, command: &[&str]) -> Self {
        let pair = openpty(None, None).expect("a pseudo-terminal");
        resize(&pair.master, 33, 101);
        let side = || Stdio::from(pair.slave.try_clone().expect("a descriptor"));
        let client = Command::new("setsid")
            .arg("--ctty")
            .arg(binary("chapada"))
            .args(["exec", "--master", cluster.master_host_port(0), "-it", id, "--"])
            .args(command)
            .env("TERM", "vt220")
            .stdin(side())
            .stdout(side())
            .stderr(side())
            .spawn()
            .expect("setsid is there");
        let keys = File::from(pair.master);
        let shown = Arc::new(Mutex::new(String::new()));
        let (mut screen, seen) = (keys.try_clone().expect("a descriptor"), shown.clone());
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = screen.read(&mut piece) {
                seen.lock().expect("no panic").push_str(&String::from_utf8_lossy(&piece[..count]));
            }
        });
        Self { keys, terminal: pair.slave, shown, client }
    }

    fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("the terminal takes it");
    }

    fn shows(&self, words: &str) {
        eventually(&format!("{words:?} is shown"), WITHIN, || {
            let shown = self.shown.lock().expect("no panic").clone();
            if shown.contains(words) { Ok(()) } else { Err(shown) }
        });
    }

    fn modes(&self) -> Termios {
        tcgetattr(&self.terminal).expect("a terminal")
    }

    fn ends(&mut self) -> ExitStatus {
        eventually("the client ends", WITHIN, || {
            let ended = self.client.try_wait().map_err(|error| error.to_string())?;
            ended.ok_or_else(|| self.shown.lock().expect("no panic").clone())
        })
    }

    fn is_as_before(&self) {
        let flags = self.modes().local_flags;
        assert!(flags.contains(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG), "{flags:?}");
    }
}

impl Drop for Typist {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

fn resize(terminal: &impl std::os::fd::AsFd, rows: u16, columns: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(terminal, size).expect("a terminal");
}

#[test]
fn a_command_has_our_terminal_its_size_and_its_keys() {
    let (cluster, id) = cluster_with("sleep 1000");
    let mut typist = Typist::start(&cluster, &id, &["sh"]);
    typist.types("stty -echo; echo is-$(tty) $(stty size) $TERM\n");
    typist.shows("is-/dev/");
    typist.shows("33 101 vt220");
    resize(&typist.keys, 44, 120);
    typist.types("until stty size | grep -q '44 120'; do sleep 0.05; done; echo has-grown\n");
    typist.shows("has-grown");
    typist.types("echo ready; sleep 1000; echo code-$?\n");
    typist.shows("ready");
    typist.types("\u{3}");
    typist.types("echo again-$?\n");
    typist.shows("again-130");
    typist.types("exit 5\n");
    assert_eq!(typist.ends().code(), Some(5));
    typist.is_as_before();
}

#[test]
fn the_terminal_is_restored_when_a_signal_ends_us_or_the_agent_does() {
    let (mut cluster, id) = cluster_with("sleep 1000");
    let mut typist = Typist::start(&cluster, &id, &["sh", "-c", "echo here; sleep 1000"]);
    typist.shows("here");
    assert!(!typist.modes().local_flags.contains(LocalFlags::ICANON), "it is raw while the command runs");
    kill(Pid::from_raw(typist.client.id().cast_signed()), Signal::SIGTERM).expect("it runs");
    assert_eq!(typist.ends().code(), Some(128 + 15));
    typist.is_as_before();

    let mut typist = Typist::start(&cluster, &id, &["sh", "-c", "echo here; sleep 1000"]);
    typist.shows("here");
    cluster.agents[0].kill();
    assert_eq!(typist.ends().code(), Some(1));
    typist.is_as_before();
}
