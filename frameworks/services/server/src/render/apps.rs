//! Apps.

use chapada_services_core::{App, AppState, Counts, DeploymentId, Failure, Instance, Timestamp};
use serde_json::{Value, json};

use super::stats::Stats;
use super::{Assembly, state_name, tasks};
use crate::clock::Clock;

/// What is added to an app's definition on request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Embed {
    /// Its tasks.
    pub(crate) tasks: bool,
    /// The last task that failed.
    pub(crate) last_task_failure: bool,
    /// How many tasks of which kind, and how long they have run at this time.
    pub(crate) task_stats: Option<Timestamp>,
    /// What readiness checks say.
    pub(crate) readiness: bool,
}

impl Embed {
    /// What a single app always comes with.
    pub(crate) const SINGLE: Self =
        Self { tasks: true, last_task_failure: true, task_stats: None, readiness: false };

    /// Adds what a value of `embed` names; unknown values are passed over, as Marathon does.
    pub(crate) fn add(&mut self, value: &str) {
        let name = ["group.apps.", "apps.", "app."].iter().find_map(|prefix| value.strip_prefix(prefix));
        match name.unwrap_or(value) {
            "tasks" => self.tasks = true,
            "lastTaskFailure" => self.last_task_failure = true,
            "failures" => {
                self.last_task_failure = true;
                self.tasks = true;
            }
            "taskStats" => self.task_stats = Some(Clock::new().now().wall.into()),
            "readiness" => self.readiness = true,
            other => tracing::debug!(embed = other, "nothing to embed"),
        }
    }
}

/// An app with its counts and deployments, and what is asked for besides.
#[derive(Debug)]
pub(crate) struct Shown {
    json: Value,
    embed: Embed,
    tasks: Vec<Value>,
    readiness: Vec<Value>,
    stats: Option<Box<Stats>>,
}

impl Shown {
    pub(crate) fn of(state: &AppState, embed: Embed) -> Self {
        let mut json = definition(&state.app);
        add_counts(&mut json, state.counts_by_state());
        json["deployments"] = deployments(state.deployment);
        if let Some(failure) = state.last_failure.as_ref().filter(|_| embed.last_task_failure) {
            json["lastTaskFailure"] = last_task_failure(&state.app, failure);
        }
        let stats = embed.task_stats.map(|now| Box::new(Stats::at(now)));
        Self { json, embed, tasks: Vec::new(), readiness: Vec::new(), stats }
    }
}

impl Assembly for Shown {
    type Out = Value;

    fn wants_instances(&self) -> bool {
        self.embed.tasks || self.embed.readiness || self.stats.is_some()
    }

    fn add(&mut self, state: &AppState, instance: &Instance) {
        let Some(task) = instance.task() else { return };
        if self.embed.tasks {
            self.tasks.push(tasks::task(&state.app, task));
        }
        if self.embed.readiness {
            self.readiness.extend(tasks::readiness_of(state, task));
        }
        if let Some(stats) = &mut self.stats {
            stats.add(state, task);
        }
    }

    fn done(mut self, _state: &AppState) -> Value {
        if self.embed.tasks {
            self.json["tasks"] = Value::Array(self.tasks);
        }
        if self.embed.readiness {
            self.json["readinessCheckResults"] = Value::Array(self.readiness);
        }
        if let Some(stats) = self.stats {
            self.json["taskStats"] = stats.views();
        }
        self.json
    }
}

/// An app that was just made.
pub(crate) fn created(app: &App, deployment: DeploymentId) -> Value {
    let mut json = definition(app);
    add_counts(&mut json, Counts::default());
    json["deployments"] = deployments(Some(deployment));
    json["tasks"] = json!([]);
    json
}

/// The definition of an app or pod and nothing else.
pub(crate) fn definition(app: &App) -> Value {
    match &app.definition.pod {
        Some(pod) => super::pods::definition(app, pod),
        None => serde_json::to_value(app).unwrap_or_default(),
    }
}

fn deployments(id: Option<DeploymentId>) -> Value {
    let list: Vec<Value> = id.iter().map(|id| json!({"id": id})).collect();
    json!(list)
}

fn add_counts(json: &mut Value, counts: Counts) {
    json["tasksStaged"] = json!(counts.staged);
    json["tasksRunning"] = json!(counts.running);
    json["tasksHealthy"] = json!(counts.healthy);
    json["tasksUnhealthy"] = json!(counts.unhealthy);
}

fn last_task_failure(app: &App, failure: &Failure) -> Value {
    json!({
        "appId": app.definition.id,
        "host": failure.hostname,
        "message": failure.message,
        "state": state_name(failure.state),
        "taskId": failure.task,
        "timestamp": failure.at,
        "version": failure.version,
        "slaveId": failure.agent,
    })
}
