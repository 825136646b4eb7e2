//! `/v2/deployments` and `/v2/queue`.

use std::sync::Arc;

use chapada_listener::{Call, HttpResponse, empty};
use chapada_services_core::{AppId, Command, DeploymentId};
use http::StatusCode;

use super::answer::{self, Answer, error, ok, unavailable};
use super::{Api, apps, params, underway, why};

/// With `embed=explanation`, each with why the apps that it is at are not where they should be.
pub(crate) async fn list(api: Arc<Api>, call: Call) -> Answer {
    if call.query().all("embed").any(|wanted| wanted == "explanation") {
        return why::deployments(&api).await;
    }
    let all = underway::all(&api.services, 0).await.map_err(unavailable)?;
    ok(&all.into_iter().map(|deployment| deployment.json).collect())
}

/// Stops a deployment where it is with `force`, else undoes it.
pub(crate) async fn delete(api: Arc<Api>, call: Call) -> Answer {
    let deployment = named(&call)?;
    let force = params::flag(&call.query(), "force", false);
    let reply = apps::run(&api, Command::Cancel { deployment, force }).await?;
    match force {
        true => Ok(empty(StatusCode::ACCEPTED)),
        false => Ok(answer::reply(reply)),
    }
}

/// A canary goes on to its next stage.
pub(crate) async fn promote(api: Arc<Api>, call: Call) -> Answer {
    change(&api, &call, Command::Promote).await
}

/// A deployment stays where it is for now.
pub(crate) async fn pause(api: Arc<Api>, call: Call) -> Answer {
    change(&api, &call, Command::Pause).await
}

/// A paused deployment goes on.
pub(crate) async fn resume(api: Arc<Api>, call: Call) -> Answer {
    change(&api, &call, Command::Resume).await
}

async fn change(api: &Api, call: &Call, command: impl Fn(DeploymentId) -> Command) -> Answer {
    let deployment = named(call)?;
    let reply = apps::run(api, command(deployment)).await?;
    Ok(answer::reply(reply))
}

/// The deployment in the path.
fn named(call: &Call) -> Result<DeploymentId, HttpResponse> {
    let text = call.param("id");
    text.parse().map_err(|_| error(StatusCode::NOT_FOUND, format!("DeploymentPlan {text} does not exist")))
}

pub(crate) async fn queue(api: Arc<Api>, call: Call) -> Answer {
    let query = call.query();
    let embeds = |name: &str| query.all("embed").any(|value| value == name);
    let embed = why::Embed { offers: embeds("lastUnusedOffers"), explanation: embeds("explanation") };
    why::queue(&api, embed).await
}

/// `/v2/queue/{app}/delay`: the app waits no longer.
pub(crate) async fn reset_delay(api: Arc<Api>, call: Call) -> Answer {
    let path = call.param("path").trim_end_matches('/');
    let missing = || error(StatusCode::NOT_FOUND, format!("Application {path} not found in tasks queue."));
    let app: AppId = path.strip_suffix("/delay").and_then(|id| id.parse().ok()).ok_or_else(missing)?;
    apps::run(&api, Command::ResetDelay { app }).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}
