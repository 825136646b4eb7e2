//! LAUNCH_CONTAINER and LAUNCH_NESTED_CONTAINER: a container of no task, within another or standalone.

use std::sync::Arc;

use chapada_listener::{HttpResponse, empty};
use chapada_wire::v1;
use chapada_wire::v1::agent::Call;
use chapada_wire::v1::agent::call::Type;
use http::StatusCode;

use super::{Api, Refusal, invalid, refusal};
use crate::attach::ContainerPath;
use crate::containers::nested::{NotLaunched, Outcome, Wish, launch};

pub(super) async fn open(api: &Arc<Api>, kind: Type, asked: &Call) -> Result<HttpResponse, Refusal> {
    let wish = match kind {
        Type::LaunchNestedContainer => nested(asked),
        _ => container(asked),
    };
    let wish = wish.map_err(|problem| invalid(&problem))?;
    let path = wish.path.clone();
    let view = api.view().await.map_err(Box::new)?;
    match launch(&api.means, view, wish, &api.tasks).await {
        Ok(Outcome::Launched) => Ok(empty(StatusCode::OK)),
        Ok(Outcome::Exists) => Ok(empty(StatusCode::ACCEPTED)),
        Err(error @ NotLaunched::Invalid(_)) => Err(invalid(&error.to_string())),
        Err(error @ NotLaunched::Unknown(_)) => Err(refusal(StatusCode::NOT_FOUND, error.to_string())),
        Err(error @ NotLaunched::Full) => Err(refusal(StatusCode::SERVICE_UNAVAILABLE, error.to_string())),
        Err(error @ NotLaunched::Failed(_)) => {
            Err(refusal(StatusCode::BAD_REQUEST, format!("Container {path} cannot be launched: {error}")))
        }
    }
}

fn container(asked: &Call) -> Result<Wish, String> {
    let field = "launch_container";
    let launch =
        asked.launch_container.as_ref().ok_or_else(|| format!("Expecting '{field}' to be present"))?;
    Ok(Wish {
        field,
        path: path(field, launch.container_id.as_ref())?,
        command: command(field, launch.command.as_ref())?,
        container: launch.container.clone(),
        resources: launch.resources.clone(),
        limits: launch.limits.clone().into_iter().collect(),
    })
}

fn nested(asked: &Call) -> Result<Wish, String> {
    let field = "launch_nested_container";
    let launch = asked.launch_nested_container.as_ref();
    let launch = launch.ok_or_else(|| format!("Expecting '{field}' to be present"))?;
    let path = path(field, launch.container_id.as_ref())?;
    if path.parent().is_none() {
        return Err(format!("Expecting '{field}.container_id.parent' to be present"));
    }
    Ok(Wish {
        field,
        path,
        command: command(field, launch.command.as_ref())?,
        container: launch.container.clone(),
        resources: Vec::new(),
        limits: std::collections::HashMap::new(),
    })
}

fn path(field: &str, id: Option<&v1::ContainerId>) -> Result<ContainerPath, String> {
    ContainerPath::read(&format!("{field}.container_id"), id)
}

fn command(field: &str, command: Option<&v1::CommandInfo>) -> Result<v1::CommandInfo, String> {
    command.cloned().ok_or_else(|| format!("Expecting '{field}.command' to be present"))
}
