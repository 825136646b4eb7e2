//! Each check sees what it is for. What is wrong within a master's books is for its audit, whose own tests plant that.

use std::sync::Arc;
use std::time::Duration;

use chapada_agent_core::{Command, Effect, Event, FoundState, FromMaster, Record, TaskRecord, Update};
use chapada_master_core::{
    Accept, AgentRecord, Call, Operation, Proposal, Quota, RegistryChange, RoleCall, SchedulerEvent,
    Standing, TaskGroup,
};
use chapada_model::{ContainerId, OfferId, TaskId, TaskKey, TaskState, TaskStatus, UpdateUuid};

use crate::actors::Incarnation;
use crate::nodes::{Container, Tenant};
use crate::queue::Happening;
use crate::{Manner, Plan, Sim, run_plan};

/// Something that must be found.
type Damage = fn(&mut Sim);

const MINUTE: Duration = Duration::from_secs(60);

/// Two agents, and a keeper whose four tasks run.
fn running() -> Sim {
    let plan = Plan::quiet(2, "cpus:1;mem:1024", vec![Manner::Keeper { tasks: 4 }]);
    let mut sim = Sim::new(1, plan, false);
    assert!(sim.run_until(MINUTE, |sim| sim.unsettled().is_empty()), "{:?}", sim.failure());
    assert_eq!(sim.failure(), None);
    sim
}

/// A task that runs, and where.
fn some_task(sim: &Sim) -> (usize, Arc<TaskRecord>) {
    let task = |agent: usize| {
        let found = sim.agents[agent].kernel.containers.values().find(|found| found.is_live())?;
        Some((agent, found.tasks().next()?.clone()))
    };
    (0..2).find_map(task).expect("something runs")
}

/// The same under another name.
fn renamed(record: &TaskRecord, name: &str) -> Arc<TaskRecord> {
    let key = TaskKey { framework: record.key.framework.clone(), task: name.parse().unwrap() };
    let container: ContainerId = format!("container-of-{name}").parse().unwrap();
    Arc::new(TaskRecord { key, container, ..record.clone() })
}

#[track_caller]
fn found(sim: &Sim, words: &str) {
    let failure = sim.failure().unwrap_or("nothing was found");
    assert!(failure.contains(words), "{failure}");
}

#[test]
fn i2_more_than_there_is_on_a_machine() {
    let mut sim = running();
    let (agent, task) = some_task(&sim);
    for number in 0..4 {
        sim.launch(agent, renamed(&task, &format!("other-{number}")), None);
    }
    found(&sim, "I2: a");
}

#[test]
fn i2_a_task_that_begins_twice() {
    let mut sim = running();
    let (agent, task) = some_task(&sim);
    sim.launch(1 - agent, task, None);
    found(&sim, "is launched twice");
}

#[test]
fn i3_a_framework_an_agent_and_a_quota_that_the_registry_loses() {
    let damages: [(Damage, &str); 3] = [
        (|sim| sim.registry.state.frameworks.clear(), "I3: framework"),
        (|sim| sim.registry.state.agents.clear(), "I3: agent"),
        (|sim| sim.registry.state.quotas.clear(), "I3: an operator was answered"),
    ];
    for (damage, words) in damages {
        let mut sim = running();
        let limit = [("cpus".into(), chapada_model::Milli::whole(9))].into();
        let quotas = vec![("services".parse().unwrap(), Quota { limit, ..Quota::default() })];
        let leader = sim.leader().unwrap();
        assert_eq!(sim.call_about_roles(leader, RoleCall::UpdateQuota { quotas, force: true }), None);
        sim.run_for(MINUTE);
        assert_eq!(sim.failure(), None);
        damage(&mut sim);
        sim.depose_leader();
        found(&sim, words);
    }
}

fn update(state: TaskState) -> Update {
    Update {
        uuid: UpdateUuid([9; 16]),
        state,
        source: chapada_model::Source::Executor,
        reason: None,
        message: String::new(),
        at: chapada_model::Wall(0),
        pid: None,
        exceeded: chapada_model::Resources::EMPTY,
        healthy: None,
        check: None,
        details: None,
    }
}

#[test]
fn i4_an_update_after_the_end() {
    let mut sim = running();
    let (agent, task) = some_task(&sim);
    for state in [TaskState::Failed, TaskState::Running] {
        assert_eq!(sim.failure(), None);
        let update = Arc::new(update(state));
        sim.check_record(agent, &Record::Update { task: task.key.clone(), update });
    }
    found(&sim, "I4: a");
}

#[test]
fn i4_an_update_that_is_said_before_it_is_durable() {
    let mut sim = running();
    let (agent, task) = some_task(&sim);
    let update = Arc::new(update(TaskState::Failed));
    sim.check_record(agent, &Record::Update { task: task.key.clone(), update: update.clone() });
    sim.check_durable(agent, &task.key, &update);
    found(&sim, "before it is durable");
}

#[test]
fn i4_an_update_that_is_skipped_and_one_that_raises_the_dead() {
    let mut sim = running();
    let (agent, task) = some_task(&sim);
    let hears = |sim: &mut Sim, state, uuid| {
        let status = TaskStatus { uuid, ..TaskStatus::new(task.key.task.clone(), state) };
        sim.check_event(0, &SchedulerEvent::Update(Arc::new(status)));
    };
    let said = |sim: &mut Sim, name: u8, state| {
        let update = Arc::new(Update { uuid: UpdateUuid([name; 16]), ..update(state) });
        sim.check_record(agent, &Record::Update { task: task.key.clone(), update });
        Some(UpdateUuid([name; 16]))
    };
    let skipped = said(&mut sim, 1, TaskState::Killing);
    let end = said(&mut sim, 2, TaskState::Killed);
    hears(&mut sim, TaskState::Killed, end);
    found(&sim, "I4: f0 hears TASK_KILLED");
    sim.checks.failure = None;
    hears(&mut sim, TaskState::Killing, skipped);
    assert_eq!(sim.failure(), None, "it is there now");
    hears(&mut sim, TaskState::Running, None);
    found(&sim, "I4: f0 hears TASK_RUNNING");
    sim.checks.failure = None;
    hears(&mut sim, TaskState::Gone, None);
    assert_eq!(sim.failure(), None, "so whoever asks for it by name is answered");
    let lost = TaskStatus::new(task.key.task.clone(), TaskState::Lost);
    let lost = TaskStatus { reason: Some(chapada_model::Reason::AgentRemoved), ..lost };
    sim.check_event(0, &SchedulerEvent::Update(Arc::new(lost)));
    found(&sim, "I4: f0 hears TASK_LOST");
}

#[test]
fn i4_an_acknowledgement_of_nobody_and_a_task_that_is_let_go_unheard() {
    let mut sim = running();
    let (agent, task) = some_task(&sim);
    let (leader, id) = (sim.leader().unwrap(), sim.agent_id(agent).unwrap());
    sim.check_acknowledged(leader, &id, &task.key, UpdateUuid([9; 16]));
    found(&sim, "that its framework has not");
    sim.checks.failure = None;
    sim.check_forgotten(agent, &task.key);
    found(&sim, "never heard its end");
}

#[test]
fn i5_an_agent_that_does_as_a_deposed_master_says() {
    let mut sim = running();
    let (agent, task) = some_task(&sim);
    sim.check_epoch(agent, 0);
    let kill = Command::Kill { task: task.key.clone(), grace: None };
    let effects =
        [Effect::Signal { container: task.container.clone(), signal: chapada_agent_core::Signal::Terminate }];
    sim.check_word(agent, &effects);
    found(&sim, "I5: a");
    sim.checks.failure = None;
    // The real one does not.
    sim.apply_to_agent(agent, Event::FromMaster(FromMaster { epoch: 0, sequence: 1, command: kill }));
    assert_eq!(sim.failure(), None);
}

#[test]
fn i6_two_of_one_thing() {
    let mut sim = running();
    let (agent, task) = some_task(&sim);
    let name = task.key.task.as_str().to_owned();
    let (thing, _) = name.rsplit_once('.').expect("the name of an incarnation");
    sim.launch(1 - agent, renamed(&task, &format!("{thing}.99")), None);
    found(&sim, "I6: double launch");
}

#[test]
fn i7_what_is_never_satisfied() {
    let manners = vec![Manner::Keeper { tasks: 4 }];
    let plan = Plan { calm: Duration::from_secs(10), ..Plan::quiet(1, "cpus:1;mem:1024", manners) };
    let failure = run_plan(1, &mut Sim::new(1, plan, false)).unwrap_err();
    assert!(failure.what.starts_with("I7: "), "{}", failure.what);
}

#[test]
fn i7_books_that_count_what_does_not_run() {
    let mut sim = running();
    let (agent, _) = some_task(&sim);
    let live = |found: &&mut Container| found.is_live();
    let container = sim.agents[agent].kernel.containers.values_mut().find(live).unwrap();
    container.state = chapada_agent_core::FoundState::Dead;
    let unsettled = sim.unsettled().join("; ");
    assert!(unsettled.contains(&format!("a{agent} runs")), "{unsettled}");
}

#[test]
fn i8_a_queue_and_a_log_that_grow() {
    let damages: [(Damage, &str); 2] = [
        (
            |sim| {
                let later = sim.now + 100 * MINUTE;
                (0..4_000).for_each(|_| sim.queue.put(later, Happening::Calm));
            },
            "I8: happenings",
        ),
        (
            |sim| {
                let record = sim.agents[0].disk.durable[0].clone();
                sim.agents[0].disk.durable.extend(vec![record; 10_000]);
            },
            "I8: log of a0",
        ),
    ];
    for (damage, words) in damages {
        let mut sim = running();
        damage(&mut sim);
        let grown = sim.grown().join("; ");
        assert!(grown.contains(words), "{grown}");
    }
}

#[test]
fn i8_a_queue_that_grows_is_found_on_the_way() {
    let mut sim = running();
    let later = sim.now + 100 * MINUTE;
    (0..4_000).for_each(|_| sim.queue.put(later, Happening::Calm));
    sim.run_for(60 * MINUTE);
    found(&sim, "I8: happenings");
}

#[test]
fn i8_what_feeds_itself() {
    let mut sim = running();
    let now = sim.now;
    (0..100_000).for_each(|_| sim.queue.put(now, Happening::Calm));
    sim.run_for(MINUTE);
    found(&sim, "I8: ");
}

#[test]
fn a_group_of_which_only_some_start() {
    let mut sim = running();
    let (agent, task) = some_task(&sim);
    let first: TaskId = "first".parse().unwrap();
    let key = |name: &str| TaskKey { task: name.parse().unwrap(), ..task.key.clone() };
    sim.checks.groups.insert(key("first"), vec![key("first"), key("second")]);
    let runner = chapada_agent_core::Runner::Custom { executor: "e".parse().unwrap(), group: Some(first) };
    let alone = TaskRecord { runner, ..(*renamed(&task, "first")).clone() };
    sim.check_group(agent, &[Arc::new(alone)]);
    found(&sim, "starts 1 of 2 tasks");
}

/// Two agents, and the services framework, which nobody has asked for anything.
fn services() -> Sim {
    let mut sim =
        Sim::new(1, Plan::quiet(2, "cpus:1;mem:1024;disk:10", vec![Manner::Services { apps: 0 }]), false);
    assert!(sim.run_until(MINUTE, |sim| sim.unsettled().is_empty()), "{:?}", sim.failure());
    sim
}

/// As `services`, with an app of so many instances.
fn serving(instances: u32) -> Sim {
    let mut sim = services();
    let definition = serde_json::json!({
        "id": "/web", "cmd": "sleep 1000", "cpus": 0.1, "mem": 8, "instances": instances, "portDefinitions": []
    });
    let definition = definition.as_object().unwrap().clone();
    sim.ask_services(0, chapada_services_core::Command::Create { definition, force: false });
    let all = |sim: &mut Sim| sim.unsettled().is_empty() && sim.known(0) == Some(instances as usize);
    assert!(sim.run_until(MINUTE, all), "{:?}", sim.failure());
    sim
}

/// As `services`, with a pod of one instance, the two containers of which run.
fn serving_pod() -> Sim {
    let mut sim = services();
    let container = |name: &str| {
        serde_json::json!({
            "name": name, "exec": {"command": {"shell": "sleep 1000"}}, "resources": {"cpus": 0.1, "mem": 8},
        })
    };
    let definition = serde_json::json!({
        "id": "/duo", "containers": [container("one"), container("two")], "scheduling": {"backoff": {"backoff": 1}},
        "executorResources": {"cpus": 0.1, "mem": 32, "disk": 1},
    });
    let definition = definition.as_object().unwrap().clone();
    let request = sim.ask_services(0, chapada_services_core::Command::CreatePod { definition, force: false });
    let all = |sim: &mut Sim| sim.unsettled().is_empty() && sim.running(0).len() == 2;
    assert!(sim.run_until(MINUTE, all), "{:?} {:?}", sim.failure(), sim.answer(0, request));
    sim
}

/// Three instances of which one was killed and another took its place; the killed one runs again, as it were, on the agent of
/// this number.
fn with_one_too_many() -> Sim {
    let mut sim = serving(3);
    let (agent, task) = some_task(&sim);
    sim.ask_services(
        0,
        chapada_services_core::Command::Kill {
            which: chapada_services_core::Which::Any(vec![task.key.task.to_string()]),
            scale: false,
            force: false,
        },
    );
    let is_new = |sim: &mut Sim| sim.unsettled().is_empty() && sim.launches() == 4;
    assert!(sim.run_until(MINUTE, is_new), "{:?}", sim.failure());
    let (tenant, state) = (Tenant::Task { record: task, pod: None }, FoundState::Starting);
    let again = Container { tenant, state, stubborn: false };
    sim.agents[agent].kernel.containers.insert("again".parse().unwrap(), again);
    sim
}

#[test]
fn i6_more_instances_than_an_app_may_have() {
    let mut sim = with_one_too_many();
    // It was there when the one in its place begins.
    let services = sim.frameworks[0].actor.services().unwrap();
    let order = |task: &TaskId| services.decisions().of(&Incarnation::of(task).unwrap()).unwrap().order;
    let is_last = |record: &&Arc<TaskRecord>| order(&record.key.task) == 3;
    let all = sim.agents.iter().flat_map(|agent| agent.kernel.containers.values());
    let last = all.flat_map(Container::tasks).find(is_last).unwrap().clone();
    sim.check_allowed(&last);
    found(&sim, "begins beside");
}

#[test]
fn i6_a_surplus_that_nobody_ends() {
    let mut sim = with_one_too_many();
    sim.run_for(Duration::from_secs(10));
    assert_eq!(sim.failure(), None);
    // Its agent, which does not know it either, is not what this is about.
    sim.checks.is_off = true;
    sim.run_for(Duration::from_secs(10));
    sim.checks.is_off = false;
    sim.check_surplus();
    found(&sim, "there may be 3");
}

#[test]
fn i6_an_instance_that_begins_again_while_a_container_of_it_runs() {
    let mut sim = serving_pod();
    let (agent, left) = some_task(&sim);
    let failing = sim.running(0).into_iter().find(|task| task != left.key.task.as_str()).unwrap();
    sim.exit_task(&failing, 1);
    let is_new = |sim: &mut Sim| sim.unsettled().is_empty() && sim.launches() == 4;
    assert!(sim.run_until(MINUTE, is_new), "{:?}", sim.failure());
    // The container that was to end with the one that failed never did, as it were.
    let (tenant, state) = (Tenant::Task { record: left.clone(), pod: None }, FoundState::Starting);
    let again = Container { tenant, state, stubborn: false };
    sim.agents[agent].kernel.containers.insert("again".parse().unwrap(), again);
    let all = sim.agents.iter().flat_map(|agent| agent.kernel.containers.values());
    let is_second = |record: &&Arc<TaskRecord>| record.key.task.as_str().ends_with(".2");
    let second = all.flat_map(Container::tasks).find(is_second).unwrap().clone();
    sim.check_allowed(&second);
    found(&sim, "of the same instance still runs");
    let unsettled = sim.unsettled().join("; ");
    assert!(unsettled.contains(&format!("{:?}", left.key.task)), "{unsettled}");
}

#[test]
fn i6_a_container_that_is_gone_while_its_pod_counts_as_good() {
    let mut sim = serving_pod();
    let (agent, task) = some_task(&sim);
    let containers = &mut sim.agents[agent].kernel.containers;
    let is_its = |found: &Container| found.tasks().any(|other| other.key == task.key);
    containers.values_mut().find(|found| is_its(found)).unwrap().state = FoundState::Dead;
    let unsettled = sim.unsettled().join("; ");
    assert!(unsettled.contains("/duo of f0 wants 1, has 1 good ones"), "{unsettled}");
}

#[test]
fn i6_a_task_that_nobody_decided() {
    let mut sim = serving(1);
    let (agent, task) = some_task(&sim);
    sim.launch(agent, renamed(&task, "web.instance-00000000-0000-4000-8000-000000000000._app.1"), None);
    found(&sim, "nobody decided that");
}

#[test]
fn i6_a_launch_that_is_not_recorded() {
    let mut sim = serving(0);
    assert!(sim.run_until(MINUTE, |sim| !sim.offers(0).is_empty()) || sim.failure().is_none());
    let (offer, task) = ("o".parse().unwrap(), "web.instance-00000000-0000-4000-8000-000000000000._app.1");
    let described =
        crate::actors::task(task.parse().unwrap(), &"a".parse().unwrap(), chapada_model::Resources::EMPTY);
    let tasks = vec![Proposal::Valid(Box::new(described))];
    let group = TaskGroup { executor: None, tasks: tasks.clone(), problem: None };
    for operation in [Operation::Launch { tasks }, Operation::LaunchGroup(group)] {
        sim.checks.failure = None;
        let filters = chapada_model::Filters { refuse: Duration::ZERO };
        let offers = vec![OfferId::clone(&offer)];
        sim.check_recorded(0, &Call::Accept(Accept { offers, operations: vec![operation], filters }));
        found(&sim, "its record is not durable");
    }
}

#[test]
fn i6_a_task_that_runs_for_nobody() {
    let mut sim = serving(2);
    sim.frameworks[0].store.records.clear();
    sim.crash_framework(0, Some(Duration::from_secs(1)));
    assert!(sim.run_until(MINUTE, |sim| sim.services(0).is_some()));
    let unsettled = sim.unsettled().join("; ");
    assert!(unsettled.contains("run for nobody"), "{unsettled}");
}

#[test]
fn i3_a_leader_that_forgets_who_is_out_of_service() {
    let mut sim = running();
    let leader = sim.leader().unwrap();
    sim.check_recovered(leader);
    assert_eq!(sim.failure(), None);
    let record = sim.registry.state.agents.values_mut().next().unwrap();
    record.deactivated = true;
    sim.check_recovered(leader);
    found(&sim, "is out of service");
}

/// The registry is told by whoever leads that this agent is unreachable.
fn give_up(sim: &mut Sim, name: &str) {
    let (_, record) = sim.registry.state.agents.first_key_value().expect("there are agents");
    let standing = Standing::Unreachable { since: chapada_model::Wall(1) };
    let record = AgentRecord { standing, ..record.clone() };
    let change = RegistryChange::PutAgent(name.parse().unwrap(), record);
    sim.check_removal(&change);
}

#[test]
fn more_agents_given_up_than_the_brake_allows() {
    let mut sim = running();
    for name in ["one", "two", "three"] {
        give_up(&mut sim, name);
        assert_eq!(sim.failure(), None);
    }
    let leader = sim.leader().unwrap();
    sim.note_allowance(leader, Duration::ZERO);
    give_up(&mut sim, "allowed");
    assert_eq!(sim.failure(), None);
    sim.run_for(2 * MINUTE);
    give_up(&mut sim, "four");
    found(&sim, "the 4th within");
}

#[test]
fn more_agents_given_up_by_two_leaders_than_the_brake_allows() {
    let mut sim = running();
    // They are in the registry, as the next leader finds them.
    let since = sim.clock(0).wall;
    let (_, record) = sim.registry.state.agents.first_key_value().expect("there are agents");
    let record = AgentRecord { standing: Standing::Unreachable { since }, ..record.clone() };
    for name in ["one", "two", "three"] {
        give_up(&mut sim, name);
        sim.registry.state.agents.insert(name.parse().unwrap(), record.clone());
    }
    sim.plan.settings.agent_reregister_timeout = Duration::ZERO;
    sim.depose_leader();
    assert!(sim.run_until(MINUTE, |sim| sim.registry.leaders.len() == 2));
    assert_eq!(sim.failure(), None);
    give_up(&mut sim, "four");
    found(&sim, "the 4th within");
}

#[test]
fn an_agent_given_up_by_a_leader_that_is_new() {
    let mut sim = running();
    sim.depose_leader();
    assert!(sim.run_until(MINUTE, |sim| sim.registry.leaders.len() == 2));
    give_up(&mut sim, "one");
    found(&sim, "after it began to lead");
}
