//! How results are printed.

use comfy_table::{Table, presets};
use serde_json::{Map, Value, json};

use crate::flags::Output;
use crate::plan::Outcome;

pub(crate) fn shown(outcomes: &[Outcome], output: Output) -> String {
    match output {
        Output::Table => table(outcomes),
        Output::Json => Value::from_iter(outcomes.iter().map(as_json)).to_string(),
    }
}

fn table(outcomes: &[Outcome]) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    let names =
        outcomes.first().into_iter().flat_map(|first| first.point.iter().map(|(name, _)| name.as_str()));
    table.set_header(names.chain(["tasks", "result"]));
    for outcome in outcomes {
        let result = match &outcome.result {
            Ok(result) => result.clone(),
            Err(why) => format!("! {why}"),
        };
        let values = outcome.point.iter().map(|(_, value)| value.clone());
        table.add_row(values.chain([outcome.tasks.to_string(), result]));
    }
    table.to_string()
}

fn as_json(outcome: &Outcome) -> Value {
    let point: Map<String, Value> =
        outcome.point.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    match &outcome.result {
        Ok(result) => json!({"point": point, "tasks": outcome.tasks, "result": result}),
        Err(why) => json!({"point": point, "tasks": outcome.tasks, "error": why}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_name_the_point_and_its_result() {
        let point = |n: &str| vec![("n".to_owned(), n.to_owned())];
        let outcomes = [
            Outcome { point: point("1"), tasks: 1, result: Ok("one".to_owned()) },
            Outcome { point: point("2"), tasks: 3, result: Err("TASK_FAILED".to_owned()) },
        ];
        let json = r#"[{"point":{"n":"1"},"result":"one","tasks":1},{"error":"TASK_FAILED","point":{"n":"2"},"tasks":3}]"#;
        assert_eq!(shown(&outcomes, Output::Json), json);
        let table = shown(&outcomes, Output::Table);
        assert!(table.contains("one") && table.contains("! TASK_FAILED"), "{table}");
    }
}
