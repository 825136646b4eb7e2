//! Random histories of one app that is updated again and again: launches, failures, losses and returns, health and
//! readiness that flip, kills, takeovers, pauses, canaries, cancels and crashes. After each event there are no more tasks
//! than the update strategy allows, nobody was stopped who was needed, and once faults stop, what was asked for is there.

use chapada_model::TaskState;
use chapada_services_core::{AppId, Command, DeploymentId, Update, Which};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::world::{AGENTS, World};

#[derive(Clone, Debug)]
struct Setting {
    least: f64,
    over: f64,
    unreachable: usize,
    health: bool,
    readiness: bool,
    rollout: usize,
}

#[derive(Clone, Debug)]
enum Step {
    Change { config: u32, instances: Option<u32>, force: bool },
    Restart { force: bool },
    Kill { scale: bool },
    Undo { force: bool },
    Pause,
    Resume,
    Promote,
    Offer(usize),
    Runs(usize),
    Ends(usize, TaskState),
    Lose(usize),
    Return(usize),
    Store(usize),
    Wait(u64),
    Well(bool),
    Ready(bool),
    Disconnect,
    Subscribe,
    Crash(usize),
    Leave(usize),
    MayStay(usize),
}

fn setting() -> impl Strategy<Value = Setting> {
    let share =
        || prop_oneof![Just(0.0), Just(1.0), Just(0.5), (0..100u32).prop_map(|n| f64::from(n) / 100.0)];
    (share(), share(), 0..3usize, any::<bool>(), any::<bool>(), 0..4usize).prop_map(
        |(least, over, unreachable, health, readiness, rollout)| Setting {
            least,
            over,
            unreachable,
            health,
            readiness,
            rollout,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let ends = prop_oneof![
        3 => Just(TaskState::Failed),
        1 => Just(TaskState::Finished),
        1 => Just(TaskState::Killed),
        1 => Just(TaskState::Gone)
    ];
    prop_oneof![
        3 => (0..4u32, prop::option::of(0..9u32), any::<bool>())
            .prop_map(|(config, instances, force)| Step::Change { config, instances, force }),
        1 => any::<bool>().prop_map(|force| Step::Restart { force }),
        1 => any::<bool>().prop_map(|scale| Step::Kill { scale }),
        1 => any::<bool>().prop_map(|force| Step::Undo { force }),
        1 => Just(Step::Pause),
        1 => Just(Step::Resume),
        2 => Just(Step::Promote),
        10 => (0..AGENTS).prop_map(Step::Offer),
        12 => (0..50usize).prop_map(Step::Runs),
        2 => (0..50usize, ends).prop_map(|(pick, state)| Step::Ends(pick, state)),
        1 => (0..AGENTS).prop_map(Step::Lose),
        1 => (0..AGENTS).prop_map(Step::Return),
        10 => (1..5usize).prop_map(Step::Store),
        4 => (1..60_000u64).prop_map(Step::Wait),
        3 => prop::bool::weighted(0.8).prop_map(Step::Well),
        4 => prop::bool::weighted(0.7).prop_map(Step::Ready),
        1 => Just(Step::Disconnect),
        2 => Just(Step::Subscribe),
        1 => (0..4usize).prop_map(Step::Crash),
        2 => (0..AGENTS).prop_map(Step::Leave),
        2 => (0..AGENTS).prop_map(Step::MayStay),
    ]
}

fn app() -> AppId {
    "/web".parse().expect("a path")
}

fn definition(setting: &Setting, config: u32) -> Value {
    let unreachable = [
        json!({"inactiveAfterSeconds": 0, "expungeAfterSeconds": 0}),
        json!({"inactiveAfterSeconds": 60, "expungeAfterSeconds": 120}),
        json!("disabled"),
    ];
    let checks = json!([{"gracePeriodSeconds": 0, "intervalSeconds": 10, "timeoutSeconds": 5}]);
    let readiness = json!([{"portName": "http", "intervalSeconds": 10, "timeoutSeconds": 5}]);
    let mut json = json!({
        "cmd": format!("run {config}"), "cpus": 1, "mem": 64,
        "portDefinitions": [{"name": "http", "port": 0}],
        "upgradeStrategy": {"minimumHealthCapacity": setting.least, "maximumOverCapacity": setting.over},
        "unreachableStrategy": unreachable[setting.unreachable],
        "healthChecks": if setting.health { checks } else { json!([]) },
        "readinessChecks": if setting.readiness { readiness } else { json!([]) },
    });
    match setting.rollout {
        1 => {
            json["rollout"] =
                json!({"canary": [{"instances": 1}, {"fraction": 0.5, "promoteAfterSeconds": 20}]})
        }
        2 => json["rollout"] = json!({"rollbackAfterFailures": 2, "deadlineSeconds": 300}),
        3 => json["rollout"] = json!({"canary": [{"instances": 2}], "rollbackAfterFailures": 1}),
        _ => {}
    }
    json
}

fn update(json: Value, create: bool, force: bool) -> Command {
    let fields = json.as_object().expect("an object").clone();
    Command::Update { updates: vec![Update { app: app(), fields, partial: true, create }], force }
}

fn deployment(world: &World) -> Option<DeploymentId> {
    world.services.deployments().next().map(|deployment| deployment.id)
}

fn take(world: &mut World, setting: &Setting, step: Step) {
    match step {
        Step::Change { config, instances, force } => {
            let mut json = definition(setting, config);
            if let Some(instances) = instances {
                json["instances"] = json!(instances);
            }
            world.command(update(json, true, force));
        }
        Step::Restart { force } => world.command(Command::Restart { app: app(), force }),
        Step::Kill { scale } => {
            let which = Which::Of { app: app(), host: Some("host-0".to_owned()) };
            world.command(Command::Kill { which, scale, force: true });
        }
        Step::Undo { force } => {
            // Undoing the creation of the app would be the end of the history.
            let one = world.services.deployments().next();
            let one = one.filter(|one| force || one.changes.values().all(|change| change.from.is_some()));
            if let Some(deployment) = one.map(|one| one.id) {
                world.command(Command::Cancel { deployment, force });
            }
        }
        Step::Pause => {
            if let Some(deployment) = deployment(world) {
                world.command(Command::Pause(deployment));
            }
        }
        Step::Resume => {
            if let Some(deployment) = deployment(world) {
                world.command(Command::Resume(deployment));
            }
        }
        Step::Promote => {
            if let Some(deployment) = deployment(world) {
                world.command(Command::Promote(deployment));
            }
        }
        Step::Offer(agent) => world.offer(agent),
        Step::Runs(pick) => world.task_moves(pick, TaskState::Running),
        Step::Ends(pick, state) => world.task_moves(pick, state),
        Step::Lose(agent) => world.set_reachable(agent, false),
        Step::Return(agent) => world.set_reachable(agent, true),
        Step::Store(count) => world.store(count),
        Step::Wait(millis) => world.wait(std::time::Duration::from_millis(millis)),
        Step::Well(well) => world.answer(well),
        Step::Ready(ready) => world.answer_ready(ready),
        Step::Disconnect => world.disconnect(),
        Step::Subscribe => world.subscribe(),
        Step::Crash(kept) => world.crash(kept),
        Step::Leave(agent) => world.leave(agent),
        Step::MayStay(agent) => world.may_stay(agent),
    }
}

fn run(setting: &Setting, history: Vec<Step>) -> World {
    let mut world = World::new();
    world.subscribe();
    take(&mut world, setting, Step::Change { config: 0, instances: Some(5), force: false });
    world.store(9);
    for step in history {
        take(&mut world, setting, step);
    }
    world.calm_down();
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, ..ProptestConfig::default() })]

    #[test]
    fn an_update_keeps_its_limits_at_every_instant(
        setting in setting(),
        history in prop::collection::vec(step(), 0..200),
    ) {
        let cancels = history.iter().any(|step| matches!(step, Step::Undo { force: true }));
        let world = run(&setting, history);
        let stuck = || {
            let progress = world.services.deployments().map(|deployment| &deployment.progress).collect::<Vec<_>>();
            let instances = world.services.app(&app()).map(|state| state.instances.values().collect::<Vec<_>>());
            format!("{progress:?} {instances:#?}")
        };
        prop_assert!(world.is_settled(), "{}", stuck());
        // The history may have crashed before anything was durable.
        let Some(state) = world.services.app(&app()) else { return Ok(()) };
        prop_assert_eq!(world.live(), state.app.definition.instances as usize);
        let config = state.app.version_info.last_config_change_at;
        let stale = state.tasks().filter(|task| !task.is_of(config)).count();
        prop_assert!(stale == 0 || cancels, "{stale} tasks are out of date");
    }
}

/// The histories mean something: updates are finished, and things happen while they go on.
#[test]
fn the_histories_do_something() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let (mut launches, mut taken, mut seen) = (0, 0, 0);
    for _ in 0..30 {
        let setting = setting().new_tree(&mut runner).unwrap().current();
        let history = prop::collection::vec(step(), 150..200).new_tree(&mut runner).unwrap().current();
        let world = run(&setting, history);
        launches += world.launches;
        taken += world.answers.iter().filter(|answer| answer.is_ok()).count();
        seen += 1;
    }
    assert!(launches > 300 && taken > 10 * seen, "{launches} launches, {taken} commands");
}
