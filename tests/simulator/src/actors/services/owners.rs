//! Owners of apps and pods, who create, change, scale, restart, kill, cancel and delete while it storms.

use std::time::Duration;

use chapada_model::Mono;
use chapada_services_core::{AppId, Command, Services, Update, Which};
use serde_json::{Map, Value, json};

use super::Turn;

/// The longest time between two wishes.
const WISH_EVERY: Duration = Duration::from_secs(15);

/// The app whose tasks are asked once in an hour how they are: what must not take so long does not wait for that.
const SELDOM_ASKED: &str = "/app0";

#[derive(Debug)]
pub(super) struct Owners {
    names: Vec<AppId>,
    next: Option<Mono>,
}

impl Owners {
    /// Of so many apps or pods; which of them each is, is decided whenever it is made.
    pub(super) fn new(apps: usize) -> Self {
        let name = |number| format!("/app{number}").parse().expect("a valid id");
        Self { names: (0..apps).map(name).collect(), next: None }
    }

    pub(super) fn are_there(&self) -> bool {
        !self.names.is_empty()
    }

    pub(super) fn next(&self) -> Option<Mono> {
        self.next
    }

    /// What one of them wants now, if it is time.
    pub(super) fn want(&mut self, turn: &mut Turn<'_>, core: &Services) -> Option<Command> {
        let name = turn.rng.pick(&self.names)?.clone();
        let at = *self.next.get_or_insert(turn.now);
        let missing = self.names.iter().find(|name| core.spec(name).is_none());
        if !turn.stormy {
            // Each ends with something to keep.
            self.next = None;
            return missing.map(|name| create(turn, name, true));
        }
        if at > turn.now {
            return None;
        }
        self.next = Some(turn.now + turn.rng.between(Duration::from_millis(100), WISH_EVERY));
        let force = turn.rng.once_in(2);
        Some(match missing {
            Some(name) => create(turn, name, force),
            None if core.pod(&name).is_some() => wish_of_pod(turn, core, name, force),
            None => wish(turn, core, name, force),
        })
    }
}

fn create(turn: &mut Turn<'_>, name: &AppId, force: bool) -> Command {
    match turn.rng.once_in(3) {
        true => Command::CreatePod { definition: pod(turn, name), force },
        false => Command::Create { definition: definition(turn, name), force },
    }
}

fn wish_of_pod(turn: &mut Turn<'_>, core: &Services, pod: AppId, force: bool) -> Command {
    match turn.rng.below(12) {
        0..=5 => {
            let definition = self::pod(turn, &pod);
            Command::ReplacePod { pod, definition, force }
        }
        6 => Command::DeletePod { pod, force },
        7 => Command::ResetDelay { app: pod },
        8..=9 => {
            let state = core.pod(&pod);
            let all: Vec<String> = state
                .into_iter()
                .flat_map(|state| state.instances.values().map(|instance| instance.id.to_string()))
                .collect();
            let instances = turn.rng.pick(&all).cloned().into_iter().collect();
            Command::KillInstances { pod, instances, all: false }
        }
        _ => cancel(core, force).unwrap_or(Command::ResetDelay { app: pod }),
    }
}

fn cancel(core: &Services, force: bool) -> Option<Command> {
    core.deployments().next().map(|deployment| Command::Cancel { deployment: deployment.id, force })
}

fn wish(turn: &mut Turn<'_>, core: &Services, app: AppId, force: bool) -> Command {
    let update = |app, fields: Value| {
        let fields = fields.as_object().cloned().unwrap_or_default();
        Command::Update { updates: vec![Update { app, fields, partial: true, create: false }], force }
    };
    match turn.rng.below(12) {
        0..=2 => update(app, json!({"instances": turn.rng.below(5)})),
        3..=5 => update(app, json!({"cmd": format!("sleep {}", 1_000 + turn.rng.below(1_000))})),
        6 => Command::Restart { app, force },
        7 => Command::Delete { app, force },
        8 => Command::ResetDelay { app },
        9 => Command::Kill { which: Which::Of { app, host: None }, scale: turn.rng.once_in(3), force },
        10 => {
            let tasks: Vec<String> =
                core.all_apps().flat_map(|state| state.tasks()).map(|task| task.id.to_string()).collect();
            let task = turn.rng.pick(&tasks).cloned();
            Command::Kill { which: Which::Any(task.into_iter().collect()), scale: turn.rng.once_in(3), force }
        }
        _ => cancel(core, force).unwrap_or(Command::Restart { app, force }),
    }
}

/// One of `(minimumHealthCapacity, maximumOverCapacity)`.
fn capacities(turn: &mut Turn<'_>) -> (f64, f64) {
    let all = [(1.0, 1.0), (0.5, 0.0), (0.0, 0.0), (1.0, 0.0), (0.5, 0.5)];
    all[turn.rng.place(all.len())]
}

fn unreachable(turn: &mut Turn<'_>) -> Value {
    match turn.rng.below(3) {
        0 => json!({"inactiveAfterSeconds": 0, "expungeAfterSeconds": 0}),
        1 => json!({"inactiveAfterSeconds": 20, "expungeAfterSeconds": 60}),
        _ => json!("disabled"),
    }
}

/// Two or three containers, one of which may end before the others.
fn pod(turn: &mut Turn<'_>, pod: &AppId) -> Map<String, Value> {
    let (least, over) = capacities(turn);
    let container = |name: &str, config: u64| {
        json!({
            "name": name, "exec": {"command": {"shell": format!("sleep {config}")}},
            "resources": {"cpus": 0.05, "mem": 8},
        })
    };
    let names = &["web", "log", "pull"][..2 + turn.rng.place(2)];
    let config = 1_000 + turn.rng.below(3);
    let definition = json!({
        "id": pod.to_string(),
        "scaling": {"kind": "fixed", "instances": turn.rng.below(4)},
        "executorResources": {"cpus": 0.05, "mem": 32, "disk": 1},
        "containers": names.iter().map(|name| container(name, config)).collect::<Vec<_>>(),
        "scheduling": {
            "backoff": {"backoff": 1, "maxLaunchDelay": 20},
            "killSelection": if turn.rng.once_in(2) { "YOUNGEST_FIRST" } else { "OLDEST_FIRST" },
            "upgrade": {"minimumHealthCapacity": least, "maximumOverCapacity": over},
            "unreachableStrategy": unreachable(turn),
        },
    });
    definition.as_object().cloned().unwrap_or_default()
}

fn definition(turn: &mut Turn<'_>, app: &AppId) -> Map<String, Value> {
    let (least, over) = capacities(turn);
    let is_seldom_asked = app.as_str() == SELDOM_ASKED;
    let is_asked = turn.rng.once_in(3) || is_seldom_asked;
    let check = match is_seldom_asked {
        // Who is ill goes at once: it would not be asked again before everything has to be settled.
        true => json!({
            "protocol": "HTTP", "port": 8080, "gracePeriodSeconds": 0, "intervalSeconds": 3600, "timeoutSeconds": 2,
            "maxConsecutiveFailures": 1
        }),
        false => json!({
            "protocol": "HTTP", "port": 8080, "gracePeriodSeconds": 5, "intervalSeconds": 5, "timeoutSeconds": 2,
            "maxConsecutiveFailures": 3
        }),
    };
    let definition = json!({
        "id": app.to_string(),
        "cmd": "sleep 1000",
        "cpus": 0.1,
        "mem": 16,
        "instances": 1 + turn.rng.below(4),
        "portDefinitions": [],
        "backoffSeconds": 1,
        "maxLaunchDelaySeconds": 20,
        "killSelection": if turn.rng.once_in(2) { "YOUNGEST_FIRST" } else { "OLDEST_FIRST" },
        "upgradeStrategy": {"minimumHealthCapacity": least, "maximumOverCapacity": over},
        "unreachableStrategy": unreachable(turn),
        "healthChecks": if is_asked { json!([check]) } else { json!([]) },
    });
    let mut definition = definition.as_object().cloned().unwrap_or_default();
    if turn.rng.once_in(4) {
        definition.extend(resident().as_object().cloned().unwrap_or_default());
    }
    definition
}

/// What makes its instances stay where their volumes are.
fn resident() -> Value {
    json!({
        "container": {"type": "MESOS", "volumes": [
            {"containerPath": "data", "mode": "RW", "persistent": {"size": 2}},
        ]},
        "upgradeStrategy": {"minimumHealthCapacity": 0.5, "maximumOverCapacity": 0.0},
        "unreachableStrategy": "disabled",
    })
}
