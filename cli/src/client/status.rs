//! One look at the cluster.

use std::io::Write;

use anyhow::Result;
use serde_json::Value;

use super::output::{number, text};
use super::{Api, Cluster, Output};

pub(crate) async fn status(cluster: &Cluster) -> Result<()> {
    let overview = Api::find(cluster).await?.get("/query/v1/overview").await?;
    let mut out = std::io::stdout().lock();
    if cluster.output == Output::Json {
        writeln!(out, "{}", serde_json::to_string_pretty(&overview)?)?;
        return Ok(());
    }
    let leader = &overview["leader"];
    writeln!(out, "cluster     {}", text(&overview["cluster"]))?;
    writeln!(
        out,
        "leader      {}:{} ({})",
        text(&leader["hostname"]),
        text(&leader["port"]),
        text(&leader["id"])
    )?;
    writeln!(out, "version     {}, epoch {}", text(&overview["version"]), text(&overview["epoch"]))?;
    writeln!(out, "agents      {}", counts(&overview["agents"]))?;
    if let Some(held) = overview["agent_removals"]["message"].as_str() {
        writeln!(out, "            {held}")?;
    }
    writeln!(out, "frameworks  {}", counts(&overview["frameworks"]))?;
    writeln!(out, "tasks       {}", counts(&overview["tasks"]))?;
    for name in ["cpus", "mem", "disk"] {
        let resource = &overview["resources"][name];
        let [total, allocated, offered] =
            ["total", "allocated", "offered"].map(|column| number(&resource[column]));
        writeln!(out, "{name:<11} {allocated} allocated, {offered} offered, of {total}")?;
    }
    Ok(())
}

fn counts(counts: &Value) -> String {
    let Some(counts) = counts.as_object() else { return String::new() };
    let some: Vec<_> = counts.iter().filter(|(_, count)| count.as_u64() != Some(0)).collect();
    if some.is_empty() {
        return "none".to_owned();
    }
    some.iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
}
