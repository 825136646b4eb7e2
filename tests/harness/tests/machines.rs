//! The machines of a test reach each other, and nothing is left of them.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;

use chapada_harness::Hub;
use nix::sched::{CloneFlags, setns};

#[test]
fn a_machine_reaches_the_hub_by_its_own_address() {
    let mut hub = Hub::enter();
    let machine = hub.machine();
    let path = PathBuf::from("/run/netns").join(&machine.name);
    let listener = TcpListener::bind((Hub::IP, 0)).expect("the hub has its address");
    let port = listener.local_addr().expect("bound").port();
    let inside = File::open(&path).expect("the machine's namespace");
    let client = std::thread::spawn(move || {
        setns(&inside, CloneFlags::CLONE_NEWNET).expect("root may enter a namespace");
        TcpStream::connect((Hub::IP, port))
            .expect("the bridge carries it")
            .write_all(b"hello")
            .expect("sent");
    });
    let (mut stream, peer) = listener.accept().expect("it arrives");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("read to the end");
    client.join().expect("the client ended well");
    assert_eq!((text.as_str(), peer.ip()), ("hello", machine.ip.into()));
    drop(machine);
    drop(hub);
    assert!(!path.exists(), "the namespace is gone");
}
