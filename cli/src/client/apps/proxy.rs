//! The services framework's REST API behind the master's proxy.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use http::Method;
use serde_json::Value;

use super::{Services, Wait};
use crate::client::api::{Api, ApiError, escaped};

/// How often a waiting command looks at the deployment.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The services framework's REST API behind the master's proxy.
pub(crate) struct Proxy {
    api: Api,
    prefix: String,
}

impl Proxy {
    pub(crate) async fn find(services: &Services) -> Result<Self, ApiError> {
        let api = Api::find(&services.cluster).await?;
        Ok(Self { api, prefix: format!("/proxy/{}", escaped(&services.services)) })
    }

    /// A GET whose answer is JSON.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, ApiError> {
        self.send(Method::GET, path, None).await
    }

    /// A call that carries nothing but its path.
    pub(crate) async fn call(&self, method: Method, path: &str) -> Result<Value, ApiError> {
        self.send(method, path, None).await
    }

    /// Any call with JSON in and out.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, ApiError> {
        self.api.json(method, &format!("{}{path}", self.prefix), body).await
    }

    /// A change that a deployment carries out; says which.
    pub(super) async fn change(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        wait: &Wait,
    ) -> Result<()> {
        let force = if wait.force { "?force=true" } else { "" };
        let answer = self.send(method, &format!("{path}{force}"), body).await?;
        let deployment = answer["deploymentId"].as_str().or_else(|| answer["deployments"][0]["id"].as_str());
        let Some(deployment) = deployment else {
            writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&answer)?)?;
            return Ok(());
        };
        self.follow(deployment, wait).await
    }

    /// Says which deployment it is, and waits for its end if that is wanted.
    pub(super) async fn follow(&self, deployment: &str, wait: &Wait) -> Result<()> {
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

pub(super) fn app_path(id: &str) -> String {
    path_of("apps", id)
}

pub(super) fn path_of(kind: &str, id: &str) -> String {
    let components: Vec<_> = id.split('/').filter(|component| !component.is_empty()).map(escaped).collect();
    format!("/v2/{kind}/{}", components.join("/"))
}

pub(super) fn definition(file: &PathBuf) -> Result<Value> {
    let text = if file.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin()).context("cannot read stdin")?
    } else {
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?
    };
    serde_json::from_str(&text).with_context(|| format!("{} is no JSON", file.display()))
}
