//! Who may call at all: names and passwords from a file, asked for as HTTP basic authentication.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::pbkdf2::{PBKDF2_HMAC_SHA256, verify};
use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use http::header::{AUTHORIZATION, HeaderMap};
use tokio::sync::Semaphore;

/// Passwords that are checked against slow hashes at once, and how many calls may wait for that: guessing shall cost the
/// guesser, not the others.
const SLOW_AT_ONCE: usize = 1;
const SLOW_WAITING: usize = 32;
/// The most rounds of a hash in the file: a second or so.
const MAX_ROUNDS: u32 = 10_000_000;

/// Names with their passwords. Cheap to clone; shows nothing of them.
#[derive(Clone)]
pub struct Credentials(Arc<Inner>);

struct Inner {
    realm: String,
    open: Vec<&'static str>,
    /// Passwords are compared by their digests under this key, so that the time it takes tells nothing.
    key: [u8; 32],
    names: BTreeMap<String, Secret>,
    slow: Semaphore,
    waiting: Semaphore,
    /// The last right password of each name that has a slow hash, digested.
    proven: Mutex<BTreeMap<String, [u8; 32]>>,
}

enum Secret {
    Digest([u8; 32]),
    Slow { rounds: NonZeroU32, salt: Vec<u8>, hash: Vec<u8> },
}

/// Why a file of credentials cannot be used. No message shows a password.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// It cannot be read.
    #[error("failed to read the credentials in {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Others may read it.
    #[error("{path} may be read by others than its owner: chmod 600 it, and change the passwords in it")]
    Open {
        /// The file.
        path: PathBuf,
    },
    /// A line is none.
    #[error("line {line} of {path} {why}")]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The system has no randomness.
    #[error("the system gives no random numbers")]
    NoRandomness,
}

/// What a call's credentials are worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The name is proven.
    Known(String),
    /// There are none.
    Missing,
    /// They are wrong.
    Wrong,
    /// Too many passwords are being checked.
    Busy,
}

impl Credentials {
    /// Reads `name:password` lines; `#` begins a comment. A password may stand as
    /// `$pbkdf2-sha256$i=ROUNDS$SALT$HASH`, salt and hash in base64 without padding.
    ///
    /// # Errors
    /// [`CredentialsError`] when the file cannot be read, others may read it, or a line is none.
    pub fn read(path: &Path, realm: &str) -> Result<Self, CredentialsError> {
        let failed = |source| CredentialsError::Read { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(failed)?;
        let mode = std::fs::metadata(path).map_err(failed)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(CredentialsError::Open { path: path.to_owned() });
        }
        let mut key = [0; 32];
        rand::fill(&mut key).map_err(|_| CredentialsError::NoRandomness)?;
        let mut names = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            let wrong = |why| CredentialsError::Line { path: path.to_owned(), line: index + 1, why };
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, password) = line.split_once(':').ok_or_else(|| wrong("is not name:password"))?;
            if name.is_empty() || password.is_empty() {
                return Err(wrong("has an empty name or password"));
            }
            let secret = Secret::parse(&key, password).ok_or_else(|| wrong("has no hash that is known"))?;
            if names.insert(name.to_owned(), secret).is_some() {
                return Err(wrong("names somebody a second time"));
            }
        }
        Ok(Self(Arc::new(Inner {
            realm: realm.replace(['"', '\\', '\r', '\n'], ""),
            open: Vec::new(),
            key,
            names,
            slow: Semaphore::new(SLOW_AT_ONCE),
            waiting: Semaphore::new(SLOW_AT_ONCE + SLOW_WAITING),
            proven: Mutex::default(),
        })))
    }

    /// The same, and nobody needs any for these paths.
    #[must_use]
    pub fn open(self, paths: &[&'static str]) -> Self {
        let Some(inner) = Arc::into_inner(self.0) else {
            unreachable!("the credentials were not handed out yet")
        };
        Self(Arc::new(Inner { open: paths.to_vec(), ..inner }))
    }

    pub(crate) fn is_open(&self, path: &str) -> bool {
        self.0.open.contains(&path)
    }

    /// The challenge in a 401.
    pub(crate) fn challenge(&self) -> String {
        format!("Basic realm=\"{}\", charset=\"UTF-8\"", self.0.realm)
    }

    /// Whose credentials the headers carry.
    pub(crate) async fn check(&self, headers: &HeaderMap) -> Verdict {
        let Some(value) = headers.get(AUTHORIZATION) else { return Verdict::Missing };
        let Some((name, password)) = value.to_str().ok().and_then(decode) else { return Verdict::Wrong };
        let digest = self.0.digest(&password);
        let known = match self.0.names.get(&name) {
            None => false,
            Some(Secret::Digest(right)) => *right == digest,
            Some(Secret::Slow { .. }) if self.0.proven().get(&name) == Some(&digest) => true,
            Some(Secret::Slow { .. }) => match self.check_slowly(name.clone(), password).await {
                None => return Verdict::Busy,
                Some(known) => {
                    if known {
                        self.0.proven().insert(name.clone(), digest);
                    }
                    known
                }
            },
        };
        if known { Verdict::Known(name) } else { Verdict::Wrong }
    }

    async fn check_slowly(&self, name: String, password: String) -> Option<bool> {
        let _place = self.0.waiting.try_acquire().ok()?;
        let _turn = self.0.slow.acquire().await.ok()?;
        let inner = self.0.clone();
        let checked = tokio::task::spawn_blocking(move || match inner.names.get(&name) {
            Some(Secret::Slow { rounds, salt, hash }) => {
                verify(PBKDF2_HMAC_SHA256, *rounds, salt, password.as_bytes(), hash).is_ok()
            }
            Some(Secret::Digest(_)) | None => false,
        });
        checked.await.ok()
    }
}

impl Inner {
    fn digest(&self, password: &str) -> [u8; 32] {
        keyed_digest(&self.key, password)
    }

    /// Nothing that holds it can leave it half changed.
    fn proven(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, [u8; 32]>> {
        self.proven.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Secret {
    fn parse(key: &[u8; 32], password: &str) -> Option<Self> {
        let Some(hash) = password.strip_prefix("$pbkdf2-sha256$") else {
            return (!password.starts_with('$')).then(|| Self::Digest(keyed_digest(key, password)));
        };
        let mut parts = hash.split('$');
        let rounds: NonZeroU32 = parts.next()?.strip_prefix("i=")?.parse().ok()?;
        let mut decoded = || STANDARD_NO_PAD.decode(parts.next()?).ok();
        let (salt, hash) = (decoded()?, decoded()?);
        let usable = rounds.get() <= MAX_ROUNDS && hash.len() >= 16 && parts.next().is_none();
        usable.then_some(Self::Slow { rounds, salt, hash })
    }
}

fn keyed_digest(key: &[u8; 32], password: &str) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, &[key, password.as_bytes()].concat()).as_ref());
    out
}

/// Name and password of a basic `Authorization`.
fn decode(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("names", &self.0.names.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::pbkdf2::derive;

    use super::*;

    fn file(name: &str, text: &str, mode: u32) -> PathBuf {
        let path = std::env::temp_dir().join(format!("chapada-credentials-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn read(name: &str, text: &str, mode: u32) -> Result<Credentials, CredentialsError> {
        let path = file(name, text, mode);
        let read = Credentials::read(&path, "Realm");
        std::fs::remove_file(path).unwrap();
        read
    }

    async fn ask(credentials: &Credentials, header: &str) -> Verdict {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, header.parse().unwrap());
        credentials.check(&headers).await
    }

    fn basic(name: &str, password: &str) -> String {
        format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
    }

    #[tokio::test]
    async fn only_the_right_password_of_a_known_name_counts() {
        let rounds = NonZeroU32::new(1_000).unwrap();
        let mut hash = [0; 32];
        derive(PBKDF2_HMAC_SHA256, rounds, b"salty", b"slow", &mut hash);
        let slow = format!("{}${}", STANDARD_NO_PAD.encode(b"salty"), STANDARD_NO_PAD.encode(hash));
        let text = format!("# who\n\nann:a:b\nbob:$pbkdf2-sha256$i=1000${slow}\n");
        let credentials = read("right", &text, 0o600).unwrap();
        let known = |name: &str| Verdict::Known(name.to_owned());
        for (header, verdict) in [
            (basic("ann", "a:b"), known("ann")),
            (basic("ann", "a:b").replace("Basic", "bAsIc"), known("ann")),
            (basic("bob", "slow"), known("bob")),
            (basic("bob", "slow"), known("bob")),
            (basic("bob", "slo"), Verdict::Wrong),
            (basic("ann", "a"), Verdict::Wrong),
            (basic("eve", "a:b"), Verdict::Wrong),
            (basic("bob", &text), Verdict::Wrong),
            ("Basic !".to_owned(), Verdict::Wrong),
            ("Bearer x".to_owned(), Verdict::Wrong),
        ] {
            assert_eq!(ask(&credentials, &header).await, verdict, "{header}");
        }
        assert_eq!(credentials.check(&HeaderMap::new()).await, Verdict::Missing);
        assert!(!format!("{credentials:?}").contains("a:b"));
    }

    #[test]
    fn a_file_that_others_may_read_and_lines_that_are_none_are_refused() {
        assert!(matches!(read("mode", "ann:x\n", 0o640), Err(CredentialsError::Open { .. })));
        for (name, text) in
            [("colon", "ann"), ("empty", "ann:"), ("twice", "ann:x\nann:y"), ("hash", "ann:$1$salt$hash")]
        {
            let refused = read(name, text, 0o600).unwrap_err();
            assert!(matches!(refused, CredentialsError::Line { .. }), "{text}: {refused}");
        }
        assert!(matches!(
            Credentials::read(Path::new("/nonexistent"), ""),
            Err(CredentialsError::Read { .. })
        ));
    }
}
