use chapada_harness::{Authority, Certificate};
use tokio::io::{DuplexStream, duplex};
use tokio::time::Instant;

use super::*;

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn acceptor(places: usize) -> (Acceptor, Certificate, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let Certificate { cert, key, ca } = Authority::new(folder.path(), "ca").issue("m1", &["m1.example"]);
    let (tls_cert, tls_key) = (Some(cert.clone()), Some(key.clone()));
    let config = TlsConfig { tls_cert, tls_key, ..TlsConfig::default() };
    let made = Acceptor::looking_every(&config, Duration::ZERO, places);
    (made.expect("good files").expect("a certificate"), Certificate { cert, key, ca }, folder)
}

/// Who calls and says nothing more than the beginning of a handshake.
async fn begun() -> (DuplexStream, DuplexStream) {
    let (mut near, far) = duplex(1024);
    near.write_all(&[crate::HANDSHAKE_BYTE, 3]).await.expect("there is room");
    (near, far)
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_does_not_go_on_is_cut_and_sooner_where_others_wait() {
    for (places, seconds) in [(5, 10), (1, 3)] {
        let (acceptor, ..) = acceptor(places);
        let (_near, far) = begun().await;
        let began = Instant::now();
        let error = acceptor.accept(far, HERE).await.expect_err("nothing comes");
        assert!(matches!(error, HandshakeError::Slow(_)), "{error}");
        assert_eq!(began.elapsed().as_secs(), seconds, "with {places} places: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn beyond_the_cap_a_caller_waits_unread_for_a_place_and_not_for_ever() {
    let (acceptor, ..) = acceptor(1);
    let (_near, far) = begun().await;
    let first = acceptor.clone();
    let first = tokio::spawn(async move { first.accept(far, HERE).await.map(drop) });
    tokio::task::yield_now().await;
    let (mut near, mut far) = begun().await;
    let waiting = tokio::time::timeout(Duration::from_secs(2), acceptor.accept(&mut far, HERE)).await;
    assert!(waiting.is_err(), "it waits");
    let mut unread = [0; 2];
    far.read_exact(&mut unread).await.expect("nothing was read of it");
    assert_eq!(unread, [crate::HANDSHAKE_BYTE, 3]);
    near.write_all(&unread).await.expect("there is room");
    let second = acceptor.accept(far, HERE).await.expect_err("it says as little");
    assert!(matches!(second, HandshakeError::Slow(_)), "it had its turn: {second}");
    assert!(matches!(first.await, Ok(Err(HandshakeError::Slow(_)))));

    let _all = acceptor.0.places.take(HERE).await.expect("never closed");
    let (_near, far) = begun().await;
    let began = Instant::now();
    let error = acceptor.accept(far, HERE).await.expect_err("no place");
    assert!(matches!(error, HandshakeError::Busy), "{error}");
    assert_eq!(began.elapsed(), PLACE_WITHIN);
}
