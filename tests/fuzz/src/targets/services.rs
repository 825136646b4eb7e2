//! App definitions, and the services framework that is given them.

use chapada_model::{Mono, Now, Role, Wall};
use chapada_services_core::{AppDefinition, AppId, Command, Event, Seed, Services, Update, merged};
use serde_json::{Map, Value};

use crate::corpus::{json, listed};

const NOW: Now = Now { mono: Mono(1), wall: Wall(1_700_000_000_000_000_000) };

/// A definition: read, created, updated by itself.
pub(super) fn app_definition(bytes: &[u8]) {
    let Ok(definition) = serde_json::from_slice::<Map<String, Value>>(bytes) else { return };
    let read = AppDefinition::from_json(&definition, "*");
    if let Ok(read) = &read {
        let again = AppDefinition::from_json(&merged(read, &Map::new()), "*");
        assert_eq!(again.as_ref(), Ok(read), "what was read is read again");
    }
    let mut services = Services::new(Role::star(), Seed::new(1, 2));
    drop(services.apply(NOW, Event::Subscribed));
    let app = definition.get("id").and_then(Value::as_str).and_then(|id| id.parse::<AppId>().ok());
    let create = Command::Create { definition: definition.clone(), force: false };
    drop(services.apply(NOW, Event::Command { request: 1, command: create }));
    if let Some(app) = app {
        let updates = vec![Update { app, fields: definition, partial: true, create: true }];
        let command = Command::Update { updates, force: true };
        drop(services.apply(NOW, Event::Command { request: 2, command }));
    }
    drop(services.apply(NOW, Event::Stored(u64::MAX)));
    drop(services.apply(NOW, Event::Tick));
}

pub(super) fn app_definition_seeds() -> Vec<Vec<u8>> {
    let lines = listed("apps.jsonl");
    lines.iter().for_each(|line| drop(json(line)));
    lines.into_iter().map(String::into_bytes).collect()
}
