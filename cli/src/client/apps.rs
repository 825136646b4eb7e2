//! Apps of the services framework, reached through the master's proxy.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::Cluster;
use super::api::{Api, ApiError, escaped};
use super::output::{self, Column, number, text};

/// How often a waiting command looks at the deployment.
const LOOK_EVERY: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
pub(crate) struct Services {
    #[command(flatten)]
    pub(super) cluster: Cluster,
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
    /// Creates or updates the app, or the apps, of a JSON file; `-` reads from stdin.
    Deploy {
        #[command(flatten)]
        services: Services,
        /// An app definition as Marathon knows it, or a list of them.
        file: PathBuf,
        #[command(flatten)]
        wait: Wait,
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
    /// Ends an app and all its instances.
    Rm {
        #[command(flatten)]
        services: Services,
        /// The app's id.
        app: String,
        #[command(flatten)]
        wait: Wait,
    },
}

const APPS: &[Column] = &[
    ("ID", |app| text(&app["id"])),
    ("RUNNING", |app| format!("{}/{}", text(&app["tasksRunning"]), text(&app["instances"]))),
    ("STAGED", |app| text(&app["tasksStaged"])),
    ("UNHEALTHY", |app| text(&app["tasksUnhealthy"])),
    ("CPUS", |app| number(&app["cpus"])),
    ("MEM", |app| number(&app["mem"])),
    ("VERSION", |app| text(&app["version"])),
];

pub(crate) async fn run(command: AppsCommand) -> Result<()> {
    match command {
        AppsCommand::List { services } => {
            let apps = Proxy::find(&services).await?.get("/v2/apps?embed=apps.counts").await?;
            output::list(
                services.cluster.output,
                apps["apps"].as_array().map_or(&[][..], Vec::as_slice),
                APPS,
            )
        }
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
        AppsCommand::Rm { services, app, wait } => {
            Proxy::find(&services).await?.change(Method::DELETE, &app_path(&app), None, &wait).await
        }
    }
}

/// The services framework's REST API behind the master's proxy.
pub(super) struct Proxy {
    api: Api,
    prefix: String,
}

impl Proxy {
    pub(super) async fn find(services: &Services) -> Result<Self, ApiError> {
        let api = Api::find(&services.cluster.master).await?;
        Ok(Self { api, prefix: format!("/proxy/{}", escaped(&services.services)) })
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, ApiError> {
        self.api.get(&format!("{}{path}", self.prefix)).await
    }

    /// A call that carries nothing but its path.
    pub(super) async fn call(&self, method: Method, path: &str) -> Result<Value, ApiError> {
        self.api.json(method, &format!("{}{path}", self.prefix), None).await
    }

    async fn change(&self, method: Method, path: &str, body: Option<&Value>, wait: &Wait) -> Result<()> {
        let force = if wait.force { "?force=true" } else { "" };
        let answer = self.api.json(method, &format!("{}{path}{force}", self.prefix), body).await?;
        let deployment = answer["deploymentId"].as_str().or_else(|| answer["deployments"][0]["id"].as_str());
        let Some(deployment) = deployment else {
            writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&answer)?)?;
            return Ok(());
        };
        writeln!(std::io::stdout(), "deployment {deployment}")?;
        match wait.wait {
            Some(seconds) => self.wait(deployment, Duration::from_secs(seconds)).await,
            None => Ok(()),
        }
    }

    async fn wait(&self, deployment: &str, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        loop {
            let running = self.get("/v2/deployments").await?;
            let running = running.as_array().into_iter().flatten().find(|one| one["id"] == *deployment);
            let Some(running) = running else { return Ok(()) };
            if Instant::now() >= deadline {
                bail!(
                    "deployment {deployment} still runs: step {} of {}",
                    running["currentStep"],
                    running["totalSteps"]
                );
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

fn app_path(id: &str) -> String {
    let components: Vec<_> = id.split('/').filter(|component| !component.is_empty()).map(escaped).collect();
    format!("/v2/apps/{}", components.join("/"))
}

fn definition(file: &PathBuf) -> Result<Value> {
    let text = if file.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin()).context("cannot read stdin")?
    } else {
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?
    };
    serde_json::from_str(&text).with_context(|| format!("{} is no JSON", file.display()))
}
