//! Tables for people, JSON for programs.

use std::io::Write;

use anyhow::Result;
use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table};
use serde_json::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Table,
    Json,
}

/// A column: its heading, and how to read its cell out of an item.
pub(crate) type Column = (&'static str, fn(&Value) -> String);

/// Prints a list in the form asked for.
pub(crate) fn list(output: Output, items: &[Value], columns: &[Column]) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match output {
        Output::Json => writeln!(stdout, "{}", serde_json::to_string_pretty(items)?)?,
        Output::Table => {
            let mut table = Table::new();
            table
                .load_style(comfy_table::presets::NOTHING)
                .set_content_arrangement(ContentArrangement::Disabled);
            table.set_header(columns.iter().map(|(heading, _)| *heading));
            for item in items {
                table.add_row(columns.iter().map(|(_, cell)| cell(item)));
            }
            for line in table.lines() {
                writeln!(stdout, "{}", line.trim())?;
            }
        }
    }
    Ok(())
}

/// The text of a field, whatever its type; empty when absent.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// A quantity without needless zeros.
pub(crate) fn number(value: &Value) -> String {
    let number = value.as_f64().unwrap_or_default();
    let rounded = (number * 1000.0).round() / 1000.0;
    format!("{rounded}")
}

/// `allocated/total` of one resource.
pub(crate) fn share(resources: &Value, name: &str) -> String {
    format!("{}/{}", number(&resources["allocated"][name]), number(&resources["total"][name]))
}

/// How long ago, given milliseconds since the epoch.
pub(crate) fn age(milliseconds: &Value) -> String {
    let Some(then) = milliseconds.as_f64() else { return String::new() };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let seconds = (now.as_millis() as f64 - then).max(0.0) / 1000.0;
    match seconds {
        s if s < 120.0 => format!("{s:.0}s"),
        s if s < 7200.0 => format!("{:.0}m", s / 60.0),
        s if s < 172_800.0 => format!("{:.0}h", s / 3600.0),
        s => format!("{:.0}d", s / 86_400.0),
    }
}
