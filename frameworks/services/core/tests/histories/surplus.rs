//! Who goes when there are more than there shall be.

use chapada_services_core::{AppId, Command, Task, Update};
use serde_json::{Value, json};

use super::world::World;

fn app() -> AppId {
    "/web".parse().expect("a path")
}

/// Scales, and waits until it is so; the tasks in the order in which they were launched.
fn scaled(world: &mut World, selection: &str, instances: usize) -> Vec<Task> {
    let fields = json!({
        "cmd": "x", "cpus": 1, "mem": 64, "portDefinitions": [], "instances": instances,
        "killSelection": selection,
    });
    let Value::Object(fields) = fields else { unreachable!("it is an object") };
    let update = Update { app: app(), fields, partial: true, create: true };
    world.command(Command::Update { updates: vec![update], force: false });
    world.calm_down();
    let state = world.services.app(&app()).expect("it is there");
    let mut tasks: Vec<Task> = state.tasks().cloned().collect();
    tasks.sort_by_key(|task| task.staged_at);
    assert_eq!(tasks.len(), instances);
    tasks
}

#[test]
fn the_oldest_or_the_youngest_goes_as_the_app_says() {
    for (selection, stay) in [("YOUNGEST_FIRST", 0..2), ("OLDEST_FIRST", 2..4)] {
        let mut world = World::new();
        let mut launched = Vec::new();
        for instances in 1..=4 {
            launched = scaled(&mut world, selection, instances);
        }
        let ids = |tasks: &[Task]| tasks.iter().map(|task| task.id.clone()).collect::<Vec<_>>();
        assert!(launched.is_sorted_by(|one, other| one.staged_at < other.staged_at));
        assert_eq!(ids(&scaled(&mut world, selection, 2)), ids(&launched[stay]), "{selection}");
    }
}
