//! Owners of apps, who create, change, scale, restart, kill, cancel and delete while it storms.

use std::time::Duration;

use chapada_model::Mono;
use chapada_services_core::{AppId, Command, Services, Update, Which};
use serde_json::{Map, Value, json};

use super::Turn;

/// The longest time between two wishes.
const WISH_EVERY: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub(super) struct Owners {
    apps: Vec<AppId>,
    next: Option<Mono>,
}

impl Owners {
    pub(super) fn new(apps: usize) -> Self {
        let name = |number| format!("/app{number}").parse().expect("a valid id");
        Self { apps: (0..apps).map(name).collect(), next: None }
    }

    pub(super) fn next(&self) -> Option<Mono> {
        self.next
    }

    /// What one of them wants now, if it is time.
    pub(super) fn want(&mut self, turn: &mut Turn<'_>, core: &Services) -> Option<Command> {
        let app = turn.rng.pick(&self.apps)?.clone();
        let at = *self.next.get_or_insert(turn.now);
        let missing = self.apps.iter().find(|app| core.app(app).is_none()).cloned();
        if !turn.stormy {
            // Each ends with something to keep.
            self.next = None;
            return missing.map(|app| Command::Create { definition: definition(turn, &app), force: true });
        }
        if at > turn.now {
            return None;
        }
        self.next = Some(turn.now + turn.rng.between(Duration::from_millis(100), WISH_EVERY));
        Some(match missing {
            Some(app) => Command::Create { definition: definition(turn, &app), force: turn.rng.once_in(2) },
            None => wish(turn, core, app),
        })
    }
}

fn wish(turn: &mut Turn<'_>, core: &Services, app: AppId) -> Command {
    let force = turn.rng.once_in(2);
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
        _ => match core.deployments().next() {
            Some(deployment) => Command::Cancel { deployment: deployment.id, force },
            None => Command::Restart { app, force },
        },
    }
}

fn definition(turn: &mut Turn<'_>, app: &AppId) -> Map<String, Value> {
    let strategies = [(1.0, 1.0), (0.5, 0.0), (0.0, 0.0), (1.0, 0.0), (0.5, 0.5)];
    let (least, over) = strategies[turn.rng.place(strategies.len())];
    let unreachable = [
        json!({"inactiveAfterSeconds": 0, "expungeAfterSeconds": 0}),
        json!({"inactiveAfterSeconds": 20, "expungeAfterSeconds": 60}),
        json!("disabled"),
    ];
    let check = json!({
        "protocol": "HTTP", "port": 8080, "gracePeriodSeconds": 5, "intervalSeconds": 5, "timeoutSeconds": 2,
        "maxConsecutiveFailures": 3
    });
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
        "unreachableStrategy": unreachable[turn.rng.place(unreachable.len())],
        "healthChecks": if turn.rng.once_in(3) { json!([check]) } else { json!([]) },
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
