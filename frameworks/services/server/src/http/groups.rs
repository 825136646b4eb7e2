//! `/v2/groups`, read only so far, and `/v2/pods`, of which there are none.

use std::collections::BTreeMap;
use std::sync::Arc;

use chapada_listener::{Call, json as answer_json};
use chapada_services_core::{AppId, Services};
use http::StatusCode;
use serde_json::{Value, json};

use super::answer::{Answer, error, ok, unavailable};
use super::{Api, params};
use crate::render;
use crate::render::apps::Embed;

pub(crate) async fn get(api: Arc<Api>, call: Call) -> Answer {
    let embed = params::embed(&call.query(), Embed::default());
    let path = call.param("path").trim_end_matches('/').to_owned();
    let (group, only_apps) = match path.strip_suffix("/apps").or((path == "apps").then_some("")) {
        Some(group) => (group.to_owned(), true),
        None => (path, false),
    };
    let read = move |services: &Services, _| {
        let render = |state: &chapada_services_core::AppState| {
            (state.app.definition.id.clone(), render::apps::app(state, embed))
        };
        let apps: BTreeMap<AppId, Value> = services.apps().map(render).collect();
        (render::groups::tree(&group, &apps, services.version()), group)
    };
    match api.services.read(read).await.map_err(unavailable)? {
        (None, group) => {
            let message = format!("Group '/{}' does not exist", group.trim_matches('/'));
            Err(error(StatusCode::NOT_FOUND, message))
        }
        (Some(group), _) if only_apps => ok(&json!({"apps": group["apps"]})),
        (Some(group), _) => ok(&group),
    }
}

pub(crate) async fn refuse(_api: Arc<Api>, _call: Call) -> Answer {
    let message =
        "groups cannot be changed yet; they exist where apps are: use /v2/apps with ids such as /group/app";
    Err(error(StatusCode::METHOD_NOT_ALLOWED, message))
}

pub(crate) async fn pods(_api: Arc<Api>, call: Call) -> Answer {
    match call.param("path").trim_matches('/') {
        "" | "::status" => Ok(answer_json(StatusCode::OK, &json!([]))),
        pod => Err(error(StatusCode::NOT_FOUND, format!("Pod '/{pod}' does not exist"))),
    }
}

pub(crate) async fn refuse_pods(_api: Arc<Api>, _call: Call) -> Answer {
    Err(error(StatusCode::UNPROCESSABLE_ENTITY, "pods are not supported yet"))
}
