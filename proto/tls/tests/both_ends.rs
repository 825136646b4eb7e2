//! Both ends over real connections: who is believed, what is said when somebody is not, and certificates that change.

use std::io;
use std::net::SocketAddr;

use chapada_harness::{Authority, Certificate};
use chapada_tls::{Acceptor, Dialer, TlsConfig, TlsFiles};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Two authorities that know nothing of each other.
struct Signed {
    ours: Authority,
    others: Authority,
    _folder: tempfile::TempDir,
}

impl Signed {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (ours, others) = (Authority::new(folder.path(), "ours"), Authority::new(folder.path(), "others"));
        Self { ours, others, _folder: folder }
    }

    fn dialer(&self, shown: Option<&Certificate>) -> Dialer {
        let files = TlsFiles {
            tls_ca: Some(self.ours.file().to_owned()),
            tls_cert: shown.map(|shown| shown.cert.clone()),
            tls_key: shown.map(|shown| shown.key.clone()),
        };
        Dialer::with(&files).expect("good files")
    }
}

fn shows(certificate: &Certificate) -> TlsConfig {
    let Certificate { cert, key, ca } = certificate.clone();
    TlsConfig { tls_cert: Some(cert), tls_key: Some(key), tls_ca: Some(ca), ..TlsConfig::default() }
}

fn requires(certificate: &Certificate) -> TlsConfig {
    TlsConfig { tls_require_client_cert: true, ..shows(certificate) }
}

/// A port that answers each connection with `well` and ends it.
async fn port(config: &TlsConfig) -> SocketAddr {
    let acceptor = Acceptor::new(config).expect("good files").expect("a certificate");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream, [127, 0, 0, 1].into()).await?;
                let mut asked = [0; 4];
                stream.read_exact(&mut asked).await.map_err(chapada_tls::HandshakeError::Failed)?;
                stream.write_all(b"well").await.map_err(chapada_tls::HandshakeError::Failed)?;
                stream.shutdown().await.map_err(chapada_tls::HandshakeError::Failed)
            });
        }
    });
    at
}

/// Asks, and gives the answer.
async fn ask(dialer: &Dialer, at: SocketAddr, name: &str) -> io::Result<String> {
    let mut stream = dialer.connect(at, &[name]).await?;
    stream.write_all(b"how?").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// Why there is no answer.
async fn why(dialer: &Dialer, at: SocketAddr, name: &str) -> String {
    ask(dialer, at, name).await.expect_err("no answer").to_string()
}

#[tokio::test]
async fn who_is_signed_for_by_the_same_authority_is_heard_under_its_name_and_no_other() {
    let signed = Signed::new();
    let client = signed.ours.issue("client", &[]);
    let named = port(&requires(&signed.ours.issue("named", &["m1.example"]))).await;
    let addressed = port(&requires(&signed.ours.issue("addressed", &["127.0.0.1"]))).await;
    let dialer = signed.dialer(Some(&client));
    assert_eq!(ask(&dialer, named, "m1.example").await.expect("an answer"), "well");
    assert_eq!(ask(&dialer, addressed, "127.0.0.1").await.expect("an answer"), "well");
    let said = why(&dialer, named, "m2.example").await;
    assert!(said.contains("m1.example") && said.contains("not for m2.example"), "{said}");
    let said = why(&dialer, addressed, "m1.example").await;
    assert!(said.contains("not for m1.example"), "DNS gives addresses, and names nobody: {said}");
}

#[tokio::test]
async fn who_is_not_believed_hears_why() {
    let signed = Signed::new();
    let server = signed.ours.issue("server", &["127.0.0.1"]);
    let at = port(&requires(&server)).await;
    let said = why(&signed.dialer(None), at, "127.0.0.1").await;
    assert!(said.contains("takes only callers with a certificate") && said.contains("--tls-cert"), "{said}");
    let stranger = signed.others.issue("stranger", &[]);
    let said = why(&signed.dialer(Some(&stranger)), at, "127.0.0.1").await;
    assert!(said.contains("does not know the authority"), "{said}");
    let expired = signed.ours.issue_expired("expired", &[]);
    let said = why(&signed.dialer(Some(&expired)), at, "127.0.0.1").await;
    assert!(said.contains("our certificate has expired"), "{said}");

    let dialer = signed.dialer(None);
    let at = port(&shows(&signed.others.issue("other", &["127.0.0.1"]))).await;
    let said = why(&dialer, at, "127.0.0.1").await;
    assert!(said.contains("signed by no authority of --tls-ca"), "{said}");
    let at = port(&shows(&signed.ours.issue_expired("old", &["127.0.0.1"]))).await;
    let said = why(&dialer, at, "127.0.0.1").await;
    assert!(said.contains("has expired at 2001-12-31"), "{said}");
}

#[tokio::test]
async fn who_speaks_no_tls_is_told_apart() {
    let signed = Signed::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("an address");
    let plain = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await?;
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await?;
        let (silent, _) = listener.accept().await?;
        drop(silent);
        io::Result::Ok(stream)
    });
    let dialer = signed.dialer(None);
    let said = why(&dialer, at, "127.0.0.1").await;
    assert!(said.contains("speaks no TLS here"), "{said}");
    let said = why(&dialer, at, "127.0.0.1").await;
    assert!(said.contains("hung up in the TLS handshake") || said.contains("reset"), "{said}");
    drop(plain.await);
}

#[tokio::test]
async fn a_port_that_requires_nothing_asks_for_nothing() {
    let signed = Signed::new();
    let at = port(&shows(&signed.ours.issue("server", &["127.0.0.1"]))).await;
    let stranger = signed.others.issue("stranger", &[]);
    for dialer in [signed.dialer(None), signed.dialer(Some(&stranger))] {
        assert_eq!(ask(&dialer, at, "127.0.0.1").await.expect("an answer"), "well");
    }
}
