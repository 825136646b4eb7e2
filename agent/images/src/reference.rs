//! Names of images, as Docker writes them: `[registry/]repository[:tag][@digest]`.

use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;

/// The registry of a name without one.
const DEFAULT_REGISTRY: &str = "docker.io";
/// Where that registry answers.
const DEFAULT_HOST: &str = "registry-1.docker.io";
/// What its own images are filed under.
const DEFAULT_NAMESPACE: &str = "library";
const DEFAULT_TAG: &str = "latest";
/// Source: the distribution specification, and Docker's reference grammar.
const MAX_REPOSITORY: usize = 255;
const MAX_TAG: usize = 128;

/// Which image, and where it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// `host[:port]`, `docker.io` for Docker's own.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// `host[:port]` where the registry answers.
    pub fn host(&self) -> &str {
        if self.registry == DEFAULT_REGISTRY { DEFAULT_HOST } else { &self.registry }
    }

    /// The name within the registry.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Whether it was written without a registry, or could have been.
    pub(crate) fn is_of_default_registry(&self) -> bool {
        self.registry == DEFAULT_REGISTRY
    }

    /// The name without what Docker adds to it, and the tag; plain names below a directory.
    pub(crate) fn short(&self) -> (&str, &str) {
        let name = self.repository.strip_prefix(DEFAULT_NAMESPACE).and_then(|name| name.strip_prefix('/'));
        (name.unwrap_or(&self.repository), self.tag.as_deref().unwrap_or(DEFAULT_TAG))
    }

    /// What a registry is asked for: the digest, or else the tag.
    pub fn target(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, tag) => tag.clone().unwrap_or_else(|| DEFAULT_TAG.to_owned()),
        }
    }
}

/// A name that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an image's name is [registry/]repository[:tag][@digest]: {0}")]
pub struct InvalidReference(&'static str);

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => {
                let digest = digest.parse().map_err(|_| InvalidReference("the digest is none"))?;
                (name, Some(digest))
            }
            None => (text, None),
        };
        let (registry, rest) = split_registry(name);
        let (repository, tag) = match rest.rsplit_once(':') {
            Some((repository, tag)) => (repository, Some(tag.to_owned())),
            None => (rest, None),
        };
        let of_docker = registry.is_none_or(|name| matches!(name, "docker.io" | "index.docker.io"));
        let repository = match repository.contains('/') || !of_docker {
            true => repository.to_owned(),
            false => format!("{DEFAULT_NAMESPACE}/{repository}"),
        };
        let registry = registry.filter(|_| !of_docker).unwrap_or(DEFAULT_REGISTRY).to_owned();
        if !is_host(&registry) {
            return Err(InvalidReference("the registry is no host name with an optional port"));
        }
        if repository.len() > MAX_REPOSITORY || !repository.split('/').all(is_component) {
            return Err(InvalidReference(
                "a repository is lower-case letters and digits, with single separators, at most 255 bytes",
            ));
        }
        if tag.as_deref().is_some_and(|tag| !is_tag(tag)) {
            return Err(InvalidReference("a tag is letters, digits, '_', '.' and '-', at most 128"));
        }
        Ok(Self { registry, repository, tag, digest })
    }
}

/// The first component is a registry if nothing else could look like it.
fn split_registry(name: &str) -> (Option<&str>, &str) {
    match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (Some(first), rest),
        Some(_) | None => (None, name),
    }
}

fn is_host(registry: &str) -> bool {
    let (host, port) = match registry.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        Some(_) | None => (registry, None),
    };
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_name = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.split('.').all(|label| {
            let inner = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            !label.is_empty() && label.chars().all(inner) && !label.starts_with('-')
        }),
    };
    is_name && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// Letters and digits with one `.`, one or two `_`, or any number of `-` between them.
fn is_component(text: &str) -> bool {
    let is_alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let separators = text.split(is_alphanumeric).filter(|part| !part.is_empty());
    let mut separators =
        separators.map(|part| matches!(part, "." | "_" | "__") || part.chars().all(|c| c == '-'));
    text.starts_with(is_alphanumeric) && text.ends_with(is_alphanumeric) && separators.all(|fine| fine)
}

fn is_tag(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.len() <= MAX_TAG
        && text.starts_with(is_word)
        && text.chars().all(|c| is_word(c) || c == '.' || c == '-')
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        match (&self.tag, &self.digest) {
            (None, None) => write!(f, ":{DEFAULT_TAG}")?,
            (Some(tag), _) => write!(f, ":{tag}")?,
            (None, Some(_)) => {}
        }
        self.digest.as_ref().map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(text: &str) -> String {
        text.parse::<Reference>().unwrap().to_string()
    }

    #[test]
    fn what_is_left_out_is_what_docker_means() {
        let hex = "a".repeat(64);
        let cases = [
            ("busybox", "docker.io/library/busybox:latest".to_owned()),
            ("busybox:1.35", "docker.io/library/busybox:1.35".to_owned()),
            ("index.docker.io/busybox", "docker.io/library/busybox:latest".to_owned()),
            ("someone/thing", "docker.io/someone/thing:latest".to_owned()),
            ("localhost/thing", "localhost/thing:latest".to_owned()),
            ("127.0.0.1:5000/a/b/c:v1", "127.0.0.1:5000/a/b/c:v1".to_owned()),
            ("[::1]:5000/a", "[::1]:5000/a:latest".to_owned()),
            (&format!("r.example/a@sha256:{hex}"), format!("r.example/a@sha256:{hex}")),
            (&format!("r.example/a:t@sha256:{hex}"), format!("r.example/a:t@sha256:{hex}")),
        ];
        for (given, meant) in cases {
            assert_eq!(full(given), meant);
            assert_eq!(full(&meant), meant, "the full name means itself");
        }
    }

    #[test]
    fn the_digest_outranks_the_tag() {
        let digest = format!("sha256:{}", "b".repeat(64));
        let both: Reference = format!("r.example/a:t@{digest}").parse().unwrap();
        assert_eq!(both.target(), digest);
        assert_eq!("a:t".parse::<Reference>().unwrap().target(), "t");
        assert_eq!("a".parse::<Reference>().unwrap().host(), "registry-1.docker.io");
    }

    #[test]
    fn nothing_that_could_bend_an_address_is_a_name() {
        let long = "x".repeat(256);
        let bad = [
            "",
            ":",
            "a:",
            "/a",
            "a/",
            "a//b",
            "UPPER",
            "a b",
            "a/../b",
            "a/./b",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "a:b:c",
            "a@sha256:abc",
            "a@md5:00",
            "r.example:0/a",
            "r.example:99999/a",
            "user@r.example/a",
            "r.example/a?x=1",
            "r.example/a#x",
            "r.example%2f/a",
            "http://r.example/a",
            "a\n",
            "é",
            &long,
            ".a.b/c",
        ];
        for text in bad {
            assert!(text.parse::<Reference>().is_err(), "{text:?}");
        }
    }
}
