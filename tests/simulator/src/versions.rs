//! The registry in the eyes of builds of former versions: what they would have written, and what they pass over.

use chapada_master_core::RegistryState;
use serde_json::{Map, Value, json};

use crate::journal::differing;
use crate::sim::Sim;

impl Sim {
    /// In place of what the registry holds comes what a build of this version would have written of it; a build of now leads next.
    pub fn write_as_version(&mut self, version: u32) {
        let state = written_by(version, &self.registry.state);
        self.restore(state);
    }

    /// The records that a build of this version does not read as they are meant, by name. While there are any, it must not lead.
    pub fn misread_by_version(&self, version: u32) -> Vec<String> {
        differing(&read_by(version, &self.registry.state), &self.registry.state)
    }
}

/// Builds up to 4 have those who must confirm a removal in its record; in all else they write what they would read.
fn written_by(version: u32, state: &RegistryState) -> RegistryState {
    let mut state = state.clone();
    if version < 5 {
        for (framework, parts) in std::mem::take(&mut state.unconfirmed) {
            let record = state.frameworks.get_mut(&framework);
            if let Some(removal) = record.and_then(|record| record.removed.as_mut()) {
                removal.unconfirmed.extend(parts.into_values().flatten());
            }
        }
    }
    read_by(version, &state)
}

/// What a build of a version makes of the registry: it passes over what came later.
fn read_by(version: u32, state: &RegistryState) -> RegistryState {
    let mut records = serde_json::to_value(state).expect("records are written as JSON");
    let all = fields(&mut records);
    for (name, since) in [("machines", 3), ("drains", 4), ("unconfirmed", 5)] {
        if version < since {
            all.remove(name);
        }
    }
    if version < 2 {
        all.insert("quotas".to_owned(), json!({}));
    }
    for agent in fields(&mut records["agents"]).values_mut() {
        without(agent, version, &[("deactivated", 4), ("drain", 4)]);
        if let Some(drain) = agent.get_mut("drain").filter(|drain| drain.is_object()) {
            without(drain, version, &[("is_notice_over", 5), ("killed_before", 6)]);
        }
    }
    for framework in fields(&mut records["frameworks"]).values_mut() {
        if let Some(removal) = framework.get_mut("removed").filter(|removal| removal.is_object()) {
            without(removal, version, &[("absent", 3)]);
        }
    }
    serde_json::from_value(records).expect("this build reads what former ones wrote")
}

fn fields(value: &mut Value) -> &mut Map<String, Value> {
    value.as_object_mut().expect("it has fields")
}

/// Takes the fields away that came with a later version.
fn without(value: &mut Value, version: u32, since: &[(&str, u32)]) {
    let later = since.iter().filter(|(_, since)| version < *since);
    later.for_each(|(name, _)| drop(fields(value).remove(*name)));
}
