//! Deployments of the services framework: what goes on, and how to hold, hurry or undo it.

use std::io::Write;

use anyhow::Result;
use clap::{Args, Subcommand};
use http::Method;
use serde_json::Value;

use super::api::escaped;
use super::apps::{Proxy, Services};
use super::output::{self, Column, text};

#[derive(Debug, Args)]
pub(crate) struct Which {
    #[command(flatten)]
    services: Services,
    /// The deployment's id.
    deployment: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeploymentsCommand {
    /// Lists the deployments on their way, and what each waits for.
    List {
        #[command(flatten)]
        services: Services,
    },
    /// Keeps a deployment where it is: it starts and stops nothing until it is resumed; what fails is replaced by what it was.
    Pause(Which),
    /// Lets a paused deployment go on.
    Resume(Which),
    /// Lets a canary go on to its next stage.
    Promote(Which),
    /// Undoes what a deployment has changed, by a deployment of its own.
    Rollback(Which),
    /// Ends a deployment and leaves things where they are.
    Cancel(Which),
}

const DEPLOYMENTS: &[Column] = &[
    ("ID", |one| text(&one["id"])),
    ("APPS", |one| {
        [text(&one["affectedApps"]), text(&one["affectedPods"])].join(",").trim_matches(',').to_owned()
    }),
    ("STEP", |one| format!("{}/{}", text(&one["currentStep"]), text(&one["totalSteps"]))),
    (
        "STATE",
        |one| if one["rollout"]["paused"].is_string() { "paused".to_owned() } else { "running".to_owned() },
    ),
    ("WAITS FOR", |one| {
        let explanations = one["explanations"].as_array().into_iter().flatten();
        explanations.map(|one| text(&one["sentence"])).collect::<Vec<_>>().join("; ")
    }),
];

pub(crate) async fn run(command: DeploymentsCommand) -> Result<()> {
    match command {
        DeploymentsCommand::List { services } => {
            let listed = Proxy::find(&services).await?.get("/v2/deployments?embed=explanation").await?;
            let listed = listed.as_array().map_or(&[][..], Vec::as_slice);
            output::list(services.cluster.output, listed, DEPLOYMENTS)
        }
        DeploymentsCommand::Pause(which) => post(&which, "pause").await,
        DeploymentsCommand::Resume(which) => post(&which, "resume").await,
        DeploymentsCommand::Promote(which) => post(&which, "promote").await,
        DeploymentsCommand::Rollback(which) => {
            let answer = Proxy::find(&which.services).await?.call(Method::DELETE, &path(&which)).await?;
            writeln!(std::io::stdout(), "deployment {}", text(&answer["deploymentId"]))?;
            Ok(())
        }
        DeploymentsCommand::Cancel(which) => {
            let proxy = Proxy::find(&which.services).await?;
            proxy.call(Method::DELETE, &format!("{}?force=true", path(&which))).await?;
            Ok(())
        }
    }
}

async fn post(which: &Which, what: &str) -> Result<()> {
    let _: Value =
        Proxy::find(&which.services).await?.call(Method::POST, &format!("{}/{what}", path(which))).await?;
    Ok(())
}

fn path(which: &Which) -> String {
    format!("/v2/deployments/{}", escaped(&which.deployment))
}
