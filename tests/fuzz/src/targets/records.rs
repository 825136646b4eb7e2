//! What was stored and is read back after a restart, possibly damaged or of another version.

use std::collections::BTreeMap;
use std::path::Path;

use chapada_agent_log as log;
use chapada_coordination::{Record, RecordKey, decode_page};
use chapada_master::edge;
use chapada_model::{Mono, Now, Role, Wall};
use chapada_services_core::{Command, Effect, Event, Seed, Services, Write};
use chapada_wire::recordio::frame;

use crate::corpus::{json, listed};
use crate::worlds::agent::Machine;
use crate::worlds::master::World;
use crate::worlds::records;

const PAGE: &[u8] = b"chapada-page 1\n";

/// One page of records, and what a master makes of them.
pub(super) fn registry_page(bytes: &[u8]) {
    for kind in ["agents", "frameworks", "weights"] {
        if let Ok(records) = decode_page(kind, bytes, "/registry/page") {
            lead_with(&records);
        }
    }
}

/// Lines of `kind`, key and value, with blanks between: what a whole registry holds.
pub(super) fn registry_state(bytes: &[u8]) {
    let records: Vec<Record> = String::from_utf8_lossy(bytes).lines().filter_map(record).collect();
    lead_with(&records);
}

fn lead_with(records: &[Record]) {
    if let Ok(state) = edge::registry(records) {
        World::leading(state).settle();
    }
}

fn record(line: &str) -> Option<Record> {
    let (kind, rest) = line.split_once(' ')?;
    let (key, value) = rest.split_once(' ')?;
    let key = RecordKey { kind: kind.to_owned(), key: key.to_owned() };
    Some(Record { key, value: value.as_bytes().into() })
}

pub(super) fn registry_page_seeds() -> Vec<Vec<u8>> {
    let mut pages: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for record in registry_lines().iter().filter_map(|line| record(line)) {
        let page = pages.entry(record.key.kind).or_insert_with(|| PAGE.to_vec());
        for length in [record.key.key.len(), record.value.len()] {
            page.extend_from_slice(&u32::try_from(length).expect("a short record").to_le_bytes());
        }
        page.extend_from_slice(record.key.key.as_bytes());
        page.extend_from_slice(&record.value);
    }
    pages
        .into_values()
        .chain([b"chapada-page 2\n".to_vec(), b"chapada-page 99999999999\n".to_vec()])
        .collect()
}

pub(super) fn registry_state_seeds() -> Vec<Vec<u8>> {
    let lines = registry_lines();
    let all = lines.join("\n").into_bytes();
    lines.into_iter().map(String::into_bytes).chain([all]).collect()
}

/// What a master with something in its books has asked to be recorded.
fn registry_lines() -> Vec<String> {
    let state = World::busy().registry;
    let agents = state.agents.iter().map(|(id, record)| format!("agents {id} {}", text(record)));
    let frameworks = state.frameworks.iter().map(|(id, record)| format!("frameworks {id} {}", text(record)));
    let weights = state.weights.iter().map(|(role, weight)| format!("weights {role} {}", text(weight)));
    agents.chain(frameworks).chain(weights).collect()
}

fn text(record: &impl serde::Serialize) -> String {
    serde_json::to_string(record).expect("a record is JSON")
}

/// The bytes of an agent's log; or, because none that were changed have a sound checksum, what is in its frames. And an agent
/// that starts with what is in it.
pub(super) fn agent_log(bytes: &[u8]) {
    let bodies = records(bytes);
    let bytes = if bodies.is_empty() { bytes } else { &framed(&bodies) };
    let Ok(records) = log::contents(Path::new("agent.log"), bytes).map(|contents| contents.records) else {
        return;
    };
    let written = log::written(&records);
    let again = log::contents(Path::new("agent.log"), &written).expect("what was written is read");
    assert_eq!(again.records, records);
    Machine::recovered(records);
}

/// A log with these frames: mark, length, number, checksum of them, body.
fn framed(bodies: &[Vec<u8>]) -> Vec<u8> {
    let mut log = log::written(&[]);
    for (number, body) in (1_u32..).zip(bodies) {
        let (length, number) =
            (u32::try_from(body.len()).expect("a short body").to_le_bytes(), number.to_le_bytes());
        let mut sum = crc32fast::Hasher::new();
        [&length[..], &number, body].iter().for_each(|part| sum.update(part));
        [b"FRM1", &length, &number, &sum.finalize().to_le_bytes()[..], body]
            .iter()
            .for_each(|part| log.extend(*part));
    }
    log
}

pub(super) fn agent_log_seeds() -> Vec<Vec<u8>> {
    const HEADERS: usize = 12 + 16;
    let records = Machine::busy().disk;
    let whole = log::written(&records);
    let bodies =
        records.iter().map(|record| frame(&log::written(std::slice::from_ref(record))[HEADERS..]).to_vec());
    let bodies: Vec<Vec<u8>> = bodies.collect();
    let mut newer = whole.clone();
    newer[8] = 2;
    let torn = whole[..whole.len() - 3].to_vec();
    let single = records.iter().map(|record| log::written(std::slice::from_ref(record)));
    let all = bodies.concat();
    single.chain([whole, newer, torn, Vec::new(), all]).chain(bodies).collect()
}

/// Lines of key and value: what the services framework has stored.
pub(super) fn services_store(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let records = text.lines().filter_map(|line| line.split_once(' '));
    let records = records.map(|(key, value)| (key.to_owned(), value.as_bytes().to_vec()));
    if let Ok(mut services) = Services::restore(Role::star(), Seed::new(1, 2), NOW, records) {
        drop(services.apply(NOW, Event::Subscribed));
        drop(services.apply(NOW, Event::Tick));
    }
}

pub(super) fn services_store_seeds() -> Vec<Vec<u8>> {
    let mut services = Services::new(Role::star(), Seed::new(1, 2));
    let mut stored = BTreeMap::new();
    for (request, line) in (0..).zip(listed("apps.jsonl")) {
        let Some(definition) = json(&line).as_object().cloned() else { continue };
        let command = Command::Create { definition, force: true };
        for effect in services.apply(NOW, Event::Command { request, command }) {
            let Effect::Store { writes, .. } = effect else { continue };
            for write in writes {
                if let Write::Put { key, value } = write {
                    stored.insert(key, String::from_utf8(value).expect("records are JSON"));
                }
            }
        }
    }
    let lines: Vec<String> = stored.into_iter().map(|(key, value)| format!("{key} {value}")).collect();
    let all = lines.join("\n").into_bytes();
    lines.into_iter().map(String::into_bytes).chain([all]).collect()
}

const NOW: Now = Now { mono: Mono(1), wall: Wall(1_700_000_000_000_000_000) };
