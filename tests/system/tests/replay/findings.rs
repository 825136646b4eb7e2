//! Where our answers differ from the recorded ones.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::differences::DIFFERENCES;
use crate::message::Message;
use crate::shape::shape;

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
#[derive(Debug, Default)]
pub(crate) struct Findings {
    needed: BTreeSet<&'static str>,
    wrong: BTreeSet<String>,
}

impl Findings {
    /// What was found elsewhere, too.
    pub(crate) fn merge(&mut self, mut other: Self) {
        self.needed.append(&mut other.needed);
        self.wrong.append(&mut other.wrong);
    }

    /// Something that no reason excuses.
    pub(crate) fn wrong(&mut self, what: String) {
        self.wrong.insert(what);
    }

    /// Something that may be listed.
    pub(crate) fn difference(&mut self, what: String) {
        match DIFFERENCES.iter().flat_map(|one| one.parts).find(|part| what.contains(**part)) {
            Some(part) => drop(self.needed.insert(part)),
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

    /// Compares an offer with those that were recorded. What is freed is offered at once, so it may have only a part of
    /// what one of them had, while an executor runs there or not; beside that it must be like each of them.
    pub(crate) fn offer(&mut self, recorded: &[Value], ours: &Value) {
        let found = shape(ours);
        if recorded.iter().any(|one| shape(one) == found) {
            return;
        }
        let known: BTreeSet<String> = recorded.iter().flat_map(shape).collect();
        for line in found.difference(&known) {
            self.difference(format!("OFFERS adds {line}"));
        }
        let is_common = |line: &&String| recorded.iter().all(|one| shape(one).contains(*line));
        let missing = known.difference(&found).filter(|line| !line.contains(".resources[]"));
        for line in missing.filter(is_common) {
            self.difference(format!("OFFERS lacks {line}"));
        }
    }

    /// Compares documents of which more may be said than was recorded.
    pub(crate) fn lacks(&mut self, what: &str, recorded: &Value, ours: &Value) {
        for line in shape(recorded).difference(&shape(ours)) {
            self.difference(format!("{what} lacks {line}"));
        }
    }

    /// Prints all that no reason excuses.
    pub(crate) fn report(&self) {
        for wrong in &self.wrong {
            eprintln!("not as recorded: {wrong}");
        }
    }

    /// Fails unless all that was found is deliberate, and all that is listed as deliberate was found.
    pub(crate) fn conclude(&self) {
        assert!(self.wrong.is_empty(), "our answers differ from the recorded ones");
        let parts = DIFFERENCES.iter().flat_map(|one| one.parts);
        let unneeded: Vec<_> = parts.filter(|part| !self.needed.contains(**part)).collect();
        assert!(unneeded.is_empty(), "listed as differences, but there are none: {unneeded:?}");
    }
}

/// Ids and lengths count by being there.
fn header_of(message: &Message, name: &str) -> Option<String> {
    let value = message.header(name)?;
    Some(match name {
        "Mesos-Stream-Id" => "an id".to_owned(),
        "Content-Length" if value != "0" => "a length".to_owned(),
        // Pages are for browsers, which want to know how they are written.
        "Content-Type" if value.starts_with("text/html") => "text/html".to_owned(),
        _ => value.to_owned(),
    })
}
