//! What a change would do.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Result, bail};
use http::Method;
use serde_json::Value;

use super::Services;
use super::proxy::{Proxy, app_path, definition};
use super::show::items;
use crate::client::output::{Output, text};

pub(super) async fn plan(services: &Services, file: &PathBuf, force: bool) -> Result<()> {
    let proxy = Proxy::find(services).await?;
    let definition = definition(file)?;
    let path = match definition["id"].as_str() {
        Some(id) => format!("{}/plan", app_path(id)),
        None if definition.is_array() => "/v2/apps/*/plan".to_owned(),
        None => bail!("{} has no \"id\"", file.display()),
    };
    let path = if force { format!("{path}?force=true") } else { path };
    let plan = proxy.send(Method::POST, &path, Some(&definition)).await?;
    let mut out = std::io::stdout().lock();
    if services.cluster.output == Output::Json {
        writeln!(out, "{}", serde_json::to_string_pretty(&plan)?)?;
        return Ok(());
    }
    write(&mut out, &plan)?;
    Ok(())
}

fn write(out: &mut impl Write, plan: &Value) -> std::io::Result<()> {
    for change in items(&plan["changes"]) {
        writeln!(out, "{} {}", text(&change["change"]), text(&change["id"]))?;
        // All of a new app is new: its file says it better.
        let fields = if change["change"] == "create" { &[][..] } else { items(&change["fields"]) };
        for field in fields {
            let side = |name: &str| match &field[name] {
                Value::Null => "nothing".to_owned(),
                value => value.to_string(),
            };
            writeln!(out, "  {}: {} -> {}", text(&field["path"]), side("from"), side("to"))?;
        }
    }
    for deployment in items(&plan["cancels"]) {
        writeln!(out, "cancels deployment {}", text(deployment))?;
    }
    for (number, step) in items(&plan["steps"]).iter().enumerate() {
        let action = |action: &Value| {
            let id = if action["pod"].is_null() { &action["app"] } else { &action["pod"] };
            format!("{} {}", text(&action["action"]), text(id))
        };
        let actions: Vec<String> = items(&step["actions"]).iter().map(action).collect();
        writeln!(out, "step {}: {}", number + 1, actions.join(", "))?;
    }
    for placement in items(&plan["placements"]) {
        write_placement(out, placement)?;
    }
    Ok(())
}

fn write_placement(out: &mut impl Write, placement: &Value) -> std::io::Result<()> {
    let id = text(&placement["id"]);
    for on in items(&placement["on"]) {
        writeln!(out, "{id}: {} on {}", text(&on["instances"]), text(&on["host"]))?;
    }
    if placement["waiting"].as_u64().unwrap_or(0) > 0 {
        let sentence = text(&placement["explanation"]["sentence"]);
        writeln!(out, "{id}: {} would wait. {sentence}", text(&placement["waiting"]))?;
    }
    Ok(())
}
