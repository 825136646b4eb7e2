//! Where things come from: `http://`, `https://`, `oci://`, `file://` and plain paths.

use std::path::PathBuf;

use url::Url;

/// Where something comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A server.
    Web(Url),
    /// A file of the machine; a path that does not start with a slash is below the home of frameworks.
    File(PathBuf),
    /// An artifact of a registry of images, by its name there. The agent brings it, not the child.
    Artifact(String),
}

/// Why a text is no URI that can be fetched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUri {
    /// It cannot be read.
    #[error("is no URI: {0}")]
    Malformed(#[from] url::ParseError),
    /// Nobody here speaks it.
    #[error("has the scheme {0}, which is not supported by this agent: use http, https, oci or file")]
    Scheme(String),
    /// A file of another machine.
    #[error("names a file of another machine")]
    ElsewhereFile,
    /// It ends with a slash, or with dots.
    #[error("names no file: set output_file")]
    NoName,
}

impl Source {
    /// Reads a URI.
    ///
    /// # Errors
    /// [`InvalidUri`] says what is wrong with it; it names no credentials.
    pub fn parse(uri: &str) -> Result<Self, InvalidUri> {
        let uri = uri.trim();
        let Some((scheme, rest)) = uri.split_once("://") else { return Ok(Self::File(PathBuf::from(uri))) };
        match scheme.to_ascii_lowercase().as_str() {
            "http" | "https" => Ok(Self::Web(Url::parse(uri)?)),
            "oci" => Ok(Self::Artifact(rest.to_owned())),
            "file" => {
                let url = Url::parse(uri)?;
                url.to_file_path().map(Self::File).map_err(|()| InvalidUri::ElsewhereFile)
            }
            other => Err(InvalidUri::Scheme(other.to_owned())),
        }
    }

    /// What it is called in the sandbox, unless the task says otherwise.
    ///
    /// # Errors
    /// [`InvalidUri::NoName`].
    pub fn name(&self) -> Result<String, InvalidUri> {
        let name = match self {
            Self::Web(url) => {
                url.path_segments().and_then(|mut segments| segments.next_back()).map(str::to_owned)
            }
            Self::File(path) => path.file_name().map(|name| name.to_string_lossy().into_owned()),
            // It may have several, each with a name of its own.
            Self::Artifact(_) => None,
        };
        let is_name = |name: &String| !matches!(name.as_str(), "" | "." | "..");
        name.filter(is_name).ok_or(InvalidUri::NoName)
    }
}

/// A URI as it may be shown: without user, password, query and fragment, where secrets stand.
pub fn shown(uri: &str) -> String {
    match Url::parse(uri.trim()) {
        Ok(mut url) if url.has_host() => {
            // Both fail only for URLs without a host.
            let _ = url.set_username("");
            let _ = url.set_password(None);
            url.set_query(None);
            url.set_fragment(None);
            url.to_string()
        }
        _ => {
            let path = uri.split(['?', '#']).next().unwrap_or_default();
            path.rsplit_once('@').map_or(path, |(_, rest)| rest).to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_are_known_or_named() {
        assert!(matches!(Source::parse("http://h/a.tgz"), Ok(Source::Web(_))));
        assert_eq!(Source::parse("file:///a/b%20c"), Ok(Source::File("/a/b c".into())));
        assert_eq!(Source::parse("a/b"), Ok(Source::File("a/b".into())));
        assert_eq!(Source::parse("hdfs://h/a"), Err(InvalidUri::Scheme("hdfs".into())));
        assert_eq!(Source::parse("file://other/a"), Err(InvalidUri::ElsewhereFile));
        assert!(Source::parse("http://").is_err());
    }

    #[test]
    fn names_are_plain() {
        let name = |uri: &str| Source::parse(uri).and_then(|source| source.name());
        assert_eq!(name("http://h/a/b.tgz?x=/y#z").as_deref(), Ok("b.tgz"));
        assert_eq!(name("/a/b").as_deref(), Ok("b"));
        for none in ["http://h/", "http://h", "/", "..", "http://h/a/"] {
            assert_eq!(name(none), Err(InvalidUri::NoName), "{none}");
        }
        assert_eq!(name("http://h/x/..%2f..%2fetc").as_deref(), Ok("..%2f..%2fetc"), "is one name");
    }

    #[test]
    fn secrets_are_not_shown() {
        assert_eq!(shown("https://me:pass@h:8/a?token=x#y"), "https://h:8/a");
        assert_eq!(shown("/a/b"), "/a/b");
        for odd in ["http://me:pass@", "http://me:pa ss@[/x?token=1"] {
            assert!(!shown(odd).contains("pa"), "{}", shown(odd));
        }
    }
}
