//! What a backup of a registry must not bring back.

use chapada_coordination::{Backup, Record, RecordKey};
use serde_json::Value;

use crate::registry::{AGENTS, DRAINS, MACHINES, SCHEMA, read_records};

/// Why a backup is not for a master of this build.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Of something else, such as a framework.
    #[error("it is a backup of {found:?}, not of {expected:?}")]
    OtherSchema {
        /// What it is of.
        found: String,
        /// What it must be of.
        expected: &'static str,
    },
    /// Taken from a newer build.
    #[error("it holds {name} in version {found}, this build knows up to {known}: use a newer chapada")]
    NewerVersion {
        /// What it is of.
        name: &'static str,
        /// Its version.
        found: u32,
        /// The newest known here.
        known: u32,
    },
    /// No master could read it.
    #[error("no master could read it")]
    Unreadable(#[source] crate::Error),
}

/// Takes out of a master's backup the orders that would end what runs by now: they were given before it was taken, and may have
/// been taken back since. An agent that was being drained is offered to nobody instead, and a machine that was down is
/// draining. Gives a sentence for each.
///
/// # Errors
/// [`RestoreError`] when it is no backup for a master of this build; nothing is changed then.
pub fn prepare(backup: &mut Backup) -> Result<Vec<String>, RestoreError> {
    if backup.schema != SCHEMA.name {
        let found = backup.schema.clone();
        return Err(RestoreError::OtherSchema { found, expected: SCHEMA.name });
    }
    if backup.version > SCHEMA.version {
        let (found, known) = (backup.version, SCHEMA.version);
        return Err(RestoreError::NewerVersion { name: SCHEMA.name, found, known });
    }
    read_records(1, &backup.records).map_err(RestoreError::Unreadable)?;
    let mut said: Vec<String> = backup.records.iter_mut().filter_map(disarm).collect();
    backup.records.retain(|record| {
        let stays = record.key.kind != DRAINS;
        if !stays {
            said.push(format!(
                "the plan {} to drain agents is left out: make it again if it still holds",
                record.key.key
            ));
        }
        stays
    });
    Ok(said)
}

/// Changes a record that holds such an order, and says so.
fn disarm(record: &mut Record) -> Option<String> {
    let RecordKey { kind, key } = &record.key;
    let Ok(Value::Object(mut value)) = serde_json::from_slice(&record.value) else { return None };
    let said = match kind.as_str() {
        AGENTS if value.get("drain").is_some_and(|drain| !drain.is_null()) => {
            value.insert("drain".to_owned(), Value::Null);
            value.insert("deactivated".to_owned(), Value::Bool(true));
            format!(
                "agent {key} was being drained: it is offered to nobody instead; drain it again if that still holds"
            )
        }
        MACHINES if value.get("is_down") == Some(&Value::Bool(true)) => {
            value.insert("is_down".to_owned(), Value::Bool(false));
            format!("machine {key} was down: it is draining instead; take it down again if that still holds")
        }
        _ => return None,
    };
    record.value = serde_json::to_vec(&value).expect("what was read serialises").into();
    Some(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backup(kind: &str, value: &str) -> Backup {
        let record = Record { key: RecordKey::new(kind, "some:10.0.0.1"), value: value.as_bytes().into() };
        let (schema, version) = (SCHEMA.name.to_owned(), SCHEMA.version);
        Backup { schema, version, epoch: 1, taken: String::new(), records: vec![record] }
    }

    #[test]
    fn a_machine_that_was_down_does_not_end_what_runs_on_it_now() {
        let down = r#"{"unavailability":{"start":0,"duration":null},"is_down":true}"#;
        let mut restored = backup(MACHINES, down);
        let said = disarm(&mut restored.records[0]).expect("it is said");
        assert!(said.contains("some:10.0.0.1") && said.contains("draining instead"), "{said}");
        let value: Value = serde_json::from_slice(&restored.records[0].value).expect("JSON");
        assert_eq!(value["is_down"], false);
        assert_eq!(disarm(&mut restored.records[0]), None, "nothing is left to say");
    }

    #[test]
    fn an_agent_that_was_being_drained_is_offered_to_nobody_instead() {
        let mut restored = backup(AGENTS, r#"{"drain":{"since":1},"deactivated":false}"#);
        assert!(disarm(&mut restored.records[0]).is_some());
        let value: Value = serde_json::from_slice(&restored.records[0].value).expect("JSON");
        assert_eq!((&value["drain"], &value["deactivated"]), (&Value::Null, &Value::Bool(true)));
    }

    #[test]
    fn what_no_master_could_read_is_refused() {
        assert!(matches!(prepare(&mut backup("weights", "rubbish")), Err(RestoreError::Unreadable(_))));
        let other = Backup { schema: "services".to_owned(), ..backup("weights", "1") };
        assert!(matches!(prepare(&mut other.clone()), Err(RestoreError::OtherSchema { .. })));
        let newer = Backup { version: SCHEMA.version + 1, ..backup("weights", "1") };
        assert!(matches!(prepare(&mut newer.clone()), Err(RestoreError::NewerVersion { .. })));
    }
}
