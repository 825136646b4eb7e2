//! A GET whose status is all that matters. Redirects are followed as long as they stay with the task: one that leads
//! elsewhere is the answer, so that no task can make the agent ask others.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{HOST, LOCATION, USER_AGENT};
use http::{Request, Response};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use url::{Host, Position, Url};

use super::network::{ConnectError, Network, connect};
use super::tls;

/// Redirects in a row.
const MOST_REDIRECTS: usize = 10;
/// A response head that is longer is no answer.
const MOST_HEAD_BYTES: usize = 64 * 1024;

/// What to get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    pub(super) tls: bool,
    /// Starts with a slash.
    pub(super) path: String,
}

/// Why there is no status.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    #[error("{0}")]
    Connect(#[from] ConnectError),
    #[error("no TLS: {0}")]
    Tls(std::io::Error),
    #[error("no HTTP: {0}")]
    Http(#[from] hyper::Error),
    #[error("not a path: {0}")]
    Path(#[from] http::Error),
    #[error("more than {MOST_REDIRECTS} redirects")]
    Redirects,
}

/// The status of the response, after redirects.
pub(super) async fn get(network: Network, mut target: Target) -> Result<u32, HttpError> {
    for _ in 0..=MOST_REDIRECTS {
        let response = get_once(network, &target).await?;
        match redirect(&target, &response) {
            Some(next) => target = next,
            None => return Ok(response.status().as_u16().into()),
        }
    }
    Err(HttpError::Redirects)
}

async fn get_once(network: Network, target: &Target) -> Result<Response<Incoming>, HttpError> {
    let stream = connect(network, target.address).await?;
    if target.tls {
        let stream = tls::wrap(stream, target.address.ip()).await.map_err(HttpError::Tls)?;
        return ask(stream, target).await;
    }
    ask(stream, target).await
}

/// Reads no more than the head; the connection ends with the answer.
async fn ask(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    target: &Target,
) -> Result<Response<Incoming>, HttpError> {
    let request = Request::get(target.path.as_str())
        .header(HOST, target.address.to_string())
        .header(USER_AGENT, concat!("chapada/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())?;
    let mut builder = http1::Builder::new();
    let (mut sender, connection) =
        builder.max_buf_size(MOST_HEAD_BYTES).handshake(TokioIo::new(stream)).await?;
    let answered = sender.send_request(request);
    tokio::select! {
        biased;
        response = answered => Ok(response?),
        Err(error) = connection => Err(error.into()),
    }
}

/// Where a redirect leads, if it stays with the task.
fn redirect(from: &Target, response: &Response<Incoming>) -> Option<Target> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    follow(from, response.headers().get(LOCATION)?.to_str().ok()?)
}

fn follow(from: &Target, location: &str) -> Option<Target> {
    let scheme = if from.tls { "https" } else { "http" };
    let base = Url::parse(&format!("{scheme}://{}{}", from.address, from.path)).ok()?;
    let url = base.join(location).ok()?;
    let is_itself = match url.host()? {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(ip) => ip == from.address.ip(),
        Host::Ipv6(ip) => ip == from.address.ip(),
    };
    let tls = match url.scheme() {
        "http" => false,
        "https" => true,
        _ => return None,
    };
    let address = SocketAddr::new(from.address.ip(), url.port_or_known_default()?);
    is_itself.then(|| Target {
        address,
        tls,
        path: url[Position::BeforePath..Position::AfterQuery].to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    fn target(port: u16, path: &str) -> Target {
        Target { address: SocketAddr::from(([127, 0, 0, 1], port)), tls: false, path: path.to_owned() }
    }

    #[test]
    fn redirects_stay_with_the_task() {
        let from = target(80, "/a/b?c");
        let cases = [
            ("/x", Some(target(80, "/x"))),
            ("x?y", Some(target(80, "/a/x?y"))),
            ("http://127.0.0.1:81/x?y#z", Some(target(81, "/x?y"))),
            ("http://localhost", Some(target(80, "/"))),
            ("https://127.0.0.1/x", Some(Target { tls: true, ..target(443, "/x") })),
            ("http://169.254.169.254/latest", None),
            ("//10.0.0.1/x", None),
            ("ftp://127.0.0.1/x", None),
            ("http://127.0.0.1@10.0.0.1/", None),
        ];
        for (location, expected) in cases {
            assert_eq!(follow(&from, location), expected, "{location}");
        }
    }

    /// A server that answers one request after the other with these.
    async fn server(answers: Vec<&'static str>) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 1024];
                assert!(stream.read(&mut request).await.unwrap() > 0);
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        port
    }

    async fn status(answers: &[&'static str]) -> Result<u32, HttpError> {
        get(Network::Host { agent: 0 }, target(server(answers.to_vec()).await, "/")).await
    }

    #[tokio::test]
    async fn the_head_is_the_answer() {
        assert_eq!(status(&["HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n"]).await.unwrap(), 200);
        assert_eq!(status(&["HTTP/1.1 503 No\r\n\r\n"]).await.unwrap(), 503);
        assert!(matches!(status(&["SSH-2.0-x\r\n\r\n"]).await, Err(HttpError::Http(_))));
        let moved = "HTTP/1.1 302 Found\r\nlocation: /up\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(status(&[moved, "HTTP/1.1 204 x\r\n\r\n"]).await.unwrap(), 204);
        let away = "HTTP/1.1 302 Found\r\nlocation: http://192.0.2.1/up\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(status(&[away]).await.unwrap(), 302);
        assert!(matches!(status(&[moved; 11]).await, Err(HttpError::Redirects)));
    }
}
