//! Definitions as people write them. `apps/*.json` has each as it is given and as it is kept, which is what the API answers
//! with.

use std::path::PathBuf;

use chapada_services_core::{AppDefinition, merged};
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Example {
    #[serde(rename = "about")]
    _about: String,
    given: Map<String, Value>,
    kept: Map<String, Value>,
}

fn examples() -> Vec<(String, Example)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/definitions/apps");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("an example, in JSON") {
        let path = entry.expect("an example, in JSON").path();
        let name = path.file_stem().expect("an example, in JSON").to_string_lossy().into_owned();
        found.push((
            name,
            serde_json::from_str(&std::fs::read_to_string(&path).expect("an example, in JSON"))
                .expect("an example, in JSON"),
        ));
    }
    assert!(found.len() >= 20, "the folder has {}", found.len());
    found
}

/// As people write them.
pub(crate) fn given() -> Vec<Map<String, Value>> {
    examples().into_iter().map(|(_, example)| example.given).collect()
}

fn read(name: &str, definition: &Map<String, Value>) -> AppDefinition {
    AppDefinition::from_json(definition, "*").unwrap_or_else(|error| panic!("{name}: {error:?}"))
}

fn written(app: &AppDefinition) -> Map<String, Value> {
    serde_json::to_value(app).expect("an example, in JSON").as_object().expect("an example, in JSON").clone()
}

#[test]
fn each_is_taken_and_kept_in_one_form() {
    for (name, Example { given, kept, .. }) in examples() {
        let app = read(&name, &given);
        pretty_assert(&name, &written(&app), &kept);
        assert_eq!(read(&name, &kept), app, "{name} comes back as it went");
    }
}

#[test]
fn an_update_with_what_was_given_changes_nothing() {
    for (name, Example { given, .. }) in examples() {
        let app = read(&name, &given);
        let again = read(&name, &merged(&app, &given));
        assert_eq!(again, app, "{name}");
        let whole = read(&name, &merged(&app, &written(&app)));
        assert_eq!(whole, app, "{name}");
    }
}

fn pretty_assert(name: &str, got: &Map<String, Value>, kept: &Map<String, Value>) {
    let text = |map| serde_json::to_string_pretty(map).expect("an example, in JSON");
    assert!(got == kept, "{name} is kept as\n{}", text(got));
}
