//! `/metrics`: gauges and counters, as Marathon's JSON under its names or as Prometheus' text, where dots and dashes become
//! underscores.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chapada_listener::{Call, HttpResponse, bytes};
use chapada_model::Now;
use chapada_services_core::{AppState, Instance, Services, Task, Timestamp};
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
        let patience = api.identity.config.settings().patience.task_launch;
        let read = api.services.read(move |services, now| of_services(services.everything(), now, patience));
        gauges.extend(read.await.map_err(unavailable)?);
    }
    Ok(gauges)
}

/// What there is, counted over all apps and pods.
#[derive(Default)]
struct Sums {
    apps: u64,
    pods: u64,
    wanted: u64,
    running: u64,
    staged: u64,
    overdue: u64,
    healthy: u64,
    dying: u64,
    kills: u64,
}

impl Sums {
    fn add(&mut self, state: &AppState, now: Now, patience: Duration) {
        let counts = state.counts_by_state();
        if state.app.is_pod() {
            self.pods += 1;
        } else {
            self.apps += 1;
        }
        self.wanted += u64::from(state.app.definition.instances);
        self.running += u64::from(counts.running);
        self.staged += u64::from(counts.staged);
        self.healthy += u64::from(counts.healthy);
        let stopping = state.instances.stopping();
        self.dying += stopping as u64;
        if stopping > 0 {
            let ending = state.instances.values().filter(|instance| instance.is_ending());
            let asked = ending.filter_map(Instance::task).map(|task| u64::from(task.kills));
            self.kills += asked.sum::<u64>();
        }
        if counts.staged > 0 {
            let is_late = |task: &&Task| Timestamp::from(now.wall).since(task.staged_at) > patience;
            let begins = |task: &&Task| task.started_at.is_none();
            let tasks = state.instances.values().filter_map(Instance::task);
            self.overdue += tasks.filter(begins).filter(is_late).count() as u64;
        }
    }
}

/// The groups that there are: those that somebody made, and those on the way to an app or pod.
fn groups(services: &Services) -> u64 {
    let mut all: BTreeSet<&str> = services.groups().map(|(id, _)| id.as_str()).collect();
    for state in services.specs() {
        let mut path = state.app.definition.id.as_str();
        while let Some((group, _)) = path.rsplit_once('/')
            && all.insert(if group.is_empty() { "/" } else { group })
        {
            path = group;
        }
    }
    all.len() as u64
}

fn of_services(services: &Services, now: Now, patience: Duration) -> Vec<Gauge> {
    let mut sums = Sums::default();
    services.specs().for_each(|state| sums.add(state, now, patience));
    let waiting: usize = services.queue(now).map(|app| app.count).sum();
    let deployments = services.deployments().count() as u64;
    vec![
        gauge("apps.active.gauge", "apps", sums.apps),
        gauge("pods.active.gauge", "pods", sums.pods),
        gauge("groups.active.gauge", "groups, the root among them", groups(services)),
        gauge("instances.target.gauge", "instances wanted", sums.wanted),
        gauge("instances.running.gauge", "tasks that run", sums.running),
        gauge("instances.staged.gauge", "tasks that begin", sums.staged),
        gauge("instances.launch-overdue.gauge", "tasks that take too long to begin", sums.overdue),
        gauge("instances.healthy.gauge", "tasks that a health check calls well", sums.healthy),
        gauge("instances.inflight-kills.gauge", "tasks that are being killed", sums.dying),
        gauge("instances.inflight-kill-attempts.gauge", "kills sent for these", sums.kills),
        gauge("instances.queued.gauge", "instances that wait", waiting as u64),
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
