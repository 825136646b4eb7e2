//! Over HTTP and HTTPS.

use std::fs::File;
use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, StatusCode};
use tokio::time::timeout;
use url::{Host, Url};

use crate::checksum::Sum;
use crate::error::FetchError;
use crate::meter::Meter;

/// Redirects in a row.
const MOST_REDIRECTS: usize = 10;

/// Gets what is at `url`. A server of the network cannot send the agent on to the machine itself.
pub(crate) async fn download(
    url: &Url,
    to: &mut File,
    sum: &mut Sum,
    meter: &mut Meter,
) -> Result<(), FetchError> {
    let failed = |error: reqwest::Error| FetchError::Network(reason(&error.without_url()));
    let stall = meter.stall_seconds();
    let patience = Duration::from_secs(stall);
    let is_near = near(url);
    let client = Client::builder()
        .no_proxy()
        .connect_timeout(patience)
        .user_agent(concat!("chapada/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::custom(move |attempt| redirect(attempt, is_near)))
        .build()
        .map_err(failed)?;
    let asked = timeout(patience, client.get(url.clone()).send()).await;
    let mut response = asked.map_err(|_| FetchError::Stalled(stall))?.map_err(failed)?;
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

fn redirect(attempt: Attempt<'_>, was_near: bool) -> reqwest::redirect::Action {
    let refused = if attempt.previous().len() > MOST_REDIRECTS {
        "too many redirects"
    } else if !matches!(attempt.url().scheme(), "http" | "https") {
        "it is redirected to another scheme"
    } else if near(attempt.url()) && !was_near {
        "it is redirected to an address of the machine itself"
    } else {
        return attempt.follow();
    };
    attempt.error(refused)
}

/// Whether an address is one of the machine itself, or of a service that answers this machine alone.
fn near(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => ip.is_loopback() || ip.is_link_local() || ip.is_unspecified(),
        Some(Host::Ipv6(ip)) => {
            let mapped = ip.to_ipv4_mapped().map(IpAddr::from).is_some_and(|ip| ip.is_loopback());
            mapped || ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unspecified()
        }
        None => false,
    }
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
    use super::*;

    #[test]
    fn addresses_of_the_machine_are_told_apart() {
        let near = |url: &str| near(&Url::parse(url).unwrap());
        for url in [
            "http://127.0.0.1/",
            "http://localhost:5050",
            "http://169.254.169.254/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://2130706433/",
        ] {
            assert!(near(url), "{url}");
        }
        assert!(!near("http://example.org/") && !near("http://10.0.0.1/"));
    }
}
