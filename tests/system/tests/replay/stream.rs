//! An event stream of ours, held against a recorded one.
//!
//! The events must be the recorded ones in their order, with two exceptions. Offers come when resources are free, which
//! is at once here and each second in Mesos: they may stand elsewhere and be more. Heartbeats after the first depend on
//! how long the stream lasts. And updates of different tasks may swap.

use std::collections::{BTreeSet, VecDeque};

use serde_json::Value;

use crate::connection::Answer;
use crate::findings::Findings;
use crate::message::Message;

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
    offers: Vec<Value>,
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
            let operation = &event["update_operation_status"]["status"]["uuid"]["value"];
            let uuid = event["update"]["status"]["uuid"].as_str().or(operation.as_str());
            uuid.is_some_and(|uuid| request.contains(uuid))
        };
        while self.expected.iter().any(acknowledged) {
            self.read(findings);
        }
    }

    /// Reads until an event of this kind has come that was expected next.
    pub(crate) fn until(&mut self, wanted: &str, findings: &mut Findings) {
        while self.expected.iter().any(|event| kind(event) == wanted) {
            self.read(findings);
        }
    }

    /// Whether a recorded request uses an offer of this stream.
    pub(crate) fn offered(&self, request: &str) -> bool {
        self.named(request).next().is_some()
    }

    fn named<'a>(&'a self, request: &'a str) -> impl Iterator<Item = &'a Value> {
        let offers = self.recorded_offers.iter().flat_map(offers_of);
        offers.filter(move |offer| request.contains(&format!("\"{}\"", offer_id(offer))))
    }

    /// Reads until there are offers of all kinds of resources that the request had, and takes all that there are.
    pub(crate) fn take_offers(&mut self, request: &str, findings: &mut Findings) -> Vec<String> {
        let wanted: BTreeSet<String> = self.named(request).flat_map(kinds_of_resources).collect();
        let is_there = |offers: &[Value]| {
            let kinds: BTreeSet<String> = offers.iter().flat_map(kinds_of_resources).collect();
            wanted.is_subset(&kinds)
        };
        while !is_there(&self.offers) {
            self.read(findings);
        }
        self.offers.drain(..).map(|offer| offer_id(&offer).to_owned()).collect()
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

    fn offers(&mut self, event: &Value, findings: &mut Findings) {
        match self.recorded_offers.first().cloned() {
            Some(recorded) => {
                pair(&recorded, event, &mut self.pairs);
                findings.offer(&self.recorded_offers, event);
            }
            None => findings.wrong(format!("{}: event too many: {event}", self.name)),
        }
        self.offers.extend(offers_of(event).cloned());
    }

    fn next(&mut self, event: &Value, findings: &mut Findings) {
        if kind(event) != "HEARTBEAT" && self.received > 2 {
            while self.expected.front().is_some_and(|next| kind(next) == "HEARTBEAT") {
                self.expected.pop_front();
            }
        }
        match self.expected.remove(self.place_of(event)) {
            Some(recorded) if kind(&recorded) == kind(event) => self.compare(&recorded, event, findings),
            Some(recorded) => findings.wrong(format!("{}: event {event}, not {recorded}", self.name)),
            None => findings.difference(format!("{}: event too many: {event}", self.name)),
        }
    }

    /// Updates of different tasks of one group may swap: their commands run side by side.
    fn place_of(&self, event: &Value) -> usize {
        let task = |event: &Value| event["update"]["status"]["task_id"]["value"].as_str().map(str::to_owned);
        let updates = self.expected.iter().take_while(|next| kind(next) == "UPDATE");
        updates.map(task).position(|next| next == task(event)).unwrap_or(0)
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

fn offers_of(event: &Value) -> impl Iterator<Item = &Value> {
    event["offers"]["offers"].as_array().expect("OFFERS has offers").iter()
}

fn offer_id(offer: &Value) -> &str {
    offer["id"]["value"].as_str().expect("an offer has an id")
}

/// What an offer has, amounts aside: names, reservations and volumes.
fn kinds_of_resources(offer: &Value) -> Vec<String> {
    let resources = offer["resources"].as_array().expect("an offer has resources");
    let kind = |resource: &Value| {
        format!("{} {} {}", resource["name"], resource["reservations"], resource["disk"]["persistence"])
    };
    resources.iter().map(kind).collect()
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
