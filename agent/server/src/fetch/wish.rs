//! What a task's description wants fetched.

use std::path::{Path, PathBuf};

use chapada_fetcher::{Checksum, Item, Source};
use chapada_wire::v1;

use super::{Payer, artifact};

/// More URIs than this make an order too long.
const MOST_URIS: usize = 1000;

/// What is wanted, where, and for whom.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) payer: Payer,
    pub(crate) sandbox: PathBuf,
    /// Absent for the agent's own user.
    pub(crate) user: Option<String>,
    /// Each with whether the agent is to keep a copy.
    pub(crate) items: Vec<(Item, bool)>,
}

/// The first URI that cannot be fetched by this agent: where it stands, and what is wrong with it.
pub(crate) fn check_uris(field: &str, uris: &[v1::command_info::Uri]) -> Option<String> {
    if uris.len() > MOST_URIS {
        return Some(format!("{field}.uris has more than {MOST_URIS} entries"));
    }
    uris.iter().enumerate().find_map(|(index, uri)| {
        let (name, problem) = item(uri, None).err()?;
        Some(format!("{field}.uris[{index}].{name} {problem}"))
    })
}

/// What the command wants, in order.
///
/// # Errors
/// What [`check_uris`] would have said.
pub(crate) fn items(command: &v1::CommandInfo, home: Option<&Path>) -> Result<Vec<(Item, bool)>, String> {
    let each = command.uris.iter().map(|uri| Ok((item(uri, home)?, uri.cache.unwrap_or(false))));
    each.collect::<Result<_, _>>()
        .map_err(|(name, problem): (&str, String)| format!("uris: {name} {problem}"))
}

/// The item, or the name of a field and what is wrong with it.
fn item(uri: &v1::command_info::Uri, home: Option<&Path>) -> Result<Item, (&'static str, String)> {
    let value = uri.value.as_deref().unwrap_or_default().trim();
    let source = Source::parse(value).map_err(|error| ("value", error.to_string()))?;
    let name = match uri.output_file.as_deref().filter(|name| !name.is_empty()) {
        Some(name)
            if name.starts_with('/') || name.ends_with('/') || name.split('/').any(|part| part == "..") =>
        {
            return Err(("output_file", "must be the name of a file below the sandbox".to_owned()));
        }
        Some(name) => name.to_owned(),
        None if matches!(source, Source::Artifact(_)) => String::new(),
        None => source.name().map_err(|error| ("value", error.to_string()))?,
    };
    if let Source::Artifact(name) = &source {
        artifact::reference(name).map_err(|problem| ("value", problem))?;
        if uri.checksum.is_some() {
            return Err(("checksum", "is not for artifacts: name one by its digest".to_owned()));
        }
    }
    let checksum = uri.checksum.as_deref().map(str::parse::<Checksum>).transpose();
    let uri_text = match (&source, home) {
        (Source::File(path), Some(home)) => home.join(path).to_string_lossy().into_owned(),
        (Source::File(_) | Source::Web(_) | Source::Artifact(_), _) => value.to_owned(),
    };
    Ok(Item {
        uri: uri_text,
        name,
        extract: uri.extract(),
        executable: uri.executable(),
        checksum: checksum.map_err(|error| ("checksum", error.to_string()))?,
        cached: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(value: &str) -> v1::command_info::Uri {
        v1::command_info::Uri { value: Some(value.to_owned()), ..Default::default() }
    }

    #[test]
    fn what_cannot_be_fetched_is_named() {
        let good = uri("http://h/a");
        assert_eq!(check_uris("command", std::slice::from_ref(&good)), None);
        let output =
            |name: &str| v1::command_info::Uri { output_file: Some(name.to_owned()), ..uri("http://h/a") };
        for (bad, said) in [
            (uri("hdfs://h/a"), "command.uris[1].value has the scheme hdfs"),
            (uri("http://h/"), "command.uris[1].value names no file"),
            (uri("oci://lab/files:v1"), "command.uris[1].value names no registry"),
            (
                v1::command_info::Uri { checksum: Some("md5:0".to_owned()), ..uri("oci://r.example/a:v1") },
                "command.uris[1].checksum is not for artifacts",
            ),
            (output("../x"), "command.uris[1].output_file"),
            (output("/x"), "command.uris[1].output_file"),
            (
                v1::command_info::Uri { checksum: Some("md5:0".to_owned()), ..uri("http://h/a") },
                "command.uris[1].checksum must be sha256",
            ),
        ] {
            let problem = check_uris("command", &[good.clone(), bad]).unwrap();
            assert!(problem.starts_with(said), "{problem}");
        }
        assert!(check_uris("command", &vec![good; MOST_URIS + 1]).is_some());
    }

    #[test]
    fn names_and_homes() {
        let relative = v1::CommandInfo { uris: vec![uri("a/b.tgz")], ..v1::CommandInfo::default() };
        let items = items(&relative, Some(Path::new("/home/frameworks"))).unwrap();
        let (item, is_cached) = &items[0];
        assert_eq!((item.uri.as_str(), item.name.as_str()), ("/home/frameworks/a/b.tgz", "b.tgz"));
        assert!(item.extract && !item.executable && !is_cached);
    }
}
