//! Deployments told step by step: new versions that fail, takeovers, canaries, pauses, deadlines, readiness.

use std::collections::BTreeSet;
use std::time::Duration;

use chapada_model::{TaskId, TaskState};
use chapada_services_core::{
    AppId, AppState, Command, Deployment, DeploymentId, Published, Refusal, Reply, Task, Update, Which,
};
use serde_json::{Value, json};

use super::world::{AGENTS, World};

fn app() -> AppId {
    "/web".parse().expect("a path")
}

fn put(json: Value, force: bool) -> Command {
    let fields = json.as_object().expect("an object").clone();
    Command::Update { updates: vec![Update { app: app(), fields, partial: true, create: true }], force }
}

/// Four tasks of the version `old`, which never falls below four good ones and goes up to five.
fn four(rollout: Value) -> World {
    let mut world = World::new();
    world.subscribe();
    world.command(put(
        json!({
            "cmd": "old", "cpus": 1, "mem": 64, "instances": 4, "backoffSeconds": 0, "rollout": rollout,
            "upgradeStrategy": {"minimumHealthCapacity": 1, "maximumOverCapacity": 0.25},
        }),
        false,
    ));
    rounds(&mut world, 10, |_| TaskState::Running);
    assert_eq!(running(&world, "old").len(), 4);
    assert!(world.is_settled());
    world
}

fn state(world: &World) -> &AppState {
    world.services.app(&app()).expect("the app is there")
}

fn deployment(world: &World) -> &Deployment {
    world.services.deployments().next().expect("a deployment goes on")
}

fn id(world: &World) -> DeploymentId {
    deployment(world).id
}

/// The command that a task was launched with.
fn command<'a>(state: &'a AppState, task: &Task) -> &'a str {
    let version = state.versions.get(&task.version).unwrap_or(&state.app);
    version.definition.cmd.as_deref().unwrap_or_default()
}

/// The good tasks that run `cmd`.
fn running(world: &World, cmd: &str) -> BTreeSet<TaskId> {
    let state = state(world);
    let good = state.instances.values().filter(|instance| instance.is_good());
    let tasks = good.filter_map(|instance| instance.task()).filter(|task| command(state, task) == cmd);
    tasks.map(|task| task.id.clone()).collect()
}

/// Time passes, offers come, and every task that was launched comes to the state that `fate` gives its command.
fn rounds(world: &mut World, count: usize, fate: impl Fn(&str) -> TaskState) {
    for _ in 0..count {
        world.store(usize::MAX);
        for agent in 0..AGENTS {
            world.offer(agent);
            world.store(usize::MAX);
        }
        let launched = state(world).tasks().filter(|task| task.started_at.is_none());
        let fates: Vec<(TaskId, TaskState)> =
            launched.map(|task| (task.id.clone(), fate(command(state(world), task)))).collect();
        for (task, fate) in fates {
            world.end(&task, fate);
        }
        world.store(usize::MAX);
        world.wait(Duration::from_secs(1));
    }
    world.store(usize::MAX);
}

fn fails(cmd: &str) -> TaskState {
    if cmd == "new" { TaskState::Failed } else { TaskState::Running }
}

fn reasons(world: &World) -> Vec<&str> {
    let failed = world.published.iter().filter_map(|event| match event {
        Published::Failed { reason, .. } => Some(reason.as_str()),
        _ => None,
    });
    failed.collect()
}

/// Scenario 43. The world checks the limits at each event.
#[test]
fn a_version_that_always_fails_is_taken_back_and_the_old_tasks_never_notice() {
    let mut world = four(json!({"rollbackAfterFailures": 3}));
    let before = running(&world, "old");
    world.command(put(json!({"cmd": "new"}), false));
    for _ in 0..40 {
        rounds(&mut world, 1, fails);
        assert!(running(&world, "old").len() >= 4, "below what stays up");
    }
    assert!(world.is_settled(), "the rollback does not end");
    assert_eq!(running(&world, "old"), before, "the very same tasks");
    assert_eq!(reasons(&world), ["3 tasks of the new configuration of /web failed"]);
    assert_eq!(state(&world).app.definition.cmd.as_deref(), Some("old"));
    assert_eq!(world.launches, 4 + 3, "no more than was to be tried");
}

/// What it would go back to depends on an app that has come to depend on it.
#[test]
fn a_version_that_cannot_be_taken_back_says_why() {
    let mut world = four(json!({"rollbackAfterFailures": 3}));
    let other = |fields: Value| {
        let fields = fields.as_object().expect("an object").clone();
        let app = "/base".parse().expect("a path");
        Command::Update { updates: vec![Update { app, fields, partial: true, create: true }], force: true }
    };
    world.command(other(json!({"cmd": "base", "cpus": 1, "mem": 64})));
    rounds(&mut world, 10, |_| TaskState::Running);
    world.command(put(json!({"dependencies": ["/base"]}), false));
    rounds(&mut world, 10, |_| TaskState::Running);
    world.command(put(json!({"cmd": "new", "dependencies": []}), false));
    world.command(other(json!({"dependencies": ["/web"]})));
    rounds(&mut world, 40, fails);
    assert_eq!(reasons(&world).len(), 1, "the deployment has failed");
    assert_eq!(state(&world).app.definition.cmd.as_deref(), Some("new"));
    let said = world.published.iter().find_map(|event| match event {
        Published::GroupFailed { reason, .. } => Some(reason.as_str()),
        _ => None,
    });
    let said = said.expect("it says so");
    assert!(
        said.starts_with("a change that failed cannot be taken back: ") && said.contains("/base"),
        "{said}"
    );
}

#[test]
fn without_the_field_a_version_that_fails_is_tried_for_ever() {
    let mut world = four(json!({}));
    world.command(put(json!({"cmd": "new"}), false));
    rounds(&mut world, 40, fails);
    assert_eq!((running(&world, "old").len(), reasons(&world)), (4, vec![]));
    assert_eq!(state(&world).app.definition.cmd.as_deref(), Some("new"));
    assert!(!world.is_settled());
}

#[test]
fn a_new_app_that_fails_stays_and_only_its_deployment_ends() {
    let mut world = World::new();
    world.subscribe();
    world.command(put(
        json!({"cmd": "new", "backoffSeconds": 0, "rollout": {"rollbackAfterFailures": 2}}),
        false,
    ));
    rounds(&mut world, 10, fails);
    assert_eq!(reasons(&world).len(), 1);
    assert_eq!(state(&world).deployment, None);
    assert!(world.launches > 2, "it goes on trying");
}

#[test]
fn failures_are_counted_over_a_crash() {
    let mut world = four(json!({"rollbackAfterFailures": 3}));
    world.command(put(json!({"cmd": "new"}), false));
    while world.launches < 4 + 2 {
        rounds(&mut world, 1, fails);
    }
    assert_eq!(reasons(&world), [""; 0]);
    world.crash(0);
    world.subscribe();
    rounds(&mut world, 20, fails);
    assert_eq!((world.launches, reasons(&world).len()), (4 + 3, 1));
    assert!(world.is_settled());
}

#[test]
fn a_deployment_that_misses_its_deadline_goes_back_also_after_a_crash() {
    let mut world = four(json!({"deadlineSeconds": 60}));
    world.command(put(json!({"cmd": "new"}), false));
    let slow = |cmd: &str| if cmd == "new" { TaskState::Starting } else { TaskState::Running };
    rounds(&mut world, 30, slow);
    world.crash(0);
    world.subscribe();
    rounds(&mut world, 20, slow);
    assert_eq!(reasons(&world), [""; 0], "50 s have passed");
    rounds(&mut world, 15, slow);
    assert_eq!(reasons(&world), ["it took longer than its deadlineSeconds"]);
    assert!(world.is_settled());
    assert_eq!(running(&world, "old").len(), 4);
}

#[test]
fn a_clock_that_jumps_takes_no_time_from_a_deployment_and_gives_it_none() {
    let slow = |cmd: &str| if cmd == "new" { TaskState::Starting } else { TaskState::Running };
    for is_ahead in [true, false] {
        let mut world = four(json!({"deadlineSeconds": 60}));
        world.command(put(json!({"cmd": "new"}), false));
        rounds(&mut world, 10, slow);
        let jump = 86_400_000_000_000;
        world.set_clock(|wall| if is_ahead { wall + jump } else { wall - jump });
        rounds(&mut world, 40, slow);
        assert_eq!(reasons(&world), [""; 0], "50 s have passed");
        rounds(&mut world, 15, slow);
        assert_eq!(reasons(&world), ["it took longer than its deadlineSeconds"]);
    }
}

#[test]
fn nothing_but_its_deadline_wakes_a_deployment_after_a_jump_of_the_clock() {
    for is_ahead in [true, false] {
        let mut world = four(json!({"deadlineSeconds": 60}));
        world.command(put(json!({"cmd": "new"}), false));
        let slow = |cmd: &str| if cmd == "new" { TaskState::Starting } else { TaskState::Running };
        rounds(&mut world, 10, slow);
        let jump = 86_400_000_000_000;
        world.set_clock(|wall| if is_ahead { wall + jump } else { wall - jump });
        // It is looked at once more, and then never again by itself.
        rounds(&mut world, 1, slow);
        let mut waited = 11;
        while reasons(&world).is_empty() {
            let left = world.until_deadline().expect("there is a deadline").max(Duration::from_secs(1));
            waited += left.as_secs();
            assert!(waited <= 61, "{waited}");
            world.wait(left);
            world.store(usize::MAX);
        }
    }
}

/// Scenario 44.
#[test]
fn two_deployments_of_one_app_are_refused_or_one_takes_over_and_nothing_is_left_behind() {
    let mut world = four(json!({}));
    world.command(put(json!({"cmd": "new"}), false));
    world.store(usize::MAX);
    let first = id(&world);
    world.command(put(json!({"cmd": "newer"}), false));
    world.store(usize::MAX);
    assert_eq!(world.answers.last(), Some(&Err(Refusal::Locked(vec![first]))));
    rounds(&mut world, 2, |_| TaskState::Running);
    world.command(put(json!({"cmd": "newer"}), true));
    world.store(usize::MAX);
    let cancelled = |event: &Published| matches!(event, Published::Cancelled(plan) if plan.id == first);
    assert!(world.published.iter().any(cancelled));
    rounds(&mut world, 2, |_| TaskState::Running);
    assert!(running(&world, "new").len() + running(&world, "old").len() > 0, "in the middle of it");
    world.command(put(json!({"instances": 3}), true));
    rounds(&mut world, 30, |_| TaskState::Running);
    assert!(world.is_settled());
    assert_eq!((running(&world, "newer").len(), world.live()), (3, 3), "what was taken over is carried on");

    world.command(put(json!({"cmd": "last"}), false));
    rounds(&mut world, 2, |_| TaskState::Running);
    let deployment = id(&world);
    world.command(Command::Cancel { deployment, force: true });
    rounds(&mut world, 5, |_| TaskState::Running);
    assert_eq!((world.live(), world.is_settled()), (3, true), "stopped where it was");
    world.command(Command::Cancel { deployment, force: true });
    world.store(usize::MAX);
    assert_eq!(world.answers.last(), Some(&Err(Refusal::NoDeployment(deployment))));
}

#[test]
fn undoing_a_deployment_keeps_the_tasks_it_had_not_replaced_yet() {
    let mut world = four(json!({}));
    let before = running(&world, "old");
    world.command(put(json!({"cmd": "new"}), false));
    while running(&world, "new").len() < 2 {
        rounds(&mut world, 1, |_| TaskState::Running);
    }
    let kept = running(&world, "old");
    let deployment = id(&world);
    world.command(Command::Cancel { deployment, force: false });
    rounds(&mut world, 20, |_| TaskState::Running);
    assert!(world.is_settled());
    let after = running(&world, "old");
    assert!(after.len() == 4 && kept.is_subset(&after) && kept.is_subset(&before) && kept.len() >= 2);
}

#[test]
fn a_canary_waits_until_it_is_promoted_and_failed_old_tasks_are_replaced_by_old_ones() {
    let mut world = four(json!({"canary": [{"instances": 1}, {"fraction": 0.5, "promoteAfterSeconds": 30}]}));
    world.command(put(json!({"cmd": "new"}), false));
    rounds(&mut world, 20, |_| TaskState::Running);
    assert_eq!((running(&world, "new").len(), running(&world, "old").len()), (1, 3));
    let victim = running(&world, "old").pop_first().expect("three");
    world.end(&victim, TaskState::Failed);
    rounds(&mut world, 5, |_| TaskState::Running);
    assert_eq!((running(&world, "new").len(), running(&world, "old").len()), (1, 3));

    let deployment = id(&world);
    world.command(Command::Promote(deployment));
    rounds(&mut world, 10, |_| TaskState::Running);
    assert_eq!((running(&world, "new").len(), running(&world, "old").len()), (2, 2), "the second stage");
    world.crash(0);
    world.subscribe();
    rounds(&mut world, 10, |_| TaskState::Running);
    assert_eq!((running(&world, "new").len(), running(&world, "old").len()), (2, 2), "the same stage");
    rounds(&mut world, 40, |_| TaskState::Running);
    assert_eq!((running(&world, "new").len(), running(&world, "old").len()), (4, 0), "well for 30 s");
    assert!(world.is_settled());
    world.command(Command::Promote(deployment));
    world.store(usize::MAX);
    assert_eq!(world.answers.last(), Some(&Err(Refusal::NoDeployment(deployment))));
}

#[test]
fn a_paused_deployment_starts_and_stops_nothing_but_what_fails_is_replaced() {
    let mut world = four(json!({"deadlineSeconds": 100}));
    world.command(put(json!({"cmd": "new"}), false));
    while running(&world, "new").len() < 2 {
        rounds(&mut world, 1, |_| TaskState::Running);
    }
    let deployment = id(&world);
    world.command(Command::Pause(deployment));
    rounds(&mut world, 5, |_| TaskState::Running);
    let (new, old) = (running(&world, "new"), running(&world, "old"));
    world.crash(0);
    world.subscribe();
    rounds(&mut world, 200, |_| TaskState::Running);
    assert_eq!((running(&world, "new"), running(&world, "old")), (new.clone(), old.clone()), "as they were");
    world.command(Command::Promote(deployment));
    world.store(usize::MAX);
    assert!(matches!(world.answers.last(), Some(Err(Refusal::NotNow(_)))));
    for victim in [new.first(), old.first()].into_iter().flatten() {
        world.end(victim, TaskState::Failed);
    }
    rounds(&mut world, 5, |_| TaskState::Running);
    let now = (running(&world, "new").len(), running(&world, "old").len());
    assert_eq!(now, (new.len(), old.len()), "each by one of its own version");

    world.command(Command::Resume(deployment));
    world.store(usize::MAX);
    assert_eq!(world.answers.last(), Some(&Ok(Reply::Done)));
    rounds(&mut world, 20, |_| TaskState::Running);
    assert!(world.is_settled());
    assert_eq!((running(&world, "new").len(), reasons(&world).len()), (4, 0), "the pause did not count");
}

#[test]
fn no_task_goes_before_its_successor_is_ready_and_who_was_ready_is_not_asked_again() {
    let mut world = four(json!({}));
    let ready = json!([{"portName": "http", "intervalSeconds": 5, "timeoutSeconds": 2, "preserveLastResponse": true}]);
    let ports = json!([{"name": "http", "port": 0}]);
    world.command(put(json!({"cmd": "new", "readinessChecks": ready, "portDefinitions": ports}), false));
    rounds(&mut world, 3, |_| TaskState::Running);
    assert_eq!(world.asked_ready.len(), 1, "at once, of the one that is new");
    assert_eq!(running(&world, "old").len(), 4);
    world.answer_ready(false);
    rounds(&mut world, 4, |_| TaskState::Running);
    assert!(world.asked_ready.is_empty(), "before its time");
    rounds(&mut world, 2, |_| TaskState::Running);
    assert_eq!((world.asked_ready.len(), running(&world, "old").len()), (1, 4));
    let answer = |world: &World| {
        let task = state(world).tasks().find(|task| !task.readiness.is_empty()).expect("one was asked");
        (task.ready, task.readiness[0].response.as_ref().map(|response| response.status))
    };
    assert_eq!(answer(&world), (false, Some(503)));
    world.answer_ready(true);
    assert_eq!(answer(&world), (true, Some(200)));
    world.store(usize::MAX);
    assert_eq!(running(&world, "old").len(), 3, "only now");
    let first = running(&world, "new");
    world.crash(0);
    world.subscribe();
    for _ in 0..30 {
        assert!(world.asked_ready.iter().all(|(task, _)| !first.contains(task)), "asked again");
        world.answer_ready(true);
        rounds(&mut world, 1, |_| TaskState::Running);
    }
    assert!(world.is_settled());
    assert_eq!(running(&world, "new").len(), 4);
    let victim = running(&world, "new").pop_first().expect("four");
    world.end(&victim, TaskState::Failed);
    rounds(&mut world, 5, |_| TaskState::Running);
    assert_eq!((world.asked_ready.len(), running(&world, "new").len()), (0, 4), "not without a deployment");
}

#[test]
fn who_is_to_end_and_out_of_reach_counts_until_it_is_inactive() {
    let mut world = four(json!({}));
    world.command(put(
        json!({"unreachableStrategy": {"inactiveAfterSeconds": 60, "expungeAfterSeconds": 120}}),
        false,
    ));
    rounds(&mut world, 20, |_| TaskState::Running);
    assert!(world.is_settled());
    let (launched, host) = (world.launches, state(&world).tasks().map(|task| task.hostname.clone()).min());
    let lost = state(&world).tasks().filter(|task| Some(&task.hostname) == host.as_ref()).count();
    world.set_reachable(0, false);
    world.command(Command::Kill { which: Which::Of { app: app(), host }, scale: false, force: false });
    rounds(&mut world, 50, |_| TaskState::Running);
    assert_eq!(world.launches, launched, "they may be running");
    rounds(&mut world, 20, |_| TaskState::Running);
    assert_eq!(world.launches, launched + lost, "nobody counts them any more");
    world.set_reachable(0, true);
    rounds(&mut world, 5, |_| TaskState::Running);
    assert_eq!((world.live(), lost > 0), (4, true), "what comes back after all is ended");
}

#[test]
fn an_app_that_is_spread_stays_so_when_it_shrinks() {
    let mut world = four(json!({}));
    world.command(put(json!({"instances": 6, "constraints": [["hostname", "GROUP_BY", "3"]]}), false));
    rounds(&mut world, 60, |_| TaskState::Running);
    let hosts = |world: &World| {
        let mut hosts: Vec<String> = state(world).tasks().map(|task| task.hostname.clone()).collect();
        hosts.sort();
        hosts
    };
    assert_eq!(hosts(&world), ["host-0", "host-0", "host-1", "host-1", "host-2", "host-2"]);
    // Those of one host are now the youngest, which go first elsewhere.
    let there = state(&world).tasks().filter(|task| task.hostname == "host-0");
    for task in there.map(|task| task.id.clone()).collect::<Vec<TaskId>>() {
        world.end(&task, TaskState::Failed);
    }
    rounds(&mut world, 20, |_| TaskState::Running);
    assert_eq!(hosts(&world), ["host-0", "host-0", "host-1", "host-1", "host-2", "host-2"]);
    world.command(put(json!({"instances": 3}), false));
    rounds(&mut world, 10, |_| TaskState::Running);
    assert_eq!(hosts(&world), ["host-0", "host-1", "host-2"]);
}
