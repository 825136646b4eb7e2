//! What a backup of a registry must not bring back.

use chapada_coordination::{Backup, Record, RecordKey};
use serde_json::Value;

use crate::registry::{AGENTS, DRAINS, FRAMEWORKS, MACHINES, SCHEMA, read_records};

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
/// draining. Frameworks that were away may have come back since, and get the time of those that were not. Gives a sentence for each
/// order, and one for all frameworks.
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
    let returned = backup.records.iter_mut().filter_map(bring_back).count();
    if returned > 0 {
        said.push(format!(
            "frameworks that were away when the backup was taken: {returned}; they have as long to come back as those that were \
             subscribed, and what they run runs on until then"
        ));
    }
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

/// Takes out of a framework's record that it was away, if it was: it would be removed sooner than one that was not.
fn bring_back(record: &mut Record) -> Option<()> {
    if record.key.kind != FRAMEWORKS {
        return None;
    }
    let Ok(Value::Object(mut value)) = serde_json::from_slice(&record.value) else { return None };
    let is_set =
        |value: &serde_json::Map<String, Value>, name| value.get(name).is_some_and(|one| !one.is_null());
    // Who is removed stays so.
    if !is_set(&value, "disconnected") || is_set(&value, "removed") {
        return None;
    }
    value.insert("disconnected".to_owned(), Value::Null);
    record.value = serde_json::to_vec(&value).expect("what was read serialises").into();
    Some(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use chapada_master_core::{Event, FrameworkRecord, Master, Settings};
    use chapada_model::{Mono, Now};

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
    fn a_framework_that_was_away_has_as_long_to_come_back_as_one_that_was_not() {
        let away = r#"{"description":{"failover_timeout":1},"disconnected":17,"removed":null}"#;
        let mut restored = backup(FRAMEWORKS, away);
        assert_eq!(bring_back(&mut restored.records[0]), Some(()));
        let value: Value = serde_json::from_slice(&restored.records[0].value).expect("JSON");
        assert_eq!(
            (&value["disconnected"], &value["description"]["failover_timeout"]),
            (&Value::Null, &1.into())
        );
        assert_eq!(bring_back(&mut restored.records[0]), None, "nothing is left to do");
        let removed = r#"{"disconnected":17,"removed":{"at":18,"unconfirmed":[]}}"#;
        assert_eq!(bring_back(&mut backup(FRAMEWORKS, removed).records[0]), None, "it stays removed");
    }

    /// The whole way: what a master wrote is prepared, and the next leader waits longer than a failover timeout of nothing.
    #[test]
    fn a_leader_of_a_restored_registry_gives_a_framework_that_was_away_its_grace() {
        let mut info = chapada_wire::v1::FrameworkInfo::default();
        (info.user, info.name) = (Some("root".to_owned()), Some("f".to_owned()));
        let id = chapada_model::FrameworkId::new("m-0000").expect("valid");
        let description = chapada_model::FrameworkDescription::try_from(&info).expect("valid");
        let description = chapada_model::FrameworkDescription {
            id: Some(id.clone()),
            failover_timeout: Duration::ZERO,
            ..description
        };
        let at = chapada_model::Wall(1);
        let record = FrameworkRecord {
            description: Arc::new(description),
            registered: at,
            disconnected: Some(at),
            removed: None,
        };
        let mut restored = backup(FRAMEWORKS, &serde_json::to_string(&record).expect("JSON"));
        restored.records[0].key.key = id.to_string();
        let said = prepare(&mut restored).expect("of this build");
        assert!(said[0].contains("frameworks that were away") && said[0].contains(": 1;"), "{said:?}");
        let state = read_records(1, &restored.records).expect("readable");
        let begin = Now { mono: Mono(1), wall: chapada_model::Wall(2) };
        let settings = Settings::new("m2");
        let grace = settings.agent_timeout;
        let mut master = Master::recover(begin, settings, state);
        master.apply(Now { mono: begin.mono + grace / 2, ..begin }, Event::Tick);
        assert!(master.snapshot().frameworks.contains_key(&id), "it would have been removed at once");
        master.apply(Now { mono: begin.mono + grace, ..begin }, Event::Tick);
        assert!(!master.snapshot().frameworks.contains_key(&id));
    }

    #[test]
    fn a_plan_to_drain_agents_is_left_out_and_named() {
        let plan = r#"{"since":1,"selected_by":"rack=r2","order":{},"at_once":1,"waiting":[],"begun":[],"ended":null,
            "is_cancelled":false}"#;
        let mut restored = backup(DRAINS, plan);
        let said = prepare(&mut restored).expect("of this build");
        assert!(said[0].contains("the plan some:10.0.0.1 to drain agents is left out"), "{said:?}");
        assert!(restored.records.is_empty());
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
