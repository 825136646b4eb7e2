//! One request: with what the registry wants to see, and to where it sends us.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Response, StatusCode, Url};

use super::auth::{Challenge, Proof};
use super::{Registries, RegistryError, Repository};

/// Storage behind a registry is one away, seldom two.
const REDIRECTS: usize = 5;

impl Registries {
    /// A successful answer, or why there is none.
    pub(super) async fn get(
        &self,
        repository: &Repository,
        url: &Url,
        headers: &[(HeaderName, HeaderValue)],
    ) -> Result<Response, RegistryError> {
        let known = self.tokens.get(repository);
        let response = self.follow(url, headers, known.as_ref()).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return judge(response);
        }
        let challenge = Challenge::of(response.headers(), &repository.host)?;
        let proof = self.prove(repository, challenge).await?;
        let response = self.follow(url, headers, Some(&proof)).await?;
        if response.status().is_success() {
            self.tokens.keep(repository, proof);
        }
        judge(response)
    }

    /// Goes where it is sent. The proof is for the registry alone, not for the storage behind it.
    async fn follow(
        &self,
        url: &Url,
        headers: &[(HeaderName, HeaderValue)],
        proof: Option<&Proof>,
    ) -> Result<Response, RegistryError> {
        let mut here = url.clone();
        for _ in 0..=REDIRECTS {
            let mut all: HeaderMap = headers.iter().cloned().collect();
            if let Some(proof) = proof.filter(|_| here.origin() == url.origin()) {
                all.insert(AUTHORIZATION, proof.header()?);
            }
            let response = self.send(self.client.get(here.clone()).headers(all), &here).await?;
            if !response.status().is_redirection() || response.status() == StatusCode::NOT_MODIFIED {
                return Ok(response);
            }
            let target = response.headers().get(LOCATION).and_then(|target| target.to_str().ok());
            let target = target.and_then(|target| here.join(target).ok());
            here = target.ok_or_else(|| misspoken(&here, "a redirect to nowhere"))?;
            check_address(&here, &self.plain_http)?;
        }
        Err(misspoken(url, "too many redirects"))
    }

    pub(super) async fn send(
        &self,
        request: reqwest::RequestBuilder,
        url: &Url,
    ) -> Result<Response, RegistryError> {
        request.send().await.map_err(|error| unreachable(url, error))
    }
}

/// Turns an error of the connection into one that names the host and nothing else of the address.
pub(super) fn unreachable(url: &Url, error: reqwest::Error) -> RegistryError {
    let host = host_of(url);
    // A connection that is not made within its time is not one that stalls.
    if error.is_timeout() && !error.is_connect() {
        return RegistryError::Stalled { host };
    }
    RegistryError::Unreachable { host, source: error.without_url() }
}

fn judge(response: Response) -> Result<Response, RegistryError> {
    let host = host_of(response.url());
    match response.status() {
        status if status.is_success() => Ok(response),
        StatusCode::NOT_FOUND => Err(RegistryError::NotFound { host }),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(RegistryError::Denied { host }),
        status => Err(RegistryError::Refused { host, status: status.as_u16() }),
    }
}

/// Whether an address may be spoken to: with TLS unless an operator said otherwise, and never the addresses that
/// machines of a cloud ask about themselves.
pub(super) fn check_address(url: &Url, plain_http: &[String]) -> Result<(), RegistryError> {
    let host = host_of(url);
    let secure = match url.scheme() {
        "https" => true,
        "http" => {
            let port = url.port_or_known_default().unwrap_or_default();
            let full = format!("{}:{port}", url.host_str().unwrap_or_default());
            plain_http.iter().any(|allowed| *allowed == host || *allowed == full)
        }
        _ => false,
    };
    if !secure {
        return Err(RegistryError::Forbidden { host, reason: "not to be spoken to without TLS" });
    }
    let address = url.host_str().unwrap_or_default().trim_matches(['[', ']']).parse::<IpAddr>();
    if address.is_ok_and(is_link_local) {
        return Err(RegistryError::Forbidden { host, reason: "an address of this link only" });
    }
    Ok(())
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => Ipv4Addr::is_link_local(&address),
        IpAddr::V6(address) => {
            let mapped = address.to_ipv4_mapped().is_some_and(|address| address.is_link_local());
            Ipv6Addr::is_unicast_link_local(&address) || mapped
        }
    }
}

/// `host[:port]`, as a reference has it.
pub(super) fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn misspoken(url: &Url, reason: &'static str) -> RegistryError {
    RegistryError::Misspoken { host: host_of(url), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_safe_addresses_are_spoken_to() {
        let allowed = ["127.0.0.1:5000".to_owned()];
        let fine = |text: &str| check_address(&Url::parse(text).unwrap(), &allowed).is_ok();
        assert!(
            fine("https://r.example/v2/") && fine("http://127.0.0.1:5000/v2/") && fine("https://10.0.0.1/")
        );
        for bad in [
            "http://r.example/",
            "http://127.0.0.1:5001/",
            "http://127.0.0.1/",
            "https://169.254.169.254/latest/meta-data/",
            "https://[fe80::1]/",
            "https://[::ffff:169.254.169.254]/",
            "https://2852039166/",
            "file:///etc/passwd",
            "unix:/run/x.sock",
        ] {
            assert!(!fine(bad), "{bad}");
        }
    }
}
