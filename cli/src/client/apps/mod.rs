//! Apps and pods of the services framework, reached through the master's proxy.

mod plan;
mod pods;
mod proxy;
mod show;
mod why;

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use http::Method;
use serde_json::json;

use super::Cluster;
use proxy::{app_path, definition};

pub(crate) use pods::{PodsCommand, pods};
pub(crate) use proxy::Proxy;
pub(crate) use why::{WhyArgs, why};

#[derive(Debug, Clone, Args)]
pub(crate) struct Services {
    #[command(flatten)]
    pub(crate) cluster: Cluster,
    /// The services framework, by name or id.
    #[arg(long, default_value = "services", global = true)]
    services: String,
}

#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// Returns when the deployment is done, or fails after this many seconds.
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u64>,
    /// Takes over from a deployment that holds the app.
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AppsCommand {
    /// Lists the apps.
    List {
        #[command(flatten)]
        services: Services,
    },
    /// Shows an app, its tasks, and why it is not where it should be.
    Show {
        #[command(flatten)]
        services: Services,
        /// The app's id.
        app: String,
    },
    /// Creates or updates the app, or the apps, of a JSON file; `-` reads from stdin.
    #[command(visible_aliases = ["create", "update"])]
    Deploy {
        #[command(flatten)]
        services: Services,
        /// An app definition as Marathon knows it, or a list of them.
        file: PathBuf,
        #[command(flatten)]
        wait: Wait,
    },
    /// Says what deploying the file would do, and does nothing.
    Plan {
        #[command(flatten)]
        services: Services,
        /// An app definition as Marathon knows it, or a list of them; `-` reads from stdin.
        file: PathBuf,
        /// As if deployments in the way were cancelled.
        #[arg(long)]
        force: bool,
    },
    /// Sets how many instances an app has.
    Scale {
        #[command(flatten)]
        services: Services,
        /// The app's id.
        app: String,
        /// The number to reach.
        instances: u32,
        #[command(flatten)]
        wait: Wait,
    },
    /// Replaces every task of an app.
    Restart {
        #[command(flatten)]
        services: Services,
        /// The app's id.
        app: String,
        #[command(flatten)]
        wait: Wait,
    },
    /// Lists the versions of an app, newest first.
    Versions {
        #[command(flatten)]
        services: Services,
        /// The app's id.
        app: String,
    },
    /// Goes back to a version of an app.
    Rollback {
        #[command(flatten)]
        services: Services,
        /// The app's id.
        app: String,
        /// One of its versions.
        version: String,
        #[command(flatten)]
        wait: Wait,
    },
    /// Ends an app and all its instances.
    #[command(visible_alias = "delete")]
    Rm {
        #[command(flatten)]
        services: Services,
        /// The app's id.
        app: String,
        #[command(flatten)]
        wait: Wait,
    },
}

pub(crate) async fn run(command: AppsCommand) -> Result<()> {
    match command {
        AppsCommand::List { services } => show::list(&services).await,
        AppsCommand::Show { services, app } => show::show(&services, &app).await,
        AppsCommand::Versions { services, app } => show::versions(&services, &app).await,
        AppsCommand::Plan { services, file, force } => plan::plan(&services, &file, force).await,
        AppsCommand::Deploy { services, file, wait } => {
            let proxy = Proxy::find(&services).await?;
            let definition = definition(&file)?;
            let path = match definition["id"].as_str() {
                Some(id) => app_path(id),
                None if definition.is_array() => "/v2/apps".to_owned(),
                None => bail!("{} has no \"id\"", file.display()),
            };
            proxy.change(Method::PUT, &path, Some(&definition), &wait).await
        }
        AppsCommand::Scale { services, app, instances, wait } => {
            let change = json!({ "instances": instances });
            let proxy = Proxy::find(&services).await?;
            proxy.get(&app_path(&app)).await?;
            proxy.change(Method::PUT, &app_path(&app), Some(&change), &wait).await
        }
        AppsCommand::Restart { services, app, wait } => {
            let path = format!("{}/restart", app_path(&app));
            Proxy::find(&services).await?.change(Method::POST, &path, Some(&json!({})), &wait).await
        }
        AppsCommand::Rollback { services, app, version, wait } => {
            let change = json!({ "version": version });
            let proxy = Proxy::find(&services).await?;
            proxy.get(&app_path(&app)).await?;
            proxy.change(Method::PUT, &app_path(&app), Some(&change), &wait).await
        }
        AppsCommand::Rm { services, app, wait } => {
            Proxy::find(&services).await?.change(Method::DELETE, &app_path(&app), None, &wait).await
        }
    }
}
