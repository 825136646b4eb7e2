//! Where seeds come from: the recordings that the codec is tested with, lists beside this crate, and past failures.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The folder of a target's past failures, one input a file.
pub fn folder(target: &str) -> PathBuf {
    here().join("corpus").join(target)
}

/// The inputs that broke something once, in order of their names.
pub fn regressions(target: &str) -> Vec<Vec<u8>> {
    let Ok(entries) = fs::read_dir(folder(target)) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("a regression can be read")).collect()
}

/// The bodies of one kind that were recorded from a real Mesos and its clients.
pub(crate) fn recorded(kind: &str) -> Vec<Value> {
    let folder = here().join("../../proto/wire/tests/data/recordings");
    let lines = read(&folder.join(format!("{kind}.jsonl")));
    lines.lines().map(|line| json(line)["body"].take()).collect()
}

/// The lines of a list of ours.
pub(crate) fn listed(name: &str) -> Vec<String> {
    let text = read(&here().join("seeds").join(name));
    text.lines().filter(|line| !line.is_empty() && !line.starts_with("//")).map(str::to_owned).collect()
}

/// A line as JSON.
pub(crate) fn json(line: &str) -> Value {
    serde_json::from_str(line).expect("a line of the corpus is JSON")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
