//! Detecting by addresses: of several masters, whom `/redirect` names.

mod support;

use std::sync::{Arc, Mutex};

use chapada_coordination::{DetectError, Detector, MasterAddress, ZkOptions};
use support::soon;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Answers every request with what it is told to. Returns its address.
async fn answering(answer: Arc<Mutex<String>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
    let address = listener.local_addr().expect("a bound socket has an address").to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 1024];
            let read = stream.read(&mut request).await.unwrap_or_default();
            assert!(request[..read].starts_with(b"GET /redirect HTTP/1.1\r\n"));
            let answer = answer.lock().expect("nothing panics while it is held").clone();
            // The asker may have gone; that is no failure of the test.
            drop(stream.write_all(answer.as_bytes()).await);
        }
    });
    address
}

fn redirect(to: &str) -> String {
    format!("HTTP/1.1 307 Temporary Redirect\r\nLocation: //{to}\r\nContent-Length: 0\r\n\r\n")
}

#[tokio::test]
async fn one_address_leads_without_being_asked() {
    let address: MasterAddress = "127.0.0.1:1".parse().unwrap();
    let mut detector = Detector::start(&address, ZkOptions::default());
    assert_eq!(soon("the leader", detector.wait_for_leader()).await.socket_addr().to_string(), "127.0.0.1:1");
}

#[tokio::test]
async fn of_several_each_is_asked_until_one_names_the_leader() {
    let nobody = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_owned();
    let (first, second) = (Arc::new(Mutex::new(nobody.clone())), Arc::new(Mutex::new(nobody)));
    let hosts = [answering(first.clone()).await, answering(second.clone()).await];
    let address: MasterAddress = format!("127.0.0.1:1,{},{}", hosts[0], hosts[1]).parse().unwrap();
    let mut detector = Detector::start(&address, ZkOptions::default());
    let problem = soon("the problem", async {
        loop {
            match detector.problem() {
                Some(problem) => return problem,
                None => tokio::task::yield_now().await,
            }
        }
    })
    .await;
    assert!(matches!(&*problem, DetectError::NobodyAnswers { .. }), "{problem:?}");
    for leader in &hosts {
        *second.lock().unwrap() = redirect(leader);
        soon("the leader", async {
            while detector.leader().is_none_or(|known| known.socket_addr().to_string() != *leader) {
                detector.changed().await;
            }
        })
        .await;
    }
    assert!(detector.problem().is_none());
}

#[tokio::test]
async fn who_leads_is_believed_of_itself_before_it_is_of_another() {
    let (stale, leads) = (Arc::new(Mutex::new(String::new())), Arc::new(Mutex::new(String::new())));
    let hosts = [answering(stale.clone()).await, answering(leads.clone()).await];
    // The first has not heard of the election: it names one that does not answer any more.
    *stale.lock().unwrap() = redirect("127.0.0.1:1");
    *leads.lock().unwrap() = redirect(&hosts[1]);
    for _ in 0..20 {
        let address: MasterAddress = format!("{},{}", hosts[0], hosts[1]).parse().unwrap();
        let mut detector = Detector::start(&address, ZkOptions::default());
        let leader = soon("the leader", detector.wait_for_leader()).await;
        assert_eq!(leader.socket_addr().to_string(), hosts[1]);
    }
}

#[tokio::test]
async fn a_known_leader_is_kept_while_nobody_names_one() {
    let answer = Arc::new(Mutex::new(String::new()));
    let host = answering(answer.clone()).await;
    *answer.lock().unwrap() = redirect(&host);
    let address: MasterAddress = format!("{host},127.0.0.1:1").parse().unwrap();
    let mut detector = Detector::start(&address, ZkOptions::default());
    soon("the leader", detector.wait_for_leader()).await;
    *answer.lock().unwrap() = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_owned();
    detector.doubt();
    soon("the problem", async {
        while detector.problem().is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(detector.leader().is_some(), "its links tell when it leads no more");
}
