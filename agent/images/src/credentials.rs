//! Who to be at which registry, as `docker login` writes it down. Never shown, never stored.

use std::collections::HashMap;
use std::fmt;

use base64::Engine;
use serde::Deserialize;

/// What proves who we are at one registry.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum Credential {
    /// A name and a password.
    Password { user: String, password: String },
    /// A token that is changed for others.
    IdentityToken(String),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(…)")
    }
}

/// The credentials for any number of registries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials(HashMap<String, Credential>);

/// Why credentials cannot be used. Says nothing of what is in them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCredentials {
    /// Not what `docker login` writes.
    #[error("registry credentials are no JSON as docker's config.json (line {line}, column {column})")]
    Json {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// One entry.
    #[error(
        "the registry credentials for {registry:?} are neither auth, username and password, nor identitytoken"
    )]
    Entry {
        /// Its key.
        registry: String,
    },
    /// Programs that know passwords.
    #[error(
        "registry credentials name the helper programs of {0}, which are not run: write the credentials into auths"
    )]
    Helpers(&'static str),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    #[serde(default)]
    auths: HashMap<String, Entry>,
    creds_store: Option<serde::de::IgnoredAny>,
    cred_helpers: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

impl Credentials {
    /// Reads docker's `config.json`.
    ///
    /// # Errors
    /// [`InvalidCredentials`]; no text of the file but the names of registries is in it.
    pub fn parse(text: &[u8]) -> Result<Self, InvalidCredentials> {
        let file: File = serde_json::from_slice(text)
            .map_err(|error| InvalidCredentials::Json { line: error.line(), column: error.column() })?;
        if file.creds_store.is_some() {
            return Err(InvalidCredentials::Helpers("credsStore"));
        }
        if file.cred_helpers.is_some() {
            return Err(InvalidCredentials::Helpers("credHelpers"));
        }
        let read = |(key, entry): (String, Entry)| match credential(entry) {
            Some(credential) => Ok((registry_of(&key).to_owned(), credential)),
            None => Err(InvalidCredentials::Entry { registry: key }),
        };
        file.auths.into_iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    pub(crate) fn get(&self, registry: &str) -> Option<&Credential> {
        self.0.get(registry_of(registry))
    }
}

fn credential(entry: Entry) -> Option<Credential> {
    if let Some(token) = entry.identitytoken.filter(|token| !token.is_empty()) {
        return Some(Credential::IdentityToken(token));
    }
    if let (Some(user), Some(password)) = (entry.username, entry.password) {
        return Some(Credential::Password { user, password });
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(entry.auth?).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (user, password) = text.split_once(':')?;
    // Docker pads what it writes with zero bytes.
    Some(Credential::Password { user: user.to_owned(), password: password.trim_end_matches('\0').to_owned() })
}

/// The registry that a key of the file means; Docker's own has several names.
fn registry_of(key: &str) -> &str {
    let host = key.trim_start_matches("https://").trim_start_matches("http://");
    let host = host.split('/').next().unwrap_or_default();
    if matches!(host, "index.docker.io" | "registry-1.docker.io") { "docker.io" } else { host }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CANARY: &str = "canary-of-a-password";

    fn file(entry: &str) -> String {
        format!(r#"{{"auths":{{"https://r.example:5000/v1/":{entry}}},"HttpHeaders":{{}}}}"#)
    }

    #[test]
    fn each_way_of_writing_credentials_is_read() {
        let encoded = base64::engine::general_purpose::STANDARD.encode(format!("me:{CANARY}"));
        let password = Credential::Password { user: "me".to_owned(), password: CANARY.to_owned() };
        for entry in
            [format!(r#"{{"auth":"{encoded}"}}"#), format!(r#"{{"username":"me","password":"{CANARY}"}}"#)]
        {
            let credentials = Credentials::parse(file(&entry).as_bytes()).unwrap();
            assert_eq!(credentials.get("r.example:5000"), Some(&password));
            assert_eq!(credentials.get("other.example"), None);
        }
        let token = Credentials::parse(file(r#"{"identitytoken":"t"}"#).as_bytes()).unwrap();
        assert_eq!(token.get("r.example:5000"), Some(&Credential::IdentityToken("t".to_owned())));
        let docker = r#"{"auths":{"https://index.docker.io/v1/":{"username":"a","password":"b"}}}"#;
        assert!(Credentials::parse(docker.as_bytes()).unwrap().get("docker.io").is_some());
    }

    #[test]
    fn no_error_and_no_debug_text_shows_a_secret() {
        let good =
            Credentials::parse(file(&format!(r#"{{"username":"u","password":"{CANARY}"}}"#)).as_bytes());
        let bad = [
            file(&format!(r#"{{"auth":"{CANARY}"}}"#)),
            file(&format!(r#"{{"auth":{CANARY}}}"#)),
            format!(r#"{{"auths":"{CANARY}"}}"#),
            format!(r#"{{"credsStore":"{CANARY}"}}"#),
        ];
        let mut shown = format!("{good:?}");
        for text in bad {
            let error = Credentials::parse(text.as_bytes()).unwrap_err();
            shown.push_str(&format!("{error} {error:?}"));
        }
        assert!(!shown.contains(CANARY), "{shown}");
    }
}
