//! Where our answers differ from the recorded ones.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::message::Message;
use crate::shape::shape;

/// A part of how a difference reads, and why it is there.
pub(crate) type Deliberate = (&'static str, &'static str);

/// Headers that published clients read.
const HEADERS: [&str; 7] = [
    "Content-Type",
    "Content-Length",
    "Transfer-Encoding",
    "Mesos-Stream-Id",
    "Allow",
    "Location",
    "WWW-Authenticate",
];

/// Collects differences, so that one run shows them all.
#[derive(Debug)]
pub(crate) struct Findings {
    deliberate: &'static [Deliberate],
    needed: BTreeSet<&'static str>,
    wrong: BTreeSet<String>,
}

impl Findings {
    /// Nothing found yet.
    pub(crate) fn new(deliberate: &'static [Deliberate]) -> Self {
        Self { deliberate, needed: BTreeSet::new(), wrong: BTreeSet::new() }
    }

    /// Something that no reason excuses.
    pub(crate) fn wrong(&mut self, what: String) {
        self.wrong.insert(what);
    }

    /// Something that may be listed.
    fn difference(&mut self, what: String) {
        match self.deliberate.iter().find(|(part, _)| what.contains(part)) {
            Some((part, _)) => drop(self.needed.insert(part)),
            None => drop(self.wrong.insert(what)),
        }
    }

    /// Compares heads.
    pub(crate) fn heads(&mut self, name: &str, recorded: &Message, ours: &Message) {
        if recorded.status() != ours.status() {
            self.wrong(format!("{name}: status {}, not {}", ours.status(), recorded.status()));
        }
        for header in HEADERS {
            let (expected, found) = (header_of(recorded, header), header_of(ours, header));
            if expected != found {
                self.difference(format!("{name}: header {header} is {found:?}, not {expected:?}"));
            }
        }
    }

    /// Compares what JSON documents are like.
    pub(crate) fn shapes(&mut self, what: &str, recorded: &Value, ours: &Value) {
        let (expected, found) = (shape(recorded), shape(ours));
        self.lacks(what, recorded, ours);
        for line in found.difference(&expected) {
            self.difference(format!("{what} adds {line}"));
        }
    }

    /// Compares documents of which more may be said than was recorded.
    pub(crate) fn lacks(&mut self, what: &str, recorded: &Value, ours: &Value) {
        for line in shape(recorded).difference(&shape(ours)) {
            self.difference(format!("{what} lacks {line}"));
        }
    }

    /// Fails unless all that was found is deliberate, and all that is listed as deliberate was found.
    pub(crate) fn conclude(&self) {
        assert!(self.wrong.is_empty(), "our answers differ from the recorded ones");
        let unneeded: Vec<_> =
            self.deliberate.iter().filter(|(part, _)| !self.needed.contains(part)).collect();
        assert!(unneeded.is_empty(), "listed as differences, but there are none: {unneeded:?}");
    }
}

impl Drop for Findings {
    /// Says what was found before something failed.
    fn drop(&mut self) {
        for wrong in &self.wrong {
            eprintln!("not as recorded: {wrong}");
        }
    }
}

/// Ids and lengths count by being there.
fn header_of(message: &Message, name: &str) -> Option<String> {
    let value = message.header(name)?;
    Some(match name {
        "Mesos-Stream-Id" => "an id".to_owned(),
        "Content-Length" if value != "0" => "a length".to_owned(),
        _ => value.to_owned(),
    })
}
