//! Who we are to a registry: its challenge, and what is shown in return.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use serde::Deserialize;
use tokio::time::Instant;

use super::request::{check_address, host_of};
use super::{Registries, RegistryError, Repository, transfer};
use crate::credentials::Credential;

/// What a token is good for unless it says so. Source: Docker's token specification.
const DEFAULT_LIFE: Duration = Duration::from_secs(60);
/// A token is not used for the last part of its life, which may pass on the way.
const MARGIN: Duration = Duration::from_secs(10);
const MAX_TOKEN: u64 = 1 << 20;
/// Repositories whose tokens are remembered.
const REMEMBERED: usize = 256;

/// What a registry asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

/// What is shown to it.
#[derive(Clone)]
pub(super) struct Proof {
    value: String,
    until: Option<Instant>,
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proof(…)")
    }
}

impl Proof {
    pub(super) fn header(&self) -> Result<HeaderValue, RegistryError> {
        let value = HeaderValue::from_str(&self.value);
        let mut value = value.map_err(|_| RegistryError::Denied { host: "that gave a token".to_owned() })?;
        value.set_sensitive(true);
        Ok(value)
    }

    fn basic(user: &str, password: &str) -> Self {
        let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        Self { value: format!("Basic {encoded}"), until: None }
    }
}

/// What was shown with success.
#[derive(Debug, Default)]
pub(super) struct Tokens(Mutex<HashMap<Key, Proof>>);

/// Registry, repository, and who asks.
type Key = (String, String, Option<Credential>);

impl Tokens {
    pub(super) fn get(&self, repository: &Repository) -> Option<Proof> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let proof = known.get(&key(repository))?;
        proof.until.is_none_or(|until| until > Instant::now()).then(|| proof.clone())
    }

    pub(super) fn keep(&self, repository: &Repository, proof: Proof) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(key(repository), proof);
    }
}

fn key(repository: &Repository) -> Key {
    (repository.host.clone(), repository.name.clone(), repository.credential.clone())
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

impl Registries {
    /// Answers a challenge. Credentials are only sent with TLS, or where an operator allows to go without.
    pub(super) async fn prove(
        &self,
        repository: &Repository,
        challenge: Challenge,
    ) -> Result<Proof, RegistryError> {
        match (challenge, &repository.credential) {
            (Challenge::Basic, Some(Credential::Password { user, password })) => {
                Ok(Proof::basic(user, password))
            }
            (Challenge::Basic, _) => Err(RegistryError::Denied { host: repository.host.clone() }),
            (Challenge::Bearer { realm, service, scope }, credential) => {
                let misspoken = || RegistryError::Misspoken {
                    host: repository.host.clone(),
                    reason: "a realm that is no address",
                };
                let realm = Url::parse(&realm).map_err(|_| misspoken())?;
                check_address(&realm, &self.plain_http)?;
                let scope = scope.unwrap_or_else(|| format!("repository:{}:pull", repository.name));
                let named = service.iter().map(|service| ("service", service.as_str()));
                let parameters: Vec<(&str, &str)> = named.chain([("scope", scope.as_str())]).collect();
                self.token(realm, &parameters, credential.as_ref()).await
            }
        }
    }

    async fn token(
        &self,
        mut realm: Url,
        parameters: &[(&str, &str)],
        credential: Option<&Credential>,
    ) -> Result<Proof, RegistryError> {
        let asked = Instant::now();
        let request = match credential {
            Some(Credential::IdentityToken(identity)) => {
                let more =
                    [("grant_type", "refresh_token"), ("client_id", "chapada"), ("refresh_token", identity)];
                let mut form = Url::parse("form:").map_err(|_| RegistryError::Stopped)?;
                form.query_pairs_mut().extend_pairs(parameters.iter().chain(&more));
                let body = form.query().unwrap_or_default().to_owned();
                let request = self.client.post(realm.clone());
                request.header("content-type", "application/x-www-form-urlencoded").body(body)
            }
            Some(Credential::Password { user, password }) => {
                realm.query_pairs_mut().extend_pairs(parameters).append_pair("account", user);
                self.client.get(realm.clone()).header("authorization", Proof::basic(user, password).header()?)
            }
            None => {
                realm.query_pairs_mut().extend_pairs(parameters);
                self.client.get(realm.clone())
            }
        };
        let response = self.send(request, &realm).await?;
        let host = host_of(&realm);
        match response.status().as_u16() {
            200..=299 => {}
            400 | 401 | 403 => return Err(RegistryError::Denied { host }),
            status => return Err(RegistryError::Refused { host, status }),
        }
        let body = transfer::document(response, MAX_TOKEN, self.patience.stall).await?;
        let token = serde_json::from_slice::<Token>(&body).ok();
        let life =
            token.as_ref().and_then(|token| token.expires_in).map_or(DEFAULT_LIFE, Duration::from_secs);
        let token = token.and_then(|token| token.token.or(token.access_token));
        let token = token.ok_or(RegistryError::Misspoken { host, reason: "no token" })?;
        let until = asked.checked_add(life.saturating_sub(MARGIN));
        Ok(Proof { value: format!("Bearer {token}"), until })
    }
}

impl Challenge {
    pub(super) fn of(headers: &HeaderMap, host: &str) -> Result<Self, RegistryError> {
        let texts = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let mut found: Vec<Self> = texts.filter_map(Self::parse).collect();
        // A token says less than a password.
        found.sort_by_key(|challenge| matches!(challenge, Self::Basic));
        let reason = "it wants to know who asks and does not say how";
        found.into_iter().next().ok_or_else(|| RegistryError::Misspoken { host: host.to_owned(), reason })
    }

    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut parameters = parameters(rest);
        let realm = parameters.remove("realm")?;
        Some(Self::Bearer { realm, service: parameters.remove("service"), scope: parameters.remove("scope") })
    }
}

/// `name="value with , and \" in it", other=plain`.
fn parameters(mut text: &str) -> HashMap<String, String> {
    let mut found = HashMap::new();
    while let Some((name, rest)) = text.split_once('=') {
        let name = name.trim_matches([' ', ',', '\t']).to_ascii_lowercase();
        let mut value = String::new();
        match rest.trim_start().strip_prefix('"') {
            Some(quoted) => {
                let mut characters = quoted.char_indices();
                let mut end = quoted.len();
                while let Some((index, character)) = characters.next() {
                    match character {
                        '"' => {
                            end = index + 1;
                            break;
                        }
                        '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
                        plain => value.push(plain),
                    }
                }
                text = &quoted[end..];
            }
            None => {
                let (plain, after) = rest.split_once(',').unwrap_or((rest, ""));
                value.push_str(plain.trim());
                text = after;
            }
        }
        found.insert(name, value);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let text = r#"Bearer realm="https://auth.example/token?x=1",service="r, \"one\"",scope="repository:a/b:pull,push""#;
        let expected = Challenge::Bearer {
            realm: "https://auth.example/token?x=1".to_owned(),
            service: Some("r, \"one\"".to_owned()),
            scope: Some("repository:a/b:pull,push".to_owned()),
        };
        assert_eq!(Challenge::parse(text), Some(expected));
        assert_eq!(Challenge::parse("basic realm=\"x\""), Some(Challenge::Basic));
        let plain =
            Challenge::Bearer { realm: "https://a".to_owned(), service: Some("s".to_owned()), scope: None };
        assert_eq!(Challenge::parse("BEARER realm=https://a, service=s"), Some(plain));
        for bad in ["Negotiate abc", "Bearer", "Bearer service=x", "", "Bearer realm"] {
            assert_eq!(Challenge::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_proof_shows_nothing() {
        let proof = Proof::basic("me", "canary");
        let shown = format!("{proof:?} {:?}", proof.header().unwrap());
        assert!(!shown.contains("canary") && !shown.contains(&proof.value), "{shown}");
    }
}
