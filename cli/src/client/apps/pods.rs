//! Pods of the services framework.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};

use super::proxy::{Proxy, definition, path_of};
use super::show::items;
use super::why::write_reasons;
use super::{Services, Wait};
use crate::client::api::ApiError;
use crate::client::output::{self, Column, Output, text};

#[derive(Debug, Subcommand)]
pub(crate) enum PodsCommand {
    /// Lists the pods and how they are.
    List {
        #[command(flatten)]
        services: Services,
    },
    /// Shows a pod, its instances, and why it is not where it should be.
    Show {
        #[command(flatten)]
        services: Services,
        /// The pod's id.
        pod: String,
    },
    /// Creates or updates the pod of a JSON file; `-` reads from stdin.
    #[command(visible_aliases = ["create", "update"])]
    Deploy {
        #[command(flatten)]
        services: Services,
        /// A pod definition as Marathon knows it.
        file: PathBuf,
        #[command(flatten)]
        wait: Wait,
    },
    /// Sets how many instances a pod has.
    Scale {
        #[command(flatten)]
        services: Services,
        /// The pod's id.
        pod: String,
        /// The number to reach.
        instances: u32,
        #[command(flatten)]
        wait: Wait,
    },
    /// Ends a pod and all its instances.
    #[command(visible_alias = "delete")]
    Rm {
        #[command(flatten)]
        services: Services,
        /// The pod's id.
        pod: String,
        #[command(flatten)]
        wait: Wait,
    },
}

const PODS: &[Column] = &[
    ("ID", |pod| text(&pod["id"])),
    ("STATUS", |pod| text(&pod["status"])),
    ("STABLE", |pod| {
        let stable = items(&pod["instances"]).iter().filter(|one| one["status"] == "STABLE").count();
        format!("{stable}/{}", text(&pod["spec"]["scaling"]["instances"]))
    }),
    ("CONTAINERS", |pod| items(&pod["spec"]["containers"]).len().to_string()),
    ("VERSION", |pod| text(&pod["spec"]["version"])),
];

const INSTANCES: &[Column] = &[
    ("INSTANCE", |one| text(&one["id"])),
    ("STATUS", |one| text(&one["status"])),
    ("HOST", |one| text(&one["agentHostname"])),
    ("SINCE", |one| text(&one["statusSince"])),
    ("MESSAGE", |one| text(&one["message"])),
];

pub(crate) async fn pods(command: PodsCommand) -> Result<()> {
    match command {
        PodsCommand::List { services } => {
            let pods = Proxy::find(&services).await?.get("/v2/pods/::status").await?;
            output::list(services.cluster.output, items(&pods), PODS)
        }
        PodsCommand::Show { services, pod } => show(&services, &pod).await,
        PodsCommand::Deploy { services, file, wait } => {
            let proxy = Proxy::find(&services).await?;
            let definition = definition(&file)?;
            let Some(id) = definition["id"].as_str() else { bail!("{} has no \"id\"", file.display()) };
            let (method, path) = match proxy.get(&pod_path(id)).await {
                Ok(_) => (Method::PUT, pod_path(id)),
                Err(ApiError::NotFound(_)) => (Method::POST, "/v2/pods".to_owned()),
                Err(error) => return Err(error.into()),
            };
            change(&proxy, (method, &path), Some(&definition), id, &wait).await
        }
        PodsCommand::Scale { services, pod, instances, wait } => {
            let proxy = Proxy::find(&services).await?;
            let mut definition = proxy.get(&pod_path(&pod)).await?;
            definition["scaling"] = json!({"kind": "fixed", "instances": instances});
            change(&proxy, (Method::PUT, &pod_path(&pod)), Some(&definition), &pod, &wait).await
        }
        PodsCommand::Rm { services, pod, wait } => {
            let proxy = Proxy::find(&services).await?;
            change(&proxy, (Method::DELETE, &pod_path(&pod)), None, &pod, &wait).await
        }
    }
}

async fn show(services: &Services, pod: &str) -> Result<()> {
    let proxy = Proxy::find(services).await?;
    let path = pod_path(pod);
    let pod = proxy.get(&format!("{path}::status")).await?;
    let why = proxy.get(&format!("{path}::why")).await?;
    let mut out = std::io::stdout().lock();
    if services.cluster.output == Output::Json {
        let both = json!({"pod": pod, "why": why});
        writeln!(out, "{}", serde_json::to_string_pretty(&both)?)?;
        return Ok(());
    }
    for (name, value) in
        [("id", &pod["id"]), ("status", &pod["status"]), ("version", &pod["spec"]["version"])]
    {
        writeln!(out, "{name:<8} {}", text(value))?;
    }
    write_reasons(&mut out, &why)?;
    if !items(&pod["instances"]).is_empty() {
        writeln!(out)?;
        drop(out);
        output::list(Output::Table, items(&pod["instances"]), INSTANCES)?;
    }
    Ok(())
}

/// A change of a pod. Its answer names no deployment; the one that has the pod is the one that was begun.
async fn change(
    proxy: &Proxy,
    (method, path): (Method, &str),
    body: Option<&Value>,
    pod: &str,
    wait: &Wait,
) -> Result<()> {
    let force = if wait.force { "?force=true" } else { "" };
    proxy.send(method, &format!("{path}{force}"), body).await?;
    let id = format!("/{}", pod.trim_matches('/'));
    let running = proxy.get("/v2/deployments").await?;
    let has_it = |one: &&Value| items(&one["affectedPods"]).iter().any(|pod| *pod == *id);
    match items(&running).iter().find(has_it).and_then(|one| one["id"].as_str()) {
        Some(deployment) => proxy.follow(deployment, wait).await,
        None => Ok(writeln!(std::io::stdout(), "done")?),
    }
}

fn pod_path(id: &str) -> String {
    path_of("pods", id)
}
