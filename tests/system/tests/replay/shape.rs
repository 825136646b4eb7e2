//! What a JSON document is like, values aside.

use std::collections::BTreeSet;

use serde_json::Value;

/// Lines of `.path: type`; array items share `[]`. Names of enum values (`TASK_RUNNING`) are types, for clients tell
/// things apart by them.
pub(crate) fn shape(document: &Value) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    collect("", document, &mut lines);
    lines
}

fn collect(path: &str, value: &Value, lines: &mut BTreeSet<String>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(text) if is_enum_value(text) => text,
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    lines.insert(format!("{path}: {kind}"));
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(&format!("{path}[]"), item, lines)),
        Value::Object(fields) => {
            fields.iter().for_each(|(name, field)| collect(&format!("{path}.{name}"), field, lines));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn is_enum_value(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_uppercase())
        && text.chars().all(|one| one.is_ascii_uppercase() || one.is_ascii_digit() || one == '_')
}

#[test]
fn values_do_not_matter_but_names_and_types_do() {
    let json = |text| serde_json::from_str::<Value>(text).expect("JSON");
    let one = json(r#"{"state":"TASK_LOST","tasks":[{"id":"a"},{"id":"b","port":1}],"none":[]}"#);
    let same = json(r#"{"tasks":[{"id":"c","port":2}],"none":[],"state":"TASK_LOST"}"#);
    assert_eq!(shape(&one), shape(&same));
    for other in [
        r#"{"state":"TASK_GONE","tasks":[{"id":"c","port":2}],"none":[]}"#,
        r#"{"state":"TASK_LOST","tasks":[{"id":"c","port":"2"}],"none":[]}"#,
        r#"{"state":"TASK_LOST","tasks":[{"id":"c","port":2}]}"#,
    ] {
        assert_ne!(shape(&one), shape(&json(other)), "{other}");
    }
}
