//! `/containers` and `/monitor/statistics`: what runs and what it uses.

use std::sync::Arc;

use chapada_listener::{Call, HttpResponse, bytes};
use chapada_wire::Json;
use http::StatusCode;

use super::Api;
use crate::statistics::{self, Listed};

/// Room for what one container has, so that the text of a thousand need not be moved.
const USUAL_LENGTH: usize = 1536;

/// As Mesos: what is in others only when asked.
pub(super) async fn containers(api: Arc<Api>, call: Call) -> HttpResponse {
    let nested = call.query().get("show_nested").is_some_and(|wanted| wanted == "true");
    list(api, true, nested).await
}

pub(super) async fn statistics(api: Arc<Api>, _: Call) -> HttpResponse {
    list(api, false, false).await
}

async fn list(api: Arc<Api>, with_status: bool, nested: bool) -> HttpResponse {
    let view = match api.view().await {
        Ok(view) => view,
        Err(refusal) => return refusal,
    };
    let listed = statistics::list(&api.means, &view).await;
    let mut out = Vec::with_capacity(2 + listed.len() * USUAL_LENGTH);
    out.push(b'[');
    let shown = listed.iter().filter(|one| nested || one.running.parent.is_none());
    for (number, one) in shown.enumerate() {
        if number > 0 {
            out.push(b',');
        }
        write(one, with_status, &mut out);
    }
    out.push(b']');
    bytes(StatusCode::OK, "application/json", out)
}

fn write(one: &Listed, with_status: bool, out: &mut Vec<u8>) {
    let running = &one.running;
    let fields = [
        ("container_id", running.container.as_str()),
        ("executor_id", &running.executor),
        ("executor_name", &running.name),
        ("framework_id", &running.framework),
        ("source", &running.source),
    ];
    out.push(b'{');
    for (name, value) in &fields[usize::from(!with_status)..] {
        out.extend_from_slice(format!("\"{name}\":{},", serde_json::Value::from(*value)).as_bytes());
    }
    out.extend_from_slice(b"\"statistics\":");
    match &one.used {
        Some(used) => used.write_json(out),
        None => out.extend_from_slice(b"null"),
    }
    if with_status {
        out.extend_from_slice(b",\"status\":");
        one.status.write_json(out);
    }
    out.push(b'}');
}
