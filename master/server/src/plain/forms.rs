//! `/reserve`, `/unreserve`, `/create-volumes`, `/destroy-volumes` and `/teardown`: the calls in the form before
//! `/api/v1`, a POST of a form as `curl -d` makes it.

use std::sync::Arc;

use chapada_listener::{Action, BodyError, Call, ContentRule, HttpResponse, Query, RouteEntry, Routes, text};
use chapada_master_core::{Change, OperatorCall};
use chapada_model::Resources;
use chapada_wire::Json;
use chapada_wire::convert::resources_from_wire;
use chapada_wire::v1::offer::operation::{Create, Reserve};
use http::{Method, StatusCode};

use super::endpoints::path_and_query;
use crate::operator::{agent_id, carry_out_operation, changing, framework_id};
use crate::shell::Shell;

/// What is done with what a form names.
type Read = fn(&Call, &Query) -> Result<OperatorCall, String>;

const FORMS: [(&str, Read); 10] = [
    ("/reserve", reserve),
    ("/master/reserve", reserve),
    ("/unreserve", unreserve),
    ("/master/unreserve", unreserve),
    ("/create-volumes", create),
    ("/master/create-volumes", create),
    ("/destroy-volumes", destroy),
    ("/master/destroy-volumes", destroy),
    ("/teardown", teardown),
    ("/master/teardown", teardown),
];

/// Adds the routes.
pub(crate) fn form_routes(mut routes: Routes, shell: &Arc<Shell>) -> Routes {
    for (pattern, read) in FORMS {
        let shell = shell.clone();
        let entry = RouteEntry {
            method: Some(Method::POST),
            pattern,
            action: Action::OperateCluster,
            content: ContentRule::Form,
        };
        routes = routes.add(entry, move |call| {
            let shell = shell.clone();
            async move {
                match asked(&shell, call, read).await {
                    Ok(response) | Err(response) => response,
                }
            }
        });
    }
    routes
}

async fn asked(shell: &Shell, call: Call, read: Read) -> Result<HttpResponse, HttpResponse> {
    let led = shell.leading().map_err(|elsewhere| elsewhere.response(&path_and_query(&call)))?;
    let body = call.read_body().await.map_err(BodyError::into_response)?;
    let bad = |why: String| text(StatusCode::BAD_REQUEST, why);
    let form =
        std::str::from_utf8(&body).map_err(|_| bad("The body is no form: it is not UTF-8".to_owned()))?;
    let operation = read(&call, &Query::parse(form)).map_err(bad)?;
    carry_out_operation(&led, operation).await
}

fn reserve(call: &Call, form: &Query) -> Result<OperatorCall, String> {
    let resources = resources(form)?;
    change(call, form, Change::Reserve { source: Resources::EMPTY, resources })
}

fn unreserve(call: &Call, form: &Query) -> Result<OperatorCall, String> {
    change(call, form, Change::Unreserve { resources: resources(form)? })
}

fn create(call: &Call, form: &Query) -> Result<OperatorCall, String> {
    change(call, form, Change::Create { volumes: volumes(form)? })
}

fn destroy(call: &Call, form: &Query) -> Result<OperatorCall, String> {
    change(call, form, Change::Destroy { volumes: volumes(form)? })
}

fn teardown(_: &Call, form: &Query) -> Result<OperatorCall, String> {
    Ok(OperatorCall::Teardown { framework: framework_id(field(form, "frameworkId")?)? })
}

fn change(call: &Call, form: &Query, change: Change) -> Result<OperatorCall, String> {
    Ok(changing(agent_id(field(form, "slaveId")?)?, change, &call.principal))
}

/// Source: Mesos' text.
fn field<'a>(form: &'a Query, name: &str) -> Result<&'a str, String> {
    form.get(name).ok_or_else(|| format!("Missing '{name}' query parameter in the request body"))
}

fn resources(form: &Query) -> Result<Resources, String> {
    let list = list(field(form, "resources")?, "resources")?;
    let read = Reserve::from_json(&list).map_err(|why| unreadable("resources", &why.to_string()))?;
    resources_from_wire("resources", &read.resources).map_err(|why| unreadable("resources", &why.to_string()))
}

fn volumes(form: &Query) -> Result<Resources, String> {
    let list = list(field(form, "volumes")?, "volumes")?;
    let read = Create::from_json(&list).map_err(|why| unreadable("volumes", &why.to_string()))?;
    resources_from_wire("volumes", &read.volumes).map_err(|why| unreadable("volumes", &why.to_string()))
}

/// A JSON list under its name. It must be one whole value before it may stand inside another.
fn list(json: &str, name: &str) -> Result<Vec<u8>, String> {
    let whole = serde_json::from_str::<Vec<serde::de::IgnoredAny>>(json);
    whole.map_err(|why| unreadable(name, &why.to_string()))?;
    Ok(format!("{{\"{name}\":{json}}}").into_bytes())
}

fn unreadable(name: &str, why: &str) -> String {
    format!("Error in parsing '{name}' query parameter in the request body: {why}")
}
