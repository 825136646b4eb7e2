//! What is brought into the sandbox before a task starts.

use serde::Serialize;

use super::reader::{Errors, FieldError, Fields};

/// Endings of what is unpacked when it comes from the old `uris`, which do not say.
const ARCHIVES: [&str; 9] =
    [".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz", ".zip", ".tar.zst", ".tar"];
/// What agents can fetch from.
const SCHEMES: [&str; 4] = ["http", "https", "oci", "file"];
/// The most of one task; agents take a thousand, and each is part of one message.
const MAX_FETCHES: usize = 250;

/// One file, archive or artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fetch {
    /// Where from: a URL, or a path of the agent's machine.
    pub uri: String,
    /// Whether an archive is unpacked.
    pub extract: bool,
    /// Whether it may be run.
    pub executable: bool,
    /// Whether the agent keeps it for others.
    pub cache: bool,
    /// Under which name it is put into the sandbox.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dest_path: Option<String>,
}

impl Fetch {
    /// What an entry of the old `uris` means.
    fn of_uri(uri: &str) -> Self {
        let path = uri.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
        let extract = ARCHIVES.iter().any(|ending| path.ends_with(ending));
        Self { uri: uri.to_owned(), extract, executable: false, cache: false, dest_path: None }
    }
}

/// The list of that name.
pub(crate) fn read_fetch(fields: &Fields<'_>, name: &str, wrong: &mut Errors) -> Vec<Fetch> {
    let mut found = Vec::new();
    for entry in fields.objects(name, wrong).unwrap_or_default() {
        if entry.get("uri").is_none() {
            wrong.push(FieldError::new(entry.path("uri"), "error.path.missing"));
        }
        found.push(Fetch {
            uri: entry.text("uri", wrong).unwrap_or_default(),
            extract: entry.flag("extract", wrong).unwrap_or(true),
            executable: entry.flag("executable", wrong).unwrap_or(false),
            cache: entry.flag("cache", wrong).unwrap_or(false),
            dest_path: entry.text("destPath", wrong),
        });
    }
    found
}

/// `fetch`, or what the old `uris` mean. Both at once is an error, unless they say the same.
pub(super) fn read_app(fields: &Fields<'_>, wrong: &mut Errors, broken: &mut Errors) -> Vec<Fetch> {
    let fetch = read_fetch(fields, "fetch", wrong);
    let uris = fields.texts("uris", wrong).unwrap_or_default();
    if uris.is_empty() {
        return fetch;
    }
    if !fetch.is_empty() && !fetch.iter().map(|fetch| &fetch.uri).eq(&uris) {
        broken.push(FieldError::new("/uris", "may not be set in conjunction with fetch"));
    }
    if fetch.is_empty() { uris.iter().map(|uri| Fetch::of_uri(uri)).collect() } else { fetch }
}

/// What is wrong with a list at `path`.
pub(crate) fn fetch_rules(path: &str, list: &[Fetch]) -> Errors {
    let mut errors = Errors::new();
    if list.len() > MAX_FETCHES {
        errors.push(FieldError::new(path, format!("must not be more than {MAX_FETCHES}")));
    }
    for (index, fetch) in list.iter().enumerate() {
        let path = format!("{path}({index})");
        if let Some(error) = uri_error(&fetch.uri) {
            errors.push(FieldError::new(format!("{path}/uri"), error));
        }
        if fetch.dest_path.as_deref().is_some_and(|name| !is_below(name)) {
            errors.push(FieldError::new(
                format!("{path}/destPath"),
                "must be the relative path of a file below the sandbox",
            ));
        }
    }
    errors
}

fn uri_error(uri: &str) -> Option<String> {
    if uri.trim().is_empty() || uri.contains('\0') {
        return Some("must not be empty".to_owned());
    }
    let (scheme, rest) = uri.trim().split_once("://")?;
    if !SCHEMES.contains(&scheme.to_ascii_lowercase().as_str()) {
        return Some(format!("has the scheme {scheme}, and agents know {}", SCHEMES.join(", ")));
    }
    rest.is_empty().then(|| "must name something".to_owned())
}

fn is_below(name: &str) -> bool {
    let outside = name.starts_with('/') || name.ends_with('/') || name.split('/').any(|part| part == "..");
    !name.is_empty() && !outside && !name.contains('\0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_uris_unpack_archives_only() {
        for (uri, extract) in [
            ("http://h/a.tgz", true),
            ("http://h/a.TAR.GZ?token=1", true),
            ("http://h/a.zip", true),
            ("http://h/a.txt", false),
            ("/opt/tgz", false),
        ] {
            assert_eq!(Fetch::of_uri(uri).extract, extract, "{uri}");
        }
    }

    #[test]
    fn what_agents_would_not_fetch_is_named() {
        let rules = |uri: &str, dest: Option<&str>| {
            let fetch = Fetch { dest_path: dest.map(str::to_owned), ..Fetch::of_uri(uri) };
            fetch_rules("/fetch", &[fetch]).into_iter().map(|error| error.path).collect::<Vec<_>>()
        };
        for (uri, dest, paths) in [
            ("http://h/a", None, [].as_slice()),
            ("/opt/a", Some("bin/a"), &[]),
            ("oci://r/a:1", None, &[]),
            ("", None, &["/fetch(0)/uri"]),
            ("hdfs://h/a", None, &["/fetch(0)/uri"]),
            ("http://", None, &["/fetch(0)/uri"]),
            ("http://h/a", Some("../a"), &["/fetch(0)/destPath"]),
            ("http://h/a", Some("/a"), &["/fetch(0)/destPath"]),
        ] {
            assert_eq!(rules(uri, dest), paths, "{uri}");
        }
    }
}
