//! What is asked of a registry, over HTTP. Source: the OCI distribution specification, and Docker's of its tokens.
//!
//! The client is our own, on `reqwest`: the published one takes answers into memory whatever their size, and sends
//! credentials wherever a registry's challenge points.

mod auth;
mod error;
mod request;
mod transfer;

pub use error::RegistryError;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};
use tokio::sync::Semaphore;

use crate::credentials::Credential;
use crate::digest::Digest;
use crate::manifest::{ACCEPT, Descriptor};
use crate::reference::Reference;
use crate::settings::{Patience, Settings};
use auth::Tokens;

/// More than any real manifest, list or configuration.
pub(crate) const MAX_DOCUMENT: u64 = 4 << 20;
/// Transfers from one registry at once: what Docker does. A registry that hangs holds only these.
const TRANSFERS: usize = 3;

/// All registries.
#[derive(Debug)]
pub(crate) struct Registries {
    client: reqwest::Client,
    plain_http: Vec<String>,
    patience: Patience,
    tokens: Tokens,
    transfers: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// One repository, and who asks.
#[derive(Clone, Debug)]
pub(crate) struct Repository {
    host: String,
    name: String,
    credential: Option<Credential>,
}

impl Repository {
    pub(crate) fn new(reference: &Reference, host: &str, credential: Option<Credential>) -> Self {
        Self { host: host.to_owned(), name: reference.repository().to_owned(), credential }
    }

    /// Where it is.
    pub(crate) fn place(&self) -> String {
        format!("{}/{}", self.host, self.name)
    }
}

impl Registries {
    /// # Errors
    /// When the certificates of authorities cannot be read.
    pub(crate) fn new(settings: &Settings) -> Result<Self, RegistryError> {
        let mut builder = reqwest::Client::builder()
            .connect_timeout(settings.patience.connect)
            .read_timeout(settings.patience.stall)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("chapada/", env!("CARGO_PKG_VERSION")));
        if let Some(pem) = &settings.authorities {
            let authorities =
                reqwest::Certificate::from_pem_bundle(pem).map_err(RegistryError::Authorities)?;
            builder = builder.tls_certs_merge(authorities);
        }
        Ok(Self {
            client: builder.build().map_err(RegistryError::Authorities)?,
            plain_http: settings.plain_http.clone(),
            patience: settings.patience,
            tokens: Tokens::default(),
            transfers: Mutex::default(),
        })
    }

    /// A manifest or list, by tag or digest, and its digest, which is that of the bytes.
    pub(crate) async fn manifest(
        &self,
        repository: &Repository,
        target: &str,
    ) -> Result<(Digest, Bytes), RegistryError> {
        let url = self.address(repository, &format!("manifests/{target}"))?;
        let headers = [(http::header::ACCEPT, HeaderValue::from_static(ACCEPT))];
        let (said, bytes) = self.persist(|| self.document(repository, &url, &headers)).await?;
        let expected = target.parse().ok().or(said);
        let found = expected.as_ref().map_or_else(|| Digest::of(&bytes), |expected| sum(expected, &bytes));
        match expected {
            Some(expected) if expected != found => Err(RegistryError::WrongDigest { expected, found }),
            Some(_) | None => Ok((found, bytes)),
        }
    }

    /// A small blob, a configuration.
    pub(crate) async fn blob(
        &self,
        repository: &Repository,
        descriptor: &Descriptor,
    ) -> Result<Bytes, RegistryError> {
        if descriptor.size > MAX_DOCUMENT {
            return Err(RegistryError::TooLarge { limit: MAX_DOCUMENT });
        }
        let url = self.address(repository, &format!("blobs/{}", descriptor.digest))?;
        let (_, bytes) = self.persist(|| self.document(repository, &url, &[])).await?;
        let found = sum(&descriptor.digest, &bytes);
        if found == descriptor.digest {
            return Ok(bytes);
        }
        Err(RegistryError::WrongDigest { expected: descriptor.digest.clone(), found })
    }

    /// Brings a blob to a file that is not there yet, and goes on where a broken transfer ended.
    pub(crate) async fn download(
        &self,
        repository: &Repository,
        descriptor: &Descriptor,
        file: &Path,
    ) -> Result<(), RegistryError> {
        let transfers = self.transfers(&repository.host);
        let url = self.address(repository, &format!("blobs/{}", descriptor.digest))?;
        let _permit = transfers.acquire().await.map_err(|_| RegistryError::Stopped)?;
        let mut part = transfer::Part::create(file, descriptor).await?;
        let mut attempt = 1;
        loop {
            let before = part.length();
            match self.fetch(repository, &url, &mut part).await {
                Ok(()) => return part.finish().await,
                Err(error) if !error.is_passing() || attempt >= self.patience.attempts => return Err(error),
                Err(error) => {
                    // A transfer that gets on is not an attempt that failed.
                    attempt = if part.length() > before { 1 } else { attempt + 1 };
                    tracing::debug!(registry = repository.host, %error, bytes = part.length(), "a transfer broke");
                    self.pause(attempt).await;
                }
            }
        }
    }

    async fn fetch(
        &self,
        repository: &Repository,
        url: &Url,
        part: &mut transfer::Part,
    ) -> Result<(), RegistryError> {
        let headers: Vec<(HeaderName, HeaderValue)> = part.range().into_iter().collect();
        let response = self.get(repository, url, &headers).await?;
        part.take(response, self.patience.stall).await
    }

    async fn document(
        &self,
        repository: &Repository,
        url: &Url,
        headers: &[(HeaderName, HeaderValue)],
    ) -> Result<(Option<Digest>, Bytes), RegistryError> {
        let response = self.get(repository, url, headers).await?;
        let said = response.headers().get("docker-content-digest");
        let said = said.and_then(|digest| digest.to_str().ok()?.parse().ok());
        Ok((said, transfer::document(response, MAX_DOCUMENT, self.patience.stall).await?))
    }

    /// Tries again what may go better.
    async fn persist<T, F>(&self, mut ask: impl FnMut() -> F) -> Result<T, RegistryError>
    where
        F: Future<Output = Result<T, RegistryError>>,
    {
        let mut attempt = 1;
        loop {
            match ask().await {
                Err(error) if error.is_passing() && attempt < self.patience.attempts => {
                    tracing::debug!(%error, attempt, "asking the registry again");
                    attempt += 1;
                    self.pause(attempt).await;
                }
                result => return result,
            }
        }
    }

    async fn pause(&self, attempt: u32) {
        let doublings = attempt.saturating_sub(2).min(6);
        tokio::time::sleep(self.patience.first_pause * 2u32.pow(doublings)).await;
    }

    fn address(&self, repository: &Repository, rest: &str) -> Result<Url, RegistryError> {
        let Repository { host, name, .. } = repository;
        let scheme = if self.plain_http.contains(host) { "http" } else { "https" };
        let url = Url::parse(&format!("{scheme}://{host}/v2/{name}/{rest}"));
        let url = url.map_err(|_| RegistryError::Address(host.clone()))?;
        request::check_address(&url, &self.plain_http)?;
        Ok(url)
    }

    fn transfers(&self, host: &str) -> Arc<Semaphore> {
        let mut transfers = self.transfers.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that nobody waits for can be made again.
        transfers.retain(|_, semaphore| Arc::strong_count(semaphore) > 1);
        transfers.entry(host.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(TRANSFERS))).clone()
    }
}

fn sum(like: &Digest, bytes: &[u8]) -> Digest {
    let mut sum = like.summing();
    sum.update(bytes);
    sum.finish()
}
