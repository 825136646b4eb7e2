//! An event stream of ours, held against a recorded one.
//!
//! The events must be the recorded ones in their order, with two exceptions. Offers come when resources are free, which
//! is at once here and each second in Mesos: they may stand elsewhere and be more. Heartbeats after the first depend on
//! how long the stream lasts.

use std::collections::VecDeque;

use serde_json::Value;

use crate::connection::Answer;
use crate::findings::Findings;
use crate::message::Message;
use crate::shape::shape;

/// The two streams, and how far they have been read.
#[derive(Debug)]
pub(crate) struct Stream {
    name: String,
    answer: Answer,
    recorded_offers: Vec<Value>,
    expected: VecDeque<Value>,
    ends: bool,
    received: usize,
    /// Ids as recorded, and ours.
    pub(crate) pairs: Vec<(String, String)>,
    /// Offers that were not used yet.
    offers: Vec<String>,
}

impl Stream {
    /// Reads until the subscription is confirmed and, when Mesos made one, an offer has come. A stream that is only an
    /// error is read to its end.
    pub(crate) fn open(name: &str, recorded: &Message, answer: Answer, findings: &mut Findings) -> Self {
        let (events, ends) = recorded.events();
        let (recorded_offers, expected): (Vec<Value>, _) =
            events.into_iter().partition(|event| kind(event) == "OFFERS");
        let mut stream = Self {
            name: name.to_owned(),
            answer,
            recorded_offers,
            expected: expected.into(),
            ends,
            received: 0,
            pairs: Vec::new(),
            offers: Vec::new(),
        };
        if stream.expected.front().is_some_and(|first| kind(first) == "ERROR") {
            stream.finish(findings);
            return stream;
        }
        stream.read(findings);
        stream.read(findings);
        while !stream.recorded_offers.is_empty() && stream.offers.is_empty() {
            stream.read(findings);
        }
        stream
    }

    /// Reads until the update that a recorded request acknowledges has come.
    pub(crate) fn until_updated(&mut self, request: &str, findings: &mut Findings) {
        let acknowledged = |event: &Value| {
            event["update"]["status"]["uuid"].as_str().is_some_and(|uuid| request.contains(uuid))
        };
        while self.expected.iter().any(acknowledged) {
            self.read(findings);
        }
    }

    /// Whether a recorded request uses an offer of this stream.
    pub(crate) fn offered(&self, request: &str) -> bool {
        self.recorded_offers.iter().flat_map(offer_ids).any(|offer| request.contains(&format!("\"{offer}\"")))
    }

    /// Reads until there is an offer, and takes all that there are.
    pub(crate) fn take_offers(&mut self, findings: &mut Findings) -> Vec<String> {
        while self.offers.is_empty() {
            self.read(findings);
        }
        std::mem::take(&mut self.offers)
    }

    /// Reads to the end: all events that were recorded have come then, and the stream ends if that one did.
    pub(crate) fn finish(&mut self, findings: &mut Findings) {
        while self.ends && self.read(findings) {}
        self.expected.retain(|event| kind(event) != "HEARTBEAT");
        for event in &self.expected {
            findings.wrong(format!("{}: event is missing: {event}", self.name));
        }
    }

    fn read(&mut self, findings: &mut Findings) -> bool {
        let Some(event) = self.answer.event() else {
            assert!(self.ends, "{}: the stream ended, still to come: {:?}", self.name, self.expected);
            return false;
        };
        self.received += 1;
        match kind(&event) {
            "OFFERS" => self.offers(&event, findings),
            // The first follows SUBSCRIBED at once.
            "HEARTBEAT" if self.received != 2 => {}
            _ => self.next(&event, findings),
        }
        true
    }

    /// What is offered after a task ends may be only what that task had, so an offer need be like one recorded.
    fn offers(&mut self, event: &Value, findings: &mut Findings) {
        let alike = self.recorded_offers.iter().find(|recorded| shape(recorded) == shape(event));
        match alike.or(self.recorded_offers.first()).cloned() {
            Some(recorded) => self.compare(&recorded, event, findings),
            None => findings.wrong(format!("{}: event too many: {event}", self.name)),
        }
        self.offers.extend(offer_ids(event));
    }

    fn next(&mut self, event: &Value, findings: &mut Findings) {
        if kind(event) != "HEARTBEAT" && self.received > 2 {
            while self.expected.front().is_some_and(|next| kind(next) == "HEARTBEAT") {
                self.expected.pop_front();
            }
        }
        match self.expected.pop_front() {
            Some(recorded) if kind(&recorded) == kind(event) => self.compare(&recorded, event, findings),
            Some(recorded) => findings.wrong(format!("{}: event {event}, not {recorded}", self.name)),
            None => findings.wrong(format!("{}: event too many: {event}", self.name)),
        }
    }

    fn compare(&mut self, recorded: &Value, ours: &Value, findings: &mut Findings) {
        pair(recorded, ours, &mut self.pairs);
        let state = ours["update"]["status"]["state"].as_str().map(|state| format!(" {state}"));
        findings.shapes(&format!("{}{}", kind(ours), state.unwrap_or_default()), recorded, ours);
    }
}

fn kind(event: &Value) -> &str {
    event["type"].as_str().expect("an event has a type")
}

fn offer_ids(event: &Value) -> Vec<String> {
    let offers = event["offers"]["offers"].as_array().expect("OFFERS has offers");
    let ids =
        offers.iter().map(|offer| offer["id"]["value"].as_str().expect("an offer has an id").to_owned());
    ids.collect()
}

/// Ids that stand at the same place.
fn pair(recorded: &Value, ours: &Value, pairs: &mut Vec<(String, String)>) {
    match (recorded, ours) {
        (Value::Object(recorded), Value::Object(ours)) => {
            for (name, value) in recorded {
                match (name.as_str(), value, ours.get(name)) {
                    ("value" | "uuid", Value::String(recorded), Some(Value::String(ours))) => {
                        pairs.push((recorded.clone(), ours.clone()));
                    }
                    (_, _, Some(ours)) => pair(value, ours, pairs),
                    (_, _, None) => {}
                }
            }
        }
        (Value::Array(recorded), Value::Array(ours)) => {
            recorded.iter().zip(ours).for_each(|(recorded, ours)| pair(recorded, ours, pairs));
        }
        _ => {}
    }
}
