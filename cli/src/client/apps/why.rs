//! Why an app is not where it should be.

use std::io::Write;

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use super::Services;
use super::proxy::{Proxy, app_path};
use super::show::items;
use crate::client::api::ApiError;
use crate::client::output::{Output, text};

#[derive(Debug, Args)]
pub(crate) struct WhyArgs {
    #[command(flatten)]
    services: Services,
    /// The id of an app or pod.
    app: String,
}

/// Prints the sentence, what would help, and how far offers got.
pub(crate) async fn why(args: &WhyArgs) -> Result<()> {
    let proxy = Proxy::find(&args.services).await?;
    let path = app_path(&args.app);
    let answer = match proxy.get(&format!("{path}/why")).await {
        Err(ApiError::NotFound(_)) => {
            let pod = path.replacen("/v2/apps", "/v2/pods", 1);
            proxy.get(&format!("{pod}::why")).await?
        }
        other => other?,
    };
    let mut out = std::io::stdout().lock();
    if args.services.cluster.output == Output::Json {
        writeln!(out, "{}", serde_json::to_string_pretty(&answer)?)?;
        return Ok(());
    }
    write_reasons(&mut out, &answer)?;
    write_funnel(&mut out, &answer)?;
    Ok(())
}

/// Each reason with what would help; nothing when all is as it should be.
pub(super) fn write_reasons(out: &mut impl Write, why: &Value) -> std::io::Result<()> {
    for reason in items(&why["reasons"]) {
        let count = match reason["count"].as_u64() {
            Some(count) if count > 0 => format!("{count} × "),
            _ => String::new(),
        };
        writeln!(out, "{count}{}.", text(&reason["sentence"]))?;
        for change in items(&reason["changes"]) {
            writeln!(out, "  - {}{}", text(&change["sentence"]), how(change))?;
        }
    }
    Ok(())
}

/// What to send for a change.
fn how(change: &Value) -> String {
    match (&change["patch"], &change["call"]) {
        (Value::Object(patch), _) => format!("   {}", Value::Object(patch.clone())),
        (_, Value::Object(call)) => format!("   {} {}", text(&call["method"]), text(&call["path"])),
        _ => String::new(),
    }
}

fn write_funnel(out: &mut impl Write, why: &Value) -> std::io::Result<()> {
    let agents = why["offers"]["agents"].as_u64().unwrap_or(0);
    if agents == 0 || why["waiting"].as_u64() == Some(0) {
        return Ok(());
    }
    writeln!(out, "\nOffers of {agents} agents, {} fit:", text(&why["offers"]["fitting"]))?;
    for row in items(&why["funnel"]) {
        let (reached, stopped) =
            (row["processed"].as_u64().unwrap_or(0), row["declined"].as_u64().unwrap_or(0));
        if reached > 0 {
            writeln!(out, "  {:<34} {stopped:>7} of {reached}", text(&row["reason"]))?;
        }
    }
    Ok(())
}
