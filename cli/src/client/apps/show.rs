//! Lists of apps, and one app.

use std::io::Write;

use anyhow::Result;
use serde_json::{Value, json};

use super::Services;
use super::proxy::{Proxy, app_path};
use super::why::write_reasons;
use crate::client::output::{self, Column, Output, number, text};

const APPS: &[Column] = &[
    ("ID", |app| text(&app["id"])),
    ("RUNNING", |app| format!("{}/{}", text(&app["tasksRunning"]), text(&app["instances"]))),
    ("STAGED", |app| text(&app["tasksStaged"])),
    ("UNHEALTHY", |app| text(&app["tasksUnhealthy"])),
    ("CPUS", |app| number(&app["cpus"])),
    ("MEM", |app| number(&app["mem"])),
    ("VERSION", |app| text(&app["version"])),
];

const TASKS: &[Column] = &[
    ("TASK", |task| text(&task["id"])),
    ("STATE", |task| text(&task["state"])),
    ("HOST", |task| text(&task["host"])),
    ("PORTS", |task| text(&task["ports"])),
    ("STARTED", |task| text(&task["startedAt"])),
    ("VERSION", |task| text(&task["version"])),
];

const VERSIONS: &[Column] = &[("VERSION", text)];

pub(super) async fn list(services: &Services) -> Result<()> {
    let apps = Proxy::find(services).await?.get("/v2/apps?embed=apps.counts").await?;
    output::list(services.cluster.output, items(&apps["apps"]), APPS)
}

pub(super) async fn versions(services: &Services, app: &str) -> Result<()> {
    let found = Proxy::find(services).await?.get(&format!("{}/versions", app_path(app))).await?;
    output::list(services.cluster.output, items(&found["versions"]), VERSIONS)
}

pub(super) async fn show(services: &Services, app: &str) -> Result<()> {
    let proxy = Proxy::find(services).await?;
    let path = app_path(app);
    let found = proxy.get(&format!("{path}?embed=app.counts&embed=app.tasks")).await?;
    let why = proxy.get(&format!("{path}/why")).await?;
    if services.cluster.output == Output::Json {
        let both = json!({"app": found["app"], "why": why});
        writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&both)?)?;
        return Ok(());
    }
    let app = &found["app"];
    let facts = [
        ("id", text(&app["id"])),
        ("running", format!("{} of {}", text(&app["tasksRunning"]), text(&app["instances"]))),
        (
            "each",
            format!(
                "{} CPUs, {} MiB of memory, {} MiB of disk",
                number(&app["cpus"]),
                number(&app["mem"]),
                number(&app["disk"])
            ),
        ),
        ("version", text(&app["version"])),
    ];
    let mut out = std::io::stdout().lock();
    for (name, value) in facts {
        writeln!(out, "{name:<8} {value}")?;
    }
    write_reasons(&mut out, &why)?;
    if !items(&app["tasks"]).is_empty() {
        writeln!(out)?;
        drop(out);
        output::list(Output::Table, items(&app["tasks"]), TASKS)?;
    }
    Ok(())
}

pub(super) fn items(list: &Value) -> &[Value] {
    list.as_array().map_or(&[][..], Vec::as_slice)
}
