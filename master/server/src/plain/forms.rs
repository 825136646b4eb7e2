//! `/reserve`, `/unreserve`, `/create-volumes`, `/destroy-volumes` and `/teardown`: the calls in the form before
//! `/api/v1`, a POST of a form as `curl -d` makes it.

use std::sync::Arc;

use chapada_listener::{
    Action, BodyError, Call, ContentRule, HttpResponse, Principal, Query, RouteEntry, Routes, text,
};
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
type Read = fn(&Principal, &Query) -> Result<OperatorCall, String>;

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
    let operation = read_body(read, &call.principal, &body);
    carry_out_operation(&led, operation.map_err(|why| text(StatusCode::BAD_REQUEST, why))?).await
}

fn read_body(read: Read, by: &Principal, body: &[u8]) -> Result<OperatorCall, String> {
    let form = std::str::from_utf8(body).map_err(|_| "The body is no form: it is not UTF-8".to_owned())?;
    read(by, &Query::parse(form))
}

/// What a form at this path asks for; nothing at other paths.
pub(crate) fn read_form(path: &str, body: &[u8]) -> Option<Result<OperatorCall, String>> {
    let (_, read) = FORMS.iter().find(|(pattern, _)| *pattern == path)?;
    Some(read_body(*read, &Principal::Anonymous, body))
}

fn reserve(by: &Principal, form: &Query) -> Result<OperatorCall, String> {
    let resources = resources(form)?;
    change(by, form, Change::Reserve { source: Resources::EMPTY, resources })
}

fn unreserve(by: &Principal, form: &Query) -> Result<OperatorCall, String> {
    change(by, form, Change::Unreserve { resources: resources(form)? })
}

fn create(by: &Principal, form: &Query) -> Result<OperatorCall, String> {
    change(by, form, Change::Create { volumes: volumes(form)? })
}

fn destroy(by: &Principal, form: &Query) -> Result<OperatorCall, String> {
    change(by, form, Change::Destroy { volumes: volumes(form)? })
}

fn teardown(_: &Principal, form: &Query) -> Result<OperatorCall, String> {
    Ok(OperatorCall::Teardown { framework: framework_id(field(form, "frameworkId")?)? })
}

fn change(by: &Principal, form: &Query, change: Change) -> Result<OperatorCall, String> {
    Ok(changing(agent_id(field(form, "slaveId")?)?, change, by))
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
