//! `/metrics`: gauges and counters, as Marathon's JSON under its names or as Prometheus' text, where dots and dashes become
//! underscores.

use std::sync::Arc;

use chapada_listener::{Call, HttpResponse, bytes};
use chapada_services_core::Services;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::Api;
use super::answer::{Answer, ok, unavailable};

const PREFIX: &str = "marathon.";

/// A figure that goes up and down.
struct Gauge {
    name: &'static str,
    help: &'static str,
    value: u64,
}

const fn gauge(name: &'static str, help: &'static str, value: u64) -> Gauge {
    Gauge { name, help, value }
}

/// Those of this process first; what there is to run only where it leads.
async fn gauges(api: &Api) -> Result<Vec<Gauge>, HttpResponse> {
    let leading_for = api.identity.turn.leading_for();
    let mut gauges = vec![
        gauge("uptime.gauge.seconds", "seconds since the start", api.identity.started.elapsed().as_secs()),
        gauge("leadership.duration.gauge.seconds", "seconds since it leads", leading_for.unwrap_or_default()),
        gauge("http.event-streams.active.gauge", "readers of the event stream", api.hub.subscribers() as u64),
    ];
    if leading_for.is_some() {
        gauges.extend(
            api.services
                .read(|services, now| of_services(services.everything(), now))
                .await
                .map_err(unavailable)?,
        );
    }
    Ok(gauges)
}

fn of_services(services: &Services, now: chapada_model::Now) -> Vec<Gauge> {
    let (mut apps, mut wanted, mut running, mut staged, mut healthy) = (0, 0, 0, 0, 0);
    let mut groups = std::collections::BTreeSet::new();
    for state in services.apps() {
        let counts = state.counts_by_state();
        apps += 1;
        wanted += u64::from(state.app.definition.instances);
        running += u64::from(counts.running);
        staged += u64::from(counts.staged);
        healthy += u64::from(counts.healthy);
        groups.extend(state.app.definition.id.as_str().rsplit_once('/').map(|(group, _)| group));
    }
    let (mut waiting, mut overdue) = (0, 0);
    for app in services.queue(now) {
        waiting += app.count as u64;
        overdue += if app.delay.is_zero() { app.count as u64 } else { 0 };
    }
    let deployments = services.deployments().count() as u64;
    vec![
        gauge("apps.active.gauge", "apps", apps),
        gauge("groups.active.gauge", "groups that hold apps", groups.len() as u64),
        gauge("instances.target.gauge", "instances wanted", wanted),
        gauge("instances.running.gauge", "tasks that run", running),
        gauge("instances.staged.gauge", "tasks that begin", staged),
        gauge("instances.healthy.gauge", "tasks that a health check calls well", healthy),
        gauge("instances.queued.gauge", "instances that wait", waiting),
        gauge("instances.launch-overdue.gauge", "instances that wait for nothing but an offer", overdue),
        gauge("deployments.active.gauge", "deployments on their way", deployments),
        gauge("mesos.connected.gauge", "1 while subscribed", u64::from(services.is_connected())),
    ]
}

pub(crate) async fn json_or_text(api: Arc<Api>, call: Call) -> Answer {
    let accept = call.header("accept").unwrap_or_default().trim_start();
    if accept.starts_with("text/plain") || accept.starts_with("application/openmetrics-text") {
        return text(api, call).await;
    }
    let named = |name: &str| format!("{PREFIX}{name}");
    let gauges =
        gauges(&api).await?.into_iter().map(|gauge| (named(gauge.name), json!({"value": gauge.value})));
    let gauges: Map<String, Value> = gauges.collect();
    let uptime = api.identity.started.elapsed().as_secs_f64().max(1.0);
    let (mut counters, mut meters) = (Map::new(), Map::new());
    for (name, count) in api.figures.all() {
        if let Some(class) =
            name.strip_prefix("http.responses.").and_then(|name| name.strip_suffix("xx.counter"))
        {
            let meter = json!({"count": count, "mean_rate": count as f64 / uptime, "units": "events/second"});
            meters.insert(named(&format!("http.responses.{class}xx.rate.meter")), meter);
        } else {
            counters.insert(named(&name), json!({"count": count}));
        }
    }
    ok(&json!({
        "version": "4.0.0", "gauges": gauges, "counters": counters, "histograms": {}, "meters": meters, "timers": {},
    }))
}

pub(crate) async fn text(api: Arc<Api>, _call: Call) -> Answer {
    let mut text = String::new();
    let mut add = |name: &str, kind: &str, help: &str, value: u64| {
        let name = format!("{PREFIX}{name}").replace(['.', '-'], "_");
        text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"));
    };
    for gauge in gauges(&api).await? {
        add(gauge.name, "gauge", gauge.help, gauge.value);
    }
    for (name, count) in api.figures.all() {
        add(&name, "counter", "counted since the start", count);
    }
    Ok(bytes(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text))
}
