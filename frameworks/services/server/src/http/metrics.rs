//! `/metrics`: a few figures, as Marathon's JSON or as Prometheus' text. The names live here and nowhere else.

use std::sync::Arc;

use chapada_listener::{Call, HttpResponse, bytes};
use chapada_services_core::Services;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::Api;
use super::answer::{Answer, ok, unavailable};

/// A figure: its name in JSON, its name in Prometheus' text, what it is.
struct Gauge {
    json: &'static str,
    text: &'static str,
    help: &'static str,
    value: u64,
}

async fn gauges(api: &Api) -> Result<Vec<Gauge>, HttpResponse> {
    let read = |services: &Services, now| {
        let mut counts = (0u64, 0u64, 0u64, 0u64);
        for state in services.apps() {
            let of_app = state.counts_by_state();
            counts.0 += 1;
            counts.1 += u64::from(state.app.definition.instances);
            counts.2 += u64::from(of_app.running);
            counts.3 += u64::from(of_app.staged);
        }
        let waiting: usize = services.queue(now).map(|waiting| waiting.count).sum();
        (counts, waiting as u64, services.deployments().count() as u64, u64::from(services.is_connected()))
    };
    let (counts, waiting, deployments, connected) = api.services.read(read).await.map_err(unavailable)?;
    let gauge = |json, text, help, value| Gauge { json, text, help, value };
    Ok(vec![
        gauge("marathon.apps.active.gauge", "chapada_services_apps", "apps", counts.0),
        gauge(
            "marathon.instances.target.gauge",
            "chapada_services_instances_wanted",
            "instances wanted",
            counts.1,
        ),
        gauge(
            "marathon.instances.running.gauge",
            "chapada_services_tasks_running",
            "tasks that run",
            counts.2,
        ),
        gauge(
            "marathon.instances.staged.gauge",
            "chapada_services_tasks_staged",
            "tasks that begin",
            counts.3,
        ),
        gauge(
            "marathon.instances.queued.gauge",
            "chapada_services_instances_waiting",
            "instances that wait",
            waiting,
        ),
        gauge(
            "marathon.deployments.active.gauge",
            "chapada_services_deployments",
            "deployments",
            deployments,
        ),
        gauge(
            "marathon.mesos.connected.gauge",
            "chapada_services_connected",
            "1 while subscribed",
            connected,
        ),
        gauge(
            "marathon.uptime.gauge.seconds",
            "chapada_services_uptime_seconds",
            "seconds since the start",
            api.identity.started.elapsed().as_secs(),
        ),
    ])
}

pub(crate) async fn json_or_text(api: Arc<Api>, call: Call) -> Answer {
    let accept = call.header("accept").unwrap_or_default().trim_start();
    if accept.starts_with("text/plain") || accept.starts_with("application/openmetrics-text") {
        return text(api, call).await;
    }
    let gauges = gauges(&api).await?;
    let gauges: Map<String, Value> =
        gauges.into_iter().map(|gauge| (gauge.json.to_owned(), json!({"value": gauge.value}))).collect();
    ok(&json!({
        "version": "3.0.0", "gauges": gauges, "counters": {}, "histograms": {}, "meters": {}, "timers": {},
    }))
}

pub(crate) async fn text(api: Arc<Api>, _call: Call) -> Answer {
    let mut text = String::new();
    for Gauge { text: name, help, value, .. } in gauges(&api).await? {
        text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n"));
    }
    Ok(bytes(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text))
}
