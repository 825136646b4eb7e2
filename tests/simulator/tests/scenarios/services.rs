//! The services framework: leadership that is lost and comes back, versions that fail, deployments that meet, agents that die.
//! I6 is checked at each launch, and that a launch is durable before it is sent.

use std::collections::BTreeSet;
use std::time::Duration;

use chapada_master_core::FrameworkState;
use chapada_services_core::{AppId, Command, Goal, Refusal, Reply, Task, Timestamp, Update};
use chapada_simulator::{Manner, Plan, Sim};
use serde_json::{Map, Value, json};

use crate::seeded::each_seed;
use crate::{MINUTE, SECOND, cluster, pass, tail, until};

/// A quiet cluster with the services framework, which is the first framework.
pub(crate) fn services(agents: usize) -> Sim {
    cluster(agents, vec![Manner::Services { apps: 0 }])
}

fn fields(value: Value) -> Map<String, Value> {
    value.as_object().cloned().expect("an object")
}

/// Ten small instances, replaced two at a time, unless `more` says otherwise.
pub(crate) fn definition(more: Value) -> Map<String, Value> {
    let mut definition = fields(json!({
        "id": "/web", "cmd": "one", "cpus": 0.1, "mem": 8, "instances": 10, "portDefinitions": [],
        "upgradeStrategy": {"minimumHealthCapacity": 0.8, "maximumOverCapacity": 0.2},
    }));
    definition.extend(fields(more));
    definition
}

/// Asks and waits for the answer.
#[track_caller]
pub(crate) fn ask(sim: &mut Sim, command: Command) -> Result<Reply, Refusal> {
    let request = sim.ask_services(0, command);
    until(sim, MINUTE, "there is an answer", |sim| sim.answer(0, request).is_some());
    sim.answer(0, request).expect("it was there").clone()
}

pub(crate) fn create(more: Value) -> Command {
    Command::Create { definition: definition(more), force: false }
}

pub(crate) fn change(change: Value, force: bool) -> Command {
    let update = Update { app: web(), fields: fields(change), partial: true, create: false };
    Command::Update { updates: vec![update], force }
}

pub(crate) fn web() -> AppId {
    "/web".parse().expect("a valid id")
}

/// The app is there with all its instances.
#[track_caller]
pub(crate) fn deployed(sim: &mut Sim, more: Value) {
    ask(sim, create(more)).expect("it is a valid app");
    settled(sim, 2 * MINUTE);
}

#[track_caller]
pub(crate) fn settled(sim: &mut Sim, most: Duration) {
    until(sim, most, "all is as it should be", |sim| sim.unsettled().is_empty());
}

/// The tasks of the app as the framework knows them.
pub(crate) fn known(sim: &Sim) -> Vec<Task> {
    let state = sim.services(0).and_then(|core| core.app(&web()));
    state.map_or_else(Vec::new, |state| state.tasks().cloned().collect())
}

/// The names of tasks that run on any machine.
pub(crate) fn running(sim: &Sim) -> BTreeSet<String> {
    sim.running(0).into_iter().collect()
}

/// How many tasks run of a version, or of any other.
fn running_of(sim: &Sim, version: Timestamp, of_it: bool) -> usize {
    let of = |task: &&Task| (task.version == version) == of_it;
    let names: BTreeSet<String> = known(sim).iter().filter(of).map(|task| task.id.to_string()).collect();
    running(sim).intersection(&names).count()
}

fn version(sim: &Sim) -> Timestamp {
    sim.services(0).and_then(|core| core.app(&web())).expect("there is the app").app.version
}

#[test]
fn scenario_42_the_leader_is_lost_in_the_middle_of_a_deployment_and_comes_back() {
    for seed in 1..=10 {
        let mut sim =
            Sim::new(seed, Plan::quiet(4, "cpus:4;mem:1024", vec![Manner::Services { apps: 0 }]), true);
        settled(&mut sim, MINUTE);
        deployed(&mut sim, json!({}));
        let first = version(&sim);
        ask(&mut sim, change(json!({"cmd": "two"}), false)).expect("nothing is in the way");
        let second = version(&sim);
        for round in 0..4 {
            let done = 1 + 2 * round;
            until(&mut sim, 5 * MINUTE, "some are replaced", |sim| {
                assert!(running(sim).len() >= 8, "{}\nat least 8 of 10 run", tail(sim));
                running_of(sim, second, true) >= done
            });
            match round % 2 {
                // Another process leads, and then the first one again.
                0 => _ = sim.take_over(0),
                _ => sim.crash_framework(0, Some(SECOND)),
            }
        }
        settled(&mut sim, 5 * MINUTE);
        assert_eq!((running_of(&sim, second, true), running_of(&sim, first, true)), (10, 0));
        assert_eq!(sim.launches(), 20, "seed {seed}: each was replaced once and by one");
    }
}

#[test]
fn scenario_43_a_version_that_always_fails_never_takes_the_old_one_below_its_minimum() {
    let mut sim = services(4);
    deployed(&mut sim, json!({"backoffSeconds": 1}));
    let first = version(&sim);
    ask(&mut sim, change(json!({"cmd": "two"}), false)).expect("nothing is in the way");
    let second = version(&sim);
    let end = sim.now() + 3 * MINUTE;
    until(&mut sim, 4 * MINUTE, "three minutes pass", |sim| {
        for task in known(sim).into_iter().filter(|task| task.version == second) {
            sim.exit_task(task.id.as_str(), 1);
        }
        assert!(running_of(sim, first, true) >= 8, "{}\nthe old version keeps 8 of 10", tail(sim));
        sim.now() >= end
    });
    let failed = sim.launches() - 10;
    assert!(failed >= 3, "it was tried: {failed}");
    // One failure after the other, each later than the one before: 1 s, times 1.15 each.
    assert!(failed <= 2 * 26, "the back-off holds: {failed}");
    let deployment = sim.services(0).and_then(|core| core.deployments().next()).expect("it goes on").id;
    ask(&mut sim, Command::Cancel { deployment, force: false }).expect("it can be undone");
    settled(&mut sim, 2 * MINUTE);
    let third = version(&sim);
    assert!(third > second);
    let cmd = sim.services(0).and_then(|core| core.app(&web())).expect("there").app.definition.cmd.clone();
    assert_eq!(cmd.as_deref(), Some("one"), "the old definition counts again");
    assert_eq!(running(&sim).len(), 10);
}

#[test]
fn scenario_43_it_goes_back_by_itself_when_it_is_told_to() {
    let mut sim = services(4);
    deployed(&mut sim, json!({"backoffSeconds": 1, "rollout": {"rollbackAfterFailures": 3}}));
    let first = version(&sim);
    ask(&mut sim, change(json!({"cmd": "two"}), false)).expect("nothing is in the way");
    let second = version(&sim);
    let is_back = |sim: &Sim| sim.services(0).is_some_and(|core| core.deployments().next().is_none());
    until(&mut sim, 3 * MINUTE, "it has gone back", |sim| {
        for task in known(sim).into_iter().filter(|task| task.version == second) {
            sim.exit_task(task.id.as_str(), 1);
        }
        assert!(running_of(sim, first, true) >= 8, "{}\nthe old version keeps 8 of 10", tail(sim));
        is_back(sim)
    });
    settled(&mut sim, MINUTE);
    let cmd = sim.services(0).and_then(|core| core.app(&web())).expect("there").app.definition.cmd.clone();
    assert_eq!((cmd.as_deref(), running(&sim).len()), (Some("one"), 10));
}

#[test]
fn scenario_44_two_deployments_meet() {
    let mut sim = services(4);
    deployed(&mut sim, json!({}));
    ask(&mut sim, change(json!({"cmd": "two"}), false)).expect("nothing is in the way");
    let second = version(&sim);
    let locked = ask(&mut sim, change(json!({"cmd": "three"}), false));
    assert!(matches!(locked, Err(Refusal::Locked(ref ids)) if ids.len() == 1), "{locked:?}");
    assert_eq!(version(&sim), second, "and nothing is changed");
    until(&mut sim, MINUTE, "some are replaced", |sim| running_of(sim, second, true) >= 3);
    ask(&mut sim, change(json!({"cmd": "three"}), true)).expect("force takes over");
    let third = version(&sim);
    assert_eq!(sim.services(0).expect("it runs").deployments().count(), 1, "the other was cancelled");
    settled(&mut sim, 5 * MINUTE);
    assert_eq!(running_of(&sim, third, true), 10, "and leaves nothing");
    // Cancelled where it is, it leaves what it has made, and no more.
    ask(&mut sim, change(json!({"cmd": "four"}), false)).expect("nothing is in the way");
    let fourth = version(&sim);
    until(&mut sim, MINUTE, "some are replaced", |sim| running_of(sim, fourth, true) >= 3);
    let deployment = sim.services(0).and_then(|core| core.deployments().next()).expect("it goes on").id;
    ask(&mut sim, Command::Cancel { deployment, force: true }).expect("it can be cancelled");
    settled(&mut sim, 2 * MINUTE);
    assert_eq!(running(&sim).len(), 10);
}

#[test]
fn scenario_45_up_and_down_again_while_agents_die() {
    chapada_simulator::scale::up_and_down(20, 400).unwrap_or_else(|why| panic!("{why}"));
}

#[test]
fn scenario_46_the_agent_of_a_volume_is_gone_for_good() {
    let plan = Plan::quiet(2, "cpus:4;mem:1024;disk:1000", vec![Manner::Services { apps: 0 }]);
    let mut sim = Sim::new(1, plan, true);
    settled(&mut sim, MINUTE);
    deployed(&mut sim, resident());
    let place = |sim: &Sim| known(sim).first().map(|task| task.agent.clone());
    let (home, task) = (place(&sim).expect("it runs"), running(&sim));
    let gone =
        (0..2).find(|agent| sim.agent_id(*agent).as_ref() == Some(&home)).expect("it runs on one of them");
    sim.crash_agent(gone, 1_000 * crate::HOUR);
    for task in &task {
        sim.exit_task(task, 1);
    }
    pass(&mut sim, crate::HOUR);
    assert_eq!(sim.launches(), 1, "no empty volume by surprise");
    let core = sim.services(0).expect("it runs");
    let now = chapada_model::Now { mono: sim.now(), wall: chapada_model::Wall(0) };
    let why = core.inquire(now, &web()).expect("there is the app").answer();
    let said = format!("{why:?}");
    assert!(said.contains("volume") && said.contains(home.as_str()), "{said}");
    // The operator lets go of it.
    let instance = core
        .app(&web())
        .and_then(|state| state.instances.values().next())
        .expect("it is kept")
        .id
        .to_string();
    let which = chapada_services_core::Which::Any(vec![instance]);
    ask(&mut sim, Command::Wipe { which }).expect("it can be wiped");
    until(&mut sim, 2 * MINUTE, "it runs elsewhere", |sim| place(sim).is_some_and(|place| place != home));
    until(&mut sim, MINUTE, "it runs", |sim| running(sim).len() == 1);
    assert_eq!(sim.launches(), 2);
}

#[test]
fn a_volume_is_found_again_after_every_restart_and_given_back_when_its_app_goes() {
    let plan = Plan::quiet(3, "cpus:4;mem:1024;disk:1000", vec![Manner::Services { apps: 0 }]);
    let mut sim = Sim::new(1, plan, true);
    settled(&mut sim, MINUTE);
    deployed(&mut sim, resident());
    let place = |sim: &Sim| known(sim).first().map(|task| task.agent.clone());
    let home = place(&sim);
    for round in 0..4 {
        let task = running(&sim).first().expect("it runs").clone();
        match round {
            0 => sim.exit_task(&task, 1),
            1 => drop(ask(&mut sim, change(json!({"cmd": "two"}), false)).expect("nothing is in the way")),
            2 => sim.crash_framework(0, Some(SECOND)),
            _ => sim.crash_leader(SECOND),
        }
        settled(&mut sim, 3 * MINUTE);
        assert_eq!(place(&sim), home, "round {round}");
    }
    ask(&mut sim, Command::Delete { app: web(), force: true }).expect("there is the app");
    settled(&mut sim, 2 * MINUTE);
    until(&mut sim, 5 * MINUTE, "nothing is kept", |sim| {
        sim.books().is_some_and(|books| books.agents.values().all(|agent| agent.total.made().is_empty()))
    });
}

/// One instance with a volume.
fn resident() -> Value {
    json!({
        "instances": 1,
        "container": {"type": "MESOS", "volumes": [
            {"containerPath": "data", "mode": "RW", "persistent": {"size": 100}},
        ]},
        "upgradeStrategy": {"minimumHealthCapacity": 0.5, "maximumOverCapacity": 0.0},
        "unreachableStrategy": "disabled",
    })
}

/// I6: others take the place of what is out of reach and no more of them, and on return what is too many is ended within ten seconds.
#[test]
fn scenario_9_an_agent_comes_back_after_ten_minutes_and_the_surplus_ends() {
    let plan = Plan::quiet(3, "cpus:4;mem:1024", vec![Manner::Services { apps: 0 }]);
    each_seed(&plan, |run| {
        deployed(&mut run.sim, json!({"instances": 9}));
        let time = 10 * MINUTE + run.moment(MINUTE);
        let away = run.sim.cut_off(0, time);
        run.holds(away > 0, "some of it runs there");
        run.until(4 * MINUTE, "others run in their place", |sim| running(sim).len() == 9 + away);
        match run.rng.below(3) {
            0 => run.sim.crash_leader(SECOND),
            1 => {
                run.sim.take_over(0);
                run.pass(8 * MINUTE);
            }
            _ => run.pass(8 * MINUTE),
        }
        run.until(5 * MINUTE, "the agent is back, and whoever shall end the surplus", |sim| {
            assert!(running(sim).len() <= 9 + away, "{}: no more than their place", tail(sim));
            let is_active = |state: &FrameworkState| matches!(state, FrameworkState::Active { .. });
            let books = sim.books();
            let there = books.is_some_and(|books| books.frameworks.values().all(|one| is_active(&one.state)));
            there && sim.registered() == 3
        });
        run.until(10 * SECOND, "the surplus is ended", |sim| running(sim).len() == 9);
        run.settle(10 * SECOND);
    });
}

mod tickets {
    use super::*;

    /// Marathon 1553, and after its mending again: a leader that returns kills tasks.
    #[test]
    fn marathon_1553_a_leader_that_returns_kills_nothing() {
        let mut sim = services(3);
        deployed(&mut sim, json!({}));
        let before = running(&sim);
        for away in [SECOND, 5 * MINUTE] {
            sim.crash_framework(0, Some(away));
            pass(&mut sim, away + MINUTE);
            sim.take_over(0);
            pass(&mut sim, MINUTE);
        }
        settled(&mut sim, MINUTE);
        assert_eq!(running(&sim), before);
    }

    /// Marathon 1652: who led before and does not know better is not obeyed.
    #[test]
    fn marathon_1652_the_word_of_a_former_leader_counts_no_more() {
        let mut sim = services(3);
        deployed(&mut sim, json!({}));
        let before = running(&sim);
        let former = sim.take_over(0).expect("it was connected");
        settled(&mut sim, MINUTE);
        for task in known(&sim) {
            let kill =
                chapada_master_core::Call::Kill { task: task.id, agent: Some(task.agent), policy: None };
            sim.call_as_on(0, former, kill);
        }
        pass(&mut sim, MINUTE);
        assert_eq!(running(&sim), before);
    }

    /// Marathon 2308: after a failover some tasks start anew.
    #[test]
    fn marathon_2308_a_failover_of_everyone_restarts_nothing() {
        let mut sim = services(3);
        deployed(&mut sim, json!({}));
        let before = running(&sim);
        sim.crash_leader(3 * SECOND);
        sim.crash_framework(0, Some(2 * SECOND));
        sim.crash_agent(1, 4 * SECOND);
        pass(&mut sim, 2 * MINUTE);
        settled(&mut sim, MINUTE);
        assert_eq!(running(&sim), before);
        assert_eq!(sim.launches(), 10);
    }

    /// Marathon 839: a master that has not heard of all agents yet is asked about their tasks.
    #[test]
    fn marathon_839_questions_to_a_new_master_start_nothing() {
        let mut sim = services(3);
        deployed(&mut sim, json!({}));
        let before = running(&sim);
        sim.crash_agent(0, 20 * SECOND);
        sim.crash_agent(2, 25 * SECOND);
        sim.crash_leader(SECOND);
        pass(&mut sim, 3 * MINUTE);
        settled(&mut sim, MINUTE);
        assert_eq!(running(&sim), before);
        assert_eq!(sim.launches(), 10);
    }

    /// Marathon 4777: tasks that fail at once are launched in numbers.
    #[test]
    fn marathon_4777_what_fails_at_once_is_launched_ever_more_slowly() {
        let mut sim = services(3);
        let created =
            ask(&mut sim, create(json!({"instances": 3, "backoffFactor": 2, "maxLaunchDelaySeconds": 60})));
        created.expect("it is a valid app");
        let end = sim.now() + 10 * MINUTE;
        until(&mut sim, 11 * MINUTE, "ten minutes pass", |sim| {
            for task in running(sim) {
                sim.exit_task(&task, 1);
            }
            sim.now() >= end
        });
        // After each failure, of which up to three come together, 1, 2, 4, ... 60, 60, ... seconds.
        let launches = sim.launches();
        assert!((6..=3 * 16).contains(&launches), "{launches}");
    }

    /// Marathon 7104: an upgrade that fails scales beyond its limit. I6 is checked at each launch; here with none to spare.
    #[test]
    fn marathon_7104_an_upgrade_that_fails_stays_within_its_limit() {
        let mut sim = services(3);
        let strategy = json!({"minimumHealthCapacity": 0.5, "maximumOverCapacity": 0.0});
        deployed(&mut sim, json!({"instances": 4, "upgradeStrategy": strategy}));
        ask(&mut sim, change(json!({"cmd": "two"}), false)).expect("nothing is in the way");
        let second = version(&sim);
        let end = sim.now() + 2 * MINUTE;
        until(&mut sim, 3 * MINUTE, "two minutes pass", |sim| {
            assert!(running(sim).len() <= 4, "{}", tail(sim));
            for task in known(sim).into_iter().filter(|task| task.version == second) {
                sim.exit_task(task.id.as_str(), 1);
            }
            sim.now() >= end
        });
        settled(&mut sim, 3 * MINUTE);
        assert_eq!(running_of(&sim, second, true), 4);
    }

    /// Marathon 3142: after a restart of the master 1,316 instances are shown that do not exist.
    #[test]
    fn marathon_3142_nothing_is_shown_that_is_not_there() {
        let mut sim = services(4);
        deployed(&mut sim, json!({"instances": 60, "cpus": 0.05}));
        ask(&mut sim, change(json!({"instances": 120}), false)).expect("nothing is in the way");
        sim.crash_leader(2 * SECOND);
        sim.crash_agent(1, 3 * SECOND);
        settled(&mut sim, 3 * MINUTE);
        let shown: BTreeSet<String> = known(&sim).iter().map(|task| task.id.to_string()).collect();
        assert_eq!(shown, running(&sim));
        ask(&mut sim, change(json!({"instances": 0}), false)).expect("nothing is in the way");
        sim.crash_leader(2 * SECOND);
        settled(&mut sim, 3 * MINUTE);
        assert_eq!((known(&sim).len(), running(&sim).len()), (0, 0));
    }

    /// Marathon 2353: after a race the target is never reached.
    #[test]
    fn marathon_2353_the_target_is_reached_after_any_race() {
        for seed in 1..=20 {
            let plan = Plan::quiet(3, "cpus:4;mem:1024", vec![Manner::Services { apps: 0 }]);
            let mut sim = Sim::new(seed, plan, true);
            settled(&mut sim, MINUTE);
            ask(&mut sim, create(json!({"instances": 0}))).expect("it is a valid app");
            for instances in [7, 1, 9, 0, 5, 12, 3] {
                let request = sim.ask_services(0, change(json!({"instances": instances}), true));
                sim.run_for(Duration::from_millis(37 * seed));
                if let Some(task) = running(&sim).first() {
                    sim.exit_task(task, 0);
                }
                assert!(!matches!(sim.answer(0, request), Some(Err(_))), "force takes over");
            }
            settled(&mut sim, MINUTE);
            assert_eq!(running(&sim).len(), 3, "seed {seed}");
        }
    }

    /// Marathon 731: a deployment that is neither queued nor goes on.
    #[test]
    fn marathon_731_a_deployment_that_waits_is_in_the_queue() {
        let mut sim = services(1);
        ask(&mut sim, create(json!({"instances": 2, "cpus": 3}))).expect("it is a valid app");
        pass(&mut sim, 10 * MINUTE);
        let core = sim.services(0).expect("it runs");
        assert_eq!(core.deployments().count(), 1);
        let now = chapada_model::Now { mono: sim.now(), wall: chapada_model::Wall(0) };
        assert_eq!(core.queue(now).map(|waiting| waiting.count).sum::<usize>(), 1, "one fits, one waits");
        sim.add_agent("cpus:4;mem:1024");
        settled(&mut sim, MINUTE);
    }

    /// MARATHON-8422: a task that was out of reach when it was to be killed comes back and stays.
    #[test]
    fn marathon_8422_what_returns_and_is_not_wanted_is_killed() {
        let mut sim = services(2);
        deployed(&mut sim, json!({"instances": 6, "unreachableStrategy": "disabled"}));
        assert!(sim.cut_off(0, 10 * MINUTE) > 0);
        pass(&mut sim, 2 * MINUTE);
        ask(&mut sim, change(json!({"instances": 0}), true)).expect("force takes over");
        pass(&mut sim, MINUTE);
        assert!(!running(&sim).is_empty(), "it runs on where nobody reaches it");
        sim.heal();
        until(&mut sim, 2 * MINUTE, "the agent is back", |sim| sim.registered() == 2);
        until(&mut sim, 10 * SECOND, "nothing runs", |sim| running(sim).is_empty());
        settled(&mut sim, MINUTE);
    }

    /// DCOS-51375: a deployment that is cancelled leaves instances behind.
    #[test]
    fn dcos_51375_what_is_cancelled_leaves_nothing_behind() {
        let mut sim = services(3);
        deployed(&mut sim, json!({}));
        for force in [true, false] {
            let before = sim.launches();
            ask(&mut sim, change(json!({"cmd": format!("another {force}")}), true))
                .expect("force takes over");
            until(&mut sim, MINUTE, "some are replaced", |sim| sim.launches() >= before + 3);
            let deployment =
                sim.services(0).and_then(|core| core.deployments().next()).expect("it goes on").id;
            ask(&mut sim, Command::Cancel { deployment, force }).expect("it can be cancelled");
            settled(&mut sim, 2 * MINUTE);
            assert_eq!(running(&sim).len(), 10);
        }
        ask(&mut sim, Command::Delete { app: web(), force: true }).expect("there is the app");
        settled(&mut sim, MINUTE);
        assert!(running(&sim).is_empty());
        let stops = |state: &chapada_services_core::AppState| {
            state.instances.values().any(|instance| instance.goal == Goal::Stop)
        };
        assert!(!sim.services(0).expect("it runs").all_apps().any(stops));
    }

    /// DCOS-54927: deployments that follow each other closely launch too much between them.
    #[test]
    fn dcos_54927_one_deployment_after_the_other_stays_within_the_limit() {
        let mut sim = services(3);
        deployed(&mut sim, json!({}));
        for number in 0..10 {
            let request = sim.ask_services(0, change(json!({"cmd": format!("number {number}")}), true));
            for _ in 0..70 {
                pass(&mut sim, Duration::from_millis(10));
                assert!(running(&sim).len() <= 12, "{}", tail(&sim));
            }
            assert!(matches!(sim.answer(0, request), Some(Ok(_))));
        }
        settled(&mut sim, 3 * MINUTE);
        assert_eq!(running_of(&sim, version(&sim), true), 10);
    }

    /// MARATHON-8566: the answer comes before the deployment can be seen.
    #[test]
    fn marathon_8566_who_is_answered_can_see_it_and_so_can_the_next_leader() {
        let mut sim = services(3);
        deployed(&mut sim, json!({}));
        let Ok(Reply::Deployed { deployment, .. }) = ask(&mut sim, change(json!({"cmd": "two"}), false))
        else {
            panic!("nothing is in the way");
        };
        assert!(sim.services(0).expect("it runs").deployment(deployment).is_some());
        sim.crash_framework(0, Some(SECOND));
        until(&mut sim, MINUTE, "another process runs", |sim| sim.services(0).is_some());
        assert!(sim.services(0).expect("it runs").deployment(deployment).is_some());
        settled(&mut sim, 3 * MINUTE);
    }
}
