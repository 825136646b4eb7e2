//! The master that leads gives its place to the next one in line.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};

use super::api::{Api, ApiError};
use super::{Cluster, Output};

/// The next in line leads within some dozen milliseconds.
const NEXT_WITHIN: Duration = Duration::from_secs(15);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

#[derive(Debug, Subcommand)]
pub(crate) enum MasterCommand {
    /// Has the master that leads give its place to the next one in line, and waits until that one leads.
    ///
    /// Nothing that was acknowledged is lost and no task notices. The former leader stands in line again.
    StepDown {
        #[command(flatten)]
        cluster: Cluster,
        /// Also when no other master waits to lead: then this one does again, a moment later.
        #[arg(long)]
        force: bool,
    },
}

pub(crate) async fn step_down(cluster: &Cluster, force: bool) -> Result<()> {
    let api = Api::find(cluster).await?;
    let asked = Instant::now();
    let former = api.json(Method::POST, "/leadership/step-down", Some(&json!({ "force": force }))).await?;
    let next = next(&api, former["epoch"].as_u64().unwrap_or_default(), asked).await?;
    let seconds = asked.elapsed().as_secs_f64();
    let host = next["leader"]["hostname"].as_str().unwrap_or_default();
    let leader = format!("{host}:{}", next["leader"]["port"].as_u64().unwrap_or_default());
    let epoch = next["epoch"].as_u64().unwrap_or_default();
    match cluster.output {
        Output::Json => println!("{}", json!({ "leader": leader, "epoch": epoch, "seconds": seconds })),
        Output::Table => println!("{leader} leads (epoch {epoch}), after {seconds:.2} s"),
    }
    Ok(())
}

/// What the next leader says of the cluster.
async fn next(api: &Api, former: u64, asked: Instant) -> Result<Value> {
    loop {
        let seen = match api.get("/query/v1/overview").await {
            Ok(overview) if overview["epoch"].as_u64() > Some(former) => return Ok(overview),
            Ok(_) => "the former leader still answers".to_owned(),
            Err(error @ (ApiError::Unreachable { .. } | ApiError::Unavailable { .. })) => error.to_string(),
            Err(error) => return Err(error.into()),
        };
        if asked.elapsed() > NEXT_WITHIN {
            bail!("the leader has stepped down, and nobody leads after {} s: {seen}", NEXT_WITHIN.as_secs());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
