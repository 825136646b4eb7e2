//! Checks: when they ask, what is said of the answers, and what ends a task.

use std::time::Duration;

use chapada_model::{ContainerId, ExecutorKind, Reason, TaskState as S};

use super::world::*;
use crate::*;

const SECOND: Duration = Duration::from_secs(1);

fn schedule() -> Schedule {
    Schedule { delay: 2 * SECOND, interval: SECOND, timeout: Some(5 * SECOND) }
}

pub(super) fn health() -> Watch {
    let health = HealthCheck { schedule: schedule(), grace: 4 * SECOND, failures: 2, statuses: Vec::new() };
    Watch { health: Some(health), ..Watch::default() }
}

fn check(kind: CheckKind) -> Watch {
    Watch { check: Some(Check { kind, schedule: schedule() }), ..Watch::default() }
}

/// Task `t` with this, running, in a world that knows it by its container.
fn watched(watch: Watch) -> (World, ContainerId) {
    let mut world = World::registered();
    let launch = TaskLaunch { watch, ..launch_of(&key("t")) };
    world.command(Command::Launch(Box::new(launch)));
    let container = world.container(&key("t"));
    world.start(&container);
    (world, container)
}

fn answer(world: &mut World, container: &ContainerId, purpose: Purpose, answer: Answer) {
    let out = world.probes.iter().position(|probe| *probe == (container.clone(), purpose));
    world.probes.remove(out.expect("a probe is out"));
    world.apply(Event::Probed { container: container.clone(), purpose, answer });
}

/// The next probe is due, and is answered with this.
fn next(world: &mut World, container: &ContainerId, purpose: Purpose, with: Answer) {
    world.pass(SECOND);
    answer(world, container, purpose, with);
}

fn ill() -> Answer {
    Answer::Nothing("nobody there".into())
}

#[test]
fn probes_start_after_the_delay_and_follow_each_other_by_the_interval() {
    let (mut world, container) = watched(health());
    world.pass(Duration::from_millis(1_999));
    assert!(world.probes.is_empty());
    world.pass(Duration::from_millis(1));
    assert_eq!(world.probes.len(), 1);
    world.pass(60 * SECOND);
    assert_eq!(world.probes.len(), 1, "one that takes its time is not joined by another");
    answer(&mut world, &container, Purpose::Health, Answer::Connected(true));
    world.pass(Duration::from_millis(999));
    assert!(world.probes.is_empty());
    world.pass(Duration::from_millis(1));
    assert_eq!(world.probes.len(), 1);
}

#[test]
fn an_interval_of_nothing_is_no_reason_to_ask_without_a_pause() {
    let mut watch = health();
    watch.health.as_mut().unwrap().schedule.interval = Duration::ZERO;
    let (mut world, container) = watched(watch);
    world.pass(2 * SECOND);
    answer(&mut world, &container, Purpose::Health, Answer::Exit(0));
    assert!(world.probes.is_empty());
}

#[test]
fn the_first_success_is_said_and_every_failure_and_the_next_success() {
    let (mut world, container) = watched(health());
    world.pass(SECOND);
    for good in [Answer::Exit(0), Answer::Status(399), Answer::Status(200), Answer::Connected(true)] {
        next(&mut world, &container, Purpose::Health, good);
    }
    assert_eq!(
        world.states("t"),
        [S::Starting, S::Running, S::Running],
        "a success like the last is not said"
    );
    assert_eq!(world.last().healthy, Some(true));
    assert_eq!(world.last().reason, Some(Reason::TaskHealthCheckStatusUpdated));
    next(&mut world, &container, Purpose::Health, Answer::Status(400));
    assert_eq!(world.last().healthy, Some(false));
    assert_eq!(world.last().message, "health check failed 1 times in a row: the answer has status 400");
    next(&mut world, &container, Purpose::Health, Answer::Status(200));
    assert_eq!(world.last().healthy, Some(true));
    next(&mut world, &container, Purpose::Health, Answer::Exit(1));
    assert!(world.signals.is_empty(), "failures count only in a row");
}

#[test]
fn too_many_failures_in_a_row_kill_and_the_end_says_so() {
    let (mut world, container) = watched(health());
    world.pass(3 * SECOND);
    for _ in 0..2 {
        next(&mut world, &container, Purpose::Health, ill());
        world.pass(SECOND);
        if world.signals.is_empty() {
            answer(&mut world, &container, Purpose::Health, ill());
        }
    }
    assert_eq!(world.signals, [(container.clone(), Signal::Terminate)]);
    world.exit(&container, Exit { cause: ExitCause::Signal(15), memory: None });
    assert_eq!(world.states("t"), [S::Starting, S::Running, S::Running, S::Running, S::Killing, S::Killed]);
    let said: Vec<_> = world.sent.iter().map(|(_, update)| update.healthy).collect();
    assert_eq!(said, [None, None, Some(false), Some(false), Some(false), Some(false)]);
    let killed = world.sent.iter().map(|(_, update)| update.clone()).collect::<Vec<_>>();
    for update in killed {
        world.acknowledge(&key("t"), &update);
    }
    assert_eq!(world.agent.next_deadline(), None);
}

#[test]
fn failures_do_not_count_within_the_grace_until_there_was_a_success() {
    let (mut world, container) = watched(health());
    world.pass(SECOND);
    for _ in 0..3 {
        next(&mut world, &container, Purpose::Health, ill());
    }
    assert_eq!(world.states("t"), [S::Starting, S::Running]);
    let (mut world, container) = watched(health());
    world.pass(SECOND);
    next(&mut world, &container, Purpose::Health, Answer::Exit(0));
    next(&mut world, &container, Purpose::Health, Answer::Exit(1));
    assert_eq!(world.last().healthy, Some(false), "it was well before");
}

#[test]
fn named_statuses_are_the_only_good_ones() {
    let mut watch = health();
    watch.health.as_mut().unwrap().statuses = vec![418];
    let (mut world, container) = watched(watch);
    world.pass(4 * SECOND);
    next(&mut world, &container, Purpose::Health, Answer::Status(200));
    assert_eq!(world.last().healthy, Some(false));
    next(&mut world, &container, Purpose::Health, Answer::Status(418));
    assert_eq!(world.last().healthy, Some(true));
}

#[test]
fn a_check_says_what_changed_and_kills_nothing() {
    let (mut world, container) = watched(check(CheckKind::Http));
    assert_eq!(world.last().check, Some(CheckStatus::Http(None)), "its kind is said from the start");
    world.pass(SECOND);
    for status in [500, 500, 200] {
        next(&mut world, &container, Purpose::Check, Answer::Status(status));
    }
    next(&mut world, &container, Purpose::Check, ill());
    let said: Vec<_> = world.sent.iter().map(|(_, update)| update.check).collect();
    let http = |status| Some(CheckStatus::Http(status));
    assert_eq!(said, [http(None), http(None), http(Some(500)), http(Some(200)), http(None)]);
    assert_eq!(world.last().reason, Some(Reason::TaskCheckStatusUpdated));
    assert!(world.signals.is_empty());
    for (kind, answer, status) in [
        (CheckKind::Command, Answer::Exit(3), CheckStatus::Command(Some(3))),
        (CheckKind::Tcp, Answer::Connected(false), CheckStatus::Tcp(Some(false))),
    ] {
        let (mut world, container) = watched(check(kind));
        world.pass(SECOND);
        next(&mut world, &container, Purpose::Check, answer);
        assert_eq!((world.last().state, world.last().check), (S::Running, Some(status)));
    }
}

#[test]
fn what_one_check_found_stays_in_what_the_other_says() {
    let watch = Watch { health: health().health, ..check(CheckKind::Tcp) };
    let (mut world, container) = watched(watch);
    world.pass(2 * SECOND);
    answer(&mut world, &container, Purpose::Check, Answer::Connected(true));
    answer(&mut world, &container, Purpose::Health, Answer::Status(200));
    assert_eq!((world.last().check, world.last().healthy), (Some(CheckStatus::Tcp(Some(true))), Some(true)));
    world.kill("t");
    world.exit(&container, exit(0));
    assert_eq!((world.last().check, world.last().healthy), (Some(CheckStatus::Tcp(None)), None));
}

#[test]
fn a_kill_ends_checks_at_once_and_a_late_answer_says_nothing() {
    let (mut world, container) = watched(health());
    world.pass(2 * SECOND);
    assert_eq!(world.probes.len(), 1);
    world.kill("t");
    assert!(world.probes.is_empty());
    assert_eq!(world.signals, [(container.clone(), Signal::Terminate)]);
    let said = world.sent.len();
    world.apply(Event::Probed { container: container.clone(), purpose: Purpose::Health, answer: ill() });
    world.pass(SECOND);
    assert_eq!((world.sent.len(), world.probes.len()), (said, 0));
}

#[test]
fn checks_start_afresh_after_a_restart_and_know_what_was_said() {
    let (mut world, container) = watched(health());
    world.pass(2 * SECOND);
    answer(&mut world, &container, Purpose::Health, Answer::Exit(0));
    world.crash(0);
    world.register(1);
    let said = world.sent.len();
    world.pass(2 * SECOND);
    answer(&mut world, &container, Purpose::Health, Answer::Exit(0));
    assert_eq!(world.sent.len(), said, "nothing has changed");
    next(&mut world, &container, Purpose::Health, Answer::Exit(1));
    assert_eq!(world.last().healthy, Some(false), "there is no second grace");
}

#[test]
fn why_a_task_is_killed_outlives_the_agent() {
    let (mut world, container) = watched(health());
    world.pass(4 * SECOND);
    next(&mut world, &container, Purpose::Health, ill());
    next(&mut world, &container, Purpose::Health, ill());
    world.crash(0);
    world.register(1);
    world.exit(&container, Exit { cause: ExitCause::Signal(15), memory: None });
    assert_eq!((world.last().state, world.last().healthy), (S::Killed, Some(false)));
}

#[test]
fn nobody_who_acknowledges_nothing_makes_the_agent_hold_more_and_more() {
    let (mut world, container) = watched(check(CheckKind::Tcp));
    world.pass(SECOND);
    let flap = |world: &mut World, up| next(world, &container, Purpose::Check, Answer::Connected(up));
    for n in 0..101 {
        flap(&mut world, n % 2 == 0);
    }
    let held = world.agent.records().into_iter().filter(|record| matches!(record, Record::Update { .. }));
    assert!(held.count() <= 16);
    for (task, update) in world.sent.clone() {
        world.acknowledge(&task, &update);
    }
    assert_eq!(
        world.last().check,
        Some(CheckStatus::Tcp(Some(true))),
        "the newest is said once there is room"
    );
    let sent: std::collections::BTreeSet<_> = world.sent.iter().map(|(_, update)| update.uuid.0).collect();
    assert_eq!(sent.len(), 17);
}

#[test]
fn a_task_that_runs_for_too_long_fails_without_grace() {
    let watch = Watch { max_completion: Some(10 * SECOND), ..Watch::default() };
    let (mut world, container) = watched(watch.clone());
    for (task, update) in world.sent.clone() {
        world.acknowledge(&task, &update);
    }
    world.pass(Duration::from_millis(9_999));
    assert!(world.signals.is_empty());
    world.pass(Duration::from_millis(1));
    let signals: Vec<Signal> = world.signals.iter().map(|(_, signal)| *signal).collect();
    assert_eq!(signals, [Signal::Terminate, Signal::Kill]);
    world.exit(&container, Exit { cause: ExitCause::Signal(9), memory: None });
    assert_eq!(world.states("t"), [S::Starting, S::Running, S::Killing, S::Failed]);
    assert_eq!(world.last().reason, Some(Reason::MaxCompletionTimeReached));
    assert_eq!(world.last().source, chapada_model::Source::Executor);

    let (mut world, container) = watched(watch);
    world.pass(SECOND);
    world.exit(&container, exit(0));
    assert_eq!(world.last().state, S::Finished, "one that is done in time is done");
}

#[test]
fn the_time_a_task_may_take_goes_on_while_the_agent_is_away() {
    let watch = Watch { max_completion: Some(10 * SECOND), ..Watch::default() };
    let (mut world, container) = watched(watch);
    world.pass(4 * SECOND);
    world.crash(0);
    world.register(1);
    world.pass(Duration::from_millis(5_999));
    assert!(world.signals.is_empty());
    world.pass(Duration::from_millis(1));
    assert!(!world.signals.is_empty());
    world.crash(0);
    world.register(1);
    world.exit(&container, Exit { cause: ExitCause::Signal(9), memory: None });
    assert_eq!(
        world.last().reason,
        Some(Reason::MaxCompletionTimeReached),
        "also when the agent dies meanwhile"
    );
}

#[test]
fn an_ill_task_of_a_pod_takes_its_group_along_and_is_not_asked_before_all_run() {
    let mut world = World::registered();
    let task = |name: &str, watch: Watch| {
        let launch = launch_of(&key(name));
        GroupTask { key: launch.key, kill_grace: launch.kill_grace, watch, info: launch.info }
    };
    let launch = GroupLaunch {
        framework: framework_record("f"),
        executor: executor_launch("e", ExecutorKind::Default, true),
        tasks: vec![task("a", health()), task("b", Watch::default())],
        made: chapada_model::Resources::EMPTY,
        refusal: None,
    };
    world.command(Command::LaunchGroup(Box::new(launch)));
    let (a, b) = (world.container(&key("a")), world.container(&key("b")));
    world.start(&a);
    world.pass(5 * SECOND);
    assert!(world.probes.is_empty(), "it is not said to run yet");
    world.start(&b);
    world.pass(5 * SECOND);
    answer(&mut world, &a, Purpose::Health, ill());
    next(&mut world, &a, Purpose::Health, ill());
    world.exit(&a, Exit { cause: ExitCause::Signal(15), memory: None });
    assert_eq!((world.last().state, world.last().healthy), (S::Killing, None), "the other of the group");
    assert_eq!(world.signals.last(), Some(&(b, Signal::Terminate)));
}
