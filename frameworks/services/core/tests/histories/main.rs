//! Random histories of clients, offers, failures, losses and crashes. At every step no app runs more than it may and no
//! launch precedes its record; once faults stop, every app has what it asked for.

mod leaving;
mod rolling;
mod rollouts;
mod surplus;
mod world;

use std::time::Duration;

use chapada_model::TaskState;
use chapada_services_core::{AppId, Command, Update, Which};
use proptest::prelude::*;
use serde_json::{Value, json};

use world::{AGENTS, World};

const APPS: [&str; 3] = ["/a", "/b/c", "/b/d"];

#[derive(Clone, Debug)]
enum Step {
    Put { app: usize, instances: u32, config: u32, strategy: usize, force: bool },
    Scale { app: usize, instances: u32, force: bool },
    Restart { app: usize, force: bool },
    Delete { app: usize },
    Kill { app: usize, scale: bool },
    Undo { force: bool },
    Offer(usize),
    Runs(usize),
    Ends(usize, TaskState),
    Lose(usize),
    Return(usize),
    Store(usize),
    Wait(u64),
    Answer(bool),
    Disconnect,
    Subscribe,
    Crash(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let app = 0..APPS.len();
    let ends = prop_oneof![
        Just(TaskState::Failed),
        Just(TaskState::Finished),
        Just(TaskState::Killed),
        Just(TaskState::Gone)
    ];
    prop_oneof![
        3 => (app.clone(), 0..6u32, 0..3u32, 0..4usize, any::<bool>())
            .prop_map(|(app, instances, config, strategy, force)| Step::Put { app, instances, config, strategy, force }),
        2 => (app.clone(), 0..6u32, any::<bool>()).prop_map(|(app, instances, force)| Step::Scale { app, instances, force }),
        1 => (app.clone(), any::<bool>()).prop_map(|(app, force)| Step::Restart { app, force }),
        1 => app.clone().prop_map(|app| Step::Delete { app }),
        1 => (app, any::<bool>()).prop_map(|(app, scale)| Step::Kill { app, scale }),
        1 => any::<bool>().prop_map(|force| Step::Undo { force }),
        8 => (0..AGENTS).prop_map(Step::Offer),
        8 => (0..50usize).prop_map(Step::Runs),
        2 => (0..50usize, ends).prop_map(|(pick, state)| Step::Ends(pick, state)),
        1 => (0..AGENTS).prop_map(Step::Lose),
        2 => (0..AGENTS).prop_map(Step::Return),
        8 => (1..5usize).prop_map(Step::Store),
        4 => (1..40_000u64).prop_map(Step::Wait),
        3 => any::<bool>().prop_map(Step::Answer),
        1 => Just(Step::Disconnect),
        3 => Just(Step::Subscribe),
        1 => (0..4usize).prop_map(Step::Crash),
    ]
}

const STRATEGIES: [(f64, f64); 4] = [(1.0, 1.0), (0.5, 0.0), (0.0, 0.0), (1.0, 0.0)];

fn id(app: usize) -> AppId {
    APPS[app].parse().expect("a path")
}

fn fields(json: Value) -> serde_json::Map<String, Value> {
    json.as_object().expect("an object").clone()
}

fn update(app: usize, json: Value, create: bool, force: bool) -> Command {
    let update = Update { app: id(app), fields: fields(json), partial: true, create };
    Command::Update { updates: vec![update], force }
}

fn take(world: &mut World, step: Step) {
    match step {
        Step::Put { app, instances, config, strategy, force } => {
            let (least, over) = STRATEGIES[strategy];
            let checks = if config == 0 {
                json!([])
            } else {
                json!([{"gracePeriodSeconds": 0, "intervalSeconds": 10}])
            };
            let json = json!({
                "healthChecks": checks,
                "cmd": format!("run {config}"), "instances": instances, "cpus": 1, "mem": 64,
                "upgradeStrategy": {"minimumHealthCapacity": least, "maximumOverCapacity": over},
            });
            world.command(update(app, json, true, force));
        }
        Step::Scale { app, instances, force } => {
            world.command(update(app, json!({"instances": instances}), false, force));
        }
        Step::Restart { app, force } => world.command(Command::Restart { app: id(app), force }),
        Step::Delete { app } => world.command(Command::Delete { app: id(app), force: true }),
        Step::Kill { app, scale } => {
            let which = Which::Of { app: id(app), host: Some("host-0".to_owned()) };
            world.command(Command::Kill { which, scale, force: true });
        }
        Step::Undo { force } => {
            let deployment = world.services.deployments().next().map(|deployment| deployment.id);
            if let Some(deployment) = deployment {
                world.command(Command::Cancel { deployment, force });
            }
        }
        Step::Offer(agent) => world.offer(agent),
        Step::Runs(pick) => world.task_moves(pick, TaskState::Running),
        Step::Ends(pick, state) => world.task_moves(pick, state),
        Step::Lose(agent) => world.set_reachable(agent, false),
        Step::Return(agent) => world.set_reachable(agent, true),
        Step::Store(count) => world.store(count),
        Step::Wait(millis) => world.wait(Duration::from_millis(millis)),
        Step::Answer(well) => world.answer(well),
        Step::Disconnect => world.disconnect(),
        Step::Subscribe => world.subscribe(),
        Step::Crash(kept) => world.crash(kept),
    }
}

fn run(history: Vec<Step>) -> World {
    let mut world = World::new();
    world.subscribe();
    for step in history {
        take(&mut world, step);
    }
    world.calm_down();
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn every_app_reaches_its_target_and_never_passes_it(history in prop::collection::vec(step(), 0..150)) {
        has_arrived(&run(history));
    }
}

fn has_arrived(world: &World) {
    let mut wanted = 0;
    for state in world.services.apps() {
        let app = &state.app.definition;
        assert_eq!(world.running(&app.id), app.instances as usize, "{}", app.id);
        wanted += app.instances as usize;
    }
    assert_eq!(world.live(), wanted, "tasks of apps that are gone still run");
    assert!(world.is_settled(), "{:?}", world.services.deployments().collect::<Vec<_>>());
}

#[test]
fn an_app_that_is_created_and_left_alone_runs() {
    has_arrived(&run(vec![Step::Put { app: 0, instances: 1, config: 0, strategy: 0, force: false }]));
}

/// The restart takes over a deployment of which nothing is durable yet, while offers are held.
#[test]
fn a_restart_in_the_middle_of_scaling_up_from_nothing_arrives() {
    has_arrived(&run(vec![
        Step::Crash(0),
        Step::Put { app: 1, instances: 0, config: 0, strategy: 1, force: false },
        Step::Scale { app: 1, instances: 2, force: false },
        Step::Subscribe,
        Step::Offer(1),
        Step::Restart { app: 1, force: true },
        Step::Offer(0),
    ]));
}

/// The histories mean something: most commands are accepted, and tasks are launched.
#[test]
fn the_histories_do_something() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let (mut accepted, mut refused, mut launches) = (0, 0, 0);
    for _ in 0..30 {
        let history = prop::collection::vec(step(), 100..150).new_tree(&mut runner).unwrap().current();
        let world = run(history);
        accepted += world.answers.iter().filter(|answer| answer.is_ok()).count();
        refused += world.answers.iter().filter(|answer| answer.is_err()).count();
        launches += world.launches;
    }
    assert!(accepted > refused, "{accepted} accepted, {refused} refused");
    assert!(launches > 300, "{launches} launches");
}
