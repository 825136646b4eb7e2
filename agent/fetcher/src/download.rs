//! Over HTTP and HTTPS.

use std::fs::File;
use std::io::Write;
use std::time::Duration;

use reqwest::header::LOCATION;
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use tokio::time::timeout;
use url::Url;

use crate::addresses::{Denied, Destination};
use crate::checksum::Sum;
use crate::error::FetchError;
use crate::meter::Meter;

/// Redirects in a row.
const MOST_REDIRECTS: usize = 10;

/// Gets what is at `url`, from no address that is denied.
pub(crate) async fn download(
    url: &Url,
    denied: &Denied,
    to: &mut File,
    sum: &mut Sum,
    meter: &mut Meter,
) -> Result<(), FetchError> {
    let stall = meter.stall_seconds();
    let patience = Duration::from_secs(stall);
    let mut response = follow(url, denied, patience).await?;
    if response.status() != StatusCode::OK {
        return Err(FetchError::Status(response.status().as_u16()));
    }
    let announced = response.content_length();
    let mut length = 0;
    loop {
        let chunk = timeout(patience, response.chunk()).await.map_err(|_| FetchError::Stalled(stall))?;
        let Some(chunk) = chunk.map_err(failed)? else { break };
        meter.add_bytes(chunk.len() as u64)?;
        length += chunk.len() as u64;
        sum.add(&chunk);
        to.write_all(&chunk).map_err(FetchError::io("cannot write it"))?;
    }
    match announced {
        Some(announced) if announced != length => {
            Err(FetchError::Network(format!("it has {length} bytes, not {announced}")))
        }
        Some(_) | None => Ok(()),
    }
}

/// The answer, wherever redirects lead. Each of them is looked at as the first was; a server of the network cannot send us
/// to this machine itself.
async fn follow(url: &Url, denied: &Denied, patience: Duration) -> Result<Response, FetchError> {
    let mut url = url.clone();
    let mut was_near = None;
    for _ in 0..=MOST_REDIRECTS {
        let destination = Destination::of(&url, denied, patience).await?;
        if destination.is_near() && !*was_near.get_or_insert_with(|| destination.is_near()) {
            return Err(refused("it is redirected to an address of the machine itself"));
        }
        was_near.get_or_insert(false);
        let response = ask(&url, &destination, patience).await?;
        let Some(next) = next(&url, &response)? else { return Ok(response) };
        url = next;
    }
    Err(refused("too many redirects"))
}

async fn ask(url: &Url, destination: &Destination, patience: Duration) -> Result<Response, FetchError> {
    let mut client = Client::builder()
        .no_proxy()
        .connect_timeout(patience)
        .user_agent(concat!("chapada/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none());
    if let Some(name) = &destination.name {
        client = client.resolve_to_addrs(name, &destination.addresses);
    }
    let asked = timeout(patience, client.build().map_err(failed)?.get(url.clone()).send()).await;
    asked.map_err(|_| FetchError::Stalled(patience.as_secs()))?.map_err(failed)
}

/// Where an answer sends us; `None` for one that does not.
fn next(url: &Url, response: &Response) -> Result<Option<Url>, FetchError> {
    let is_redirect = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let Some(location) = response.headers().get(LOCATION).filter(|_| is_redirect) else { return Ok(None) };
    let next = location.to_str().ok().and_then(|location| url.join(location).ok());
    match next {
        Some(next) if matches!(next.scheme(), "http" | "https") => Ok(Some(next)),
        Some(_) => Err(refused("it is redirected to another scheme")),
        None => Err(refused("it is redirected to what is no URL")),
    }
}

fn refused(why: &str) -> FetchError {
    FetchError::Network(why.to_owned())
}

fn failed(error: reqwest::Error) -> FetchError {
    FetchError::Network(reason(&error.without_url()))
}

/// The innermost reason, which says what happened.
fn reason(error: &reqwest::Error) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::{SocketAddr, TcpListener};
    use std::thread;

    use super::*;
    use crate::addresses::AddressRange;

    /// Answers each request by its path: `/to/URL` with a redirect there, anything else with its own path and credentials.
    fn server() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
                let path = head[0].split(' ').nth(1).unwrap();
                let has_password = head.iter().any(|line| line.to_lowercase().starts_with("authorization"));
                let body = format!("{path} {has_password}");
                let answer = match path.strip_prefix("/to/") {
                    Some(to) => format!("302 Found\r\nlocation: {to}\r\ncontent-length: 0"),
                    None => format!("200 OK\r\ncontent-length: {}", body.len()),
                };
                // Whoever has heard enough may be gone.
                let _ = write!(stream, "HTTP/1.1 {answer}\r\nconnection: close\r\n\r\n{body}");
            }
        });
        address
    }

    async fn got(path: &str, denied: &[AddressRange]) -> Result<String, FetchError> {
        let url = format!("http://me:password@{}{path}", server());
        let denied = Denied { ranges: denied.to_vec(), agent_port: None };
        let followed = follow(&Url::parse(&url).unwrap(), &denied, Duration::from_secs(20)).await?;
        followed.text().await.map_err(failed)
    }

    #[tokio::test]
    async fn a_redirect_is_followed_without_the_password_of_the_one_before() {
        assert_eq!(got("/x", &[]).await.unwrap(), "/x true");
        assert_eq!(got("/to//y", &[]).await.unwrap(), "/y true", "the same server");
        let other = server();
        assert_eq!(got(&format!("/to/http://{other}/z"), &[]).await.unwrap(), "/z false");
    }

    #[tokio::test]
    async fn a_redirect_leads_to_no_address_that_is_denied_nor_elsewhere() {
        let links = AddressRange::LINK_LOCAL;
        for (path, said) in [
            ("/to/http://169.254.169.254/latest/meta-data", "169.254.169.254, which the agent's operator"),
            ("/to/http://[::ffff:169.254.169.254]/", "does not allow"),
            ("/to/http://[fe80::1]/", "does not allow"),
            ("/to/file:///etc/passwd", "another scheme"),
            ("/to/http://[/", "no URL"),
        ] {
            let error = got(path, &links).await.unwrap_err().to_string();
            assert!(error.contains(said) && !error.contains("password"), "{path}: {error}");
        }
        let here = server();
        let round: String = std::iter::repeat_n(format!("/to/http://{here}"), MOST_REDIRECTS + 1).collect();
        assert!(got(&round, &[]).await.unwrap_err().to_string().contains("too many redirects"));
    }
}
