//! Configuration files: a flag beats the environment beats the file beats the default.
//!
//! A file's keys are the long flags of the daemon it is given to. They become default values of those flags before the
//! command line is parsed, so there is one parser, one set of names and one set of error messages.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{ArgAction, ArgMatches, Command};

/// Why a configuration file was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot read the configuration file {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} is not TOML: {source}")]
    Syntax { path: PathBuf, source: Box<toml::de::Error> },
    #[error("{path}: unknown key {key:?}{hint}; `chapada {daemon} --help` lists them")]
    UnknownKey { path: PathBuf, key: String, hint: String, daemon: String },
    #[error("{path}: {key} must be a string, a number, true, false or a list of those")]
    Shape { path: PathBuf, key: String },
}

/// Parses the command line, with the file of the daemon's `--config` beneath it. Exits on a wrong command line, as
/// clap does.
pub(crate) fn matches(command: Command, args: impl Iterator<Item = OsString>) -> Result<ArgMatches, Error> {
    let args: Vec<OsString> = args.collect();
    let Some((daemon, path)) = file_named_in(&args) else {
        return Ok(command.get_matches_from(args));
    };
    let text = std::fs::read_to_string(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
    let table = text
        .parse::<toml::Table>()
        .map_err(|source| Error::Syntax { path: path.to_path_buf(), source: Box::new(source) })?;
    Ok(with_defaults(command, &daemon, &path, table)?.get_matches_from(args))
}

/// The daemon and the file, when the command line names both. Anything odd is left for the real parser to refuse.
fn file_named_in(args: &[OsString]) -> Option<(String, PathBuf)> {
    let daemon = args.get(1)?.to_str()?;
    if !["master", "agent", "services"].contains(&daemon) {
        return None;
    }
    let mut rest = args[2..].iter();
    while let Some(arg) = rest.next() {
        let Some(arg) = arg.to_str() else { continue };
        if arg == "--config" {
            return rest.next().map(|path| (daemon.to_owned(), path.into()));
        }
        if let Some(path) = arg.strip_prefix("--config=") {
            return Some((daemon.to_owned(), path.into()));
        }
    }
    None
}

fn with_defaults(
    mut command: Command,
    daemon: &str,
    path: &Path,
    table: toml::Table,
) -> Result<Command, Error> {
    let known = command.find_subcommand(daemon).expect("checked above to be a daemon").clone();
    for (key, value) in table {
        let names_it = |arg: &&clap::Arg| {
            let aliases = arg.get_all_aliases().unwrap_or_default();
            arg.get_long() == Some(key.as_str()) || aliases.contains(&key.as_str())
        };
        let arg = known.get_arguments().find(|arg| names_it(arg) && key != "config");
        let Some(arg) = arg else { return Err(unknown(&known, daemon, path, key)) };
        let id = arg.get_id().clone();
        let flag = matches!(arg.get_action(), ArgAction::SetTrue);
        let texts =
            texts(&value).ok_or_else(|| Error::Shape { path: path.to_path_buf(), key: key.clone() })?;
        command = command.mut_subcommand(daemon, |sub| {
            sub.mut_arg(id, |arg| {
                let arg = if flag { arg.action(ArgAction::SetTrue) } else { arg };
                arg.required(false).default_values(texts)
            })
        });
    }
    Ok(command)
}

fn unknown(known: &Command, daemon: &str, path: &Path, key: String) -> Error {
    let nearest = known
        .get_arguments()
        .filter_map(clap::Arg::get_long)
        .map(|long| (strsim::jaro_winkler(long, &key), long))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let hint = nearest.map(|(_, long)| format!(", did you mean {long:?}?")).unwrap_or_default();
    Error::UnknownKey { path: path.to_path_buf(), key, hint, daemon: daemon.to_owned() }
}

fn texts(value: &toml::Value) -> Option<Vec<String>> {
    let one = |value: &toml::Value| match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(flag) => Some(flag.to_string()),
        toml::Value::Datetime(_) | toml::Value::Array(_) | toml::Value::Table(_) => None,
    };
    match value {
        toml::Value::Array(values) => values.iter().map(one).collect(),
        single => one(single).map(|text| vec![text]),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(file: &str, flags: &[&str]) -> Result<ArgMatches, Error> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("agent.toml");
        std::fs::write(&path, file).expect("a file");
        let mut args = vec!["chapada".into(), "agent".into(), "--config".into(), path.into_os_string()];
        args.extend(flags.iter().map(OsString::from));
        matches(crate::args::Args::command(), args.into_iter())
    }

    fn value(matches: &ArgMatches, id: &str) -> String {
        let daemon = matches.subcommand_matches("agent").expect("the daemon");
        let raw = daemon.get_raw(id).expect("a value").next().expect("one value");
        raw.to_str().expect("text").to_owned()
    }

    #[test]
    fn a_file_sets_what_no_flag_sets() {
        let matches = parse("hostname = \"a1\"\nport = 6051\nmaster = \"h:5050\"", &["--port", "7051"])
            .expect("parses");
        assert_eq!(value(&matches, "hostname"), "a1");
        assert_eq!(value(&matches, "port"), "7051");
    }

    #[test]
    fn another_name_of_a_flag_is_a_key_too() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("services.toml");
        std::fs::write(&path, "http-port = 81").expect("a file");
        let args = ["chapada".into(), "services".into(), "--config".into(), path.into_os_string()];
        let parsed = matches(crate::args::Args::command(), args.into_iter()).expect("parses");
        let daemon = parsed.subcommand_matches("services").expect("the daemon");
        assert_eq!(daemon.get_one::<u16>("port"), Some(&81));
    }

    #[test]
    fn an_unknown_key_names_the_nearest() {
        let error = parse("hostnam = \"a1\"", &[]).expect_err("no such key").to_string();
        assert!(error.contains("unknown key \"hostnam\", did you mean \"hostname\"?"), "{error}");
    }

    #[test]
    fn a_table_is_no_value() {
        let error = parse("[hostname]\nname = \"a1\"", &[]).expect_err("a table").to_string();
        assert!(error.contains("hostname must be a string"), "{error}");
    }
}
