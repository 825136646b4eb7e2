//! How instances live: they begin and end as a whole, are replaced, and outlive the process that keeps them.

use chapada_model::{TaskId, TaskState};
use chapada_services_core::{
    Command, Condition, ContainerState, End, InstanceId, Kind, Published, Refusal, Reply, Which,
};
use serde_json::{Value, json};

use crate::support::{Bench, id, pod};

fn name(task: &TaskId) -> String {
    let (rest, incarnation) = task.as_str().rsplit_once('.').expect("an incarnation");
    format!("{}.{incarnation}", rest.rsplit_once('.').expect("a name").1)
}

fn names(tasks: &[TaskId]) -> Vec<String> {
    tasks.iter().map(name).collect()
}

fn condition(bench: &Bench) -> Option<Condition> {
    bench.instance().task().map(|task| task.condition)
}

#[test]
fn an_instance_runs_when_all_of_its_containers_do() {
    let mut bench = Bench::new();
    bench.create(json!({})).expect("accepted");
    assert_eq!(condition(&bench), Some(Condition::Provisioned));
    let tasks = bench.live();
    bench.update(&tasks[0], TaskState::Running);
    assert_eq!(condition(&bench), Some(Condition::Provisioned));
    bench.update(&tasks[1], TaskState::Starting);
    assert_eq!(condition(&bench), Some(Condition::Starting));
    assert!(bench.is_deploying());
    bench.update(&tasks[1], TaskState::Running);
    assert_eq!(condition(&bench), Some(Condition::Running));
    assert!(!bench.is_deploying());
    let changes = bench.published.iter().filter(|event| matches!(event, Published::Instance { .. })).count();
    assert_eq!(changes, 4, "one for each change of the whole: it waited and was launched before");
}

#[test]
fn a_container_that_fails_ends_the_instance_which_begins_again_when_all_has_ended() {
    let mut bench = Bench::with_pod(json!({}));
    let tasks = bench.live();
    let before = bench.instance().id;
    bench.update(&tasks[1], TaskState::Failed);
    assert_eq!(condition(&bench), Some(Condition::Killing));
    assert_eq!(names(&bench.killed), ["maker.1"], "the others end, too");
    bench.wait(10);
    assert_eq!(bench.groups.len(), 1, "nothing is launched while one of them is there");
    bench.update(&tasks[0], TaskState::Killed);
    assert_eq!(bench.instance().id, before, "the same place");
    bench.offer();
    assert_eq!(bench.groups.len(), 2, "its delay began with the failure");
    assert_eq!(names(&bench.live()), ["maker.2", "server.2"]);
    bench.all_run();
    assert_eq!(condition(&bench), Some(Condition::Running));
    let state = bench.services.pod(&id()).unwrap();
    let [ended] = state.terminations.as_slice() else { panic!("one termination") };
    assert_eq!(ended.instance, before);
    let states: Vec<ContainerState> = ended.containers.iter().map(|container| container.state).collect();
    assert_eq!(states, [ContainerState::Ended(End::Killed), ContainerState::Ended(End::Failed)]);
    assert!(state.last_failure.as_ref().is_some_and(|failure| failure.state == TaskState::Failed));
}

#[test]
fn a_failure_makes_the_next_launch_wait() {
    let mut bench = Bench::with_pod(json!({}));
    let tasks = bench.live();
    bench.update(&tasks[0], TaskState::Failed);
    bench.update(&tasks[1], TaskState::Killed);
    bench.offer();
    assert_eq!(bench.groups.len(), 1);
    bench.wait(6);
    assert_eq!(bench.groups.len(), 2);
}

#[test]
fn one_that_ends_well_lets_the_others_go_on() {
    let mut bench = Bench::with_pod(json!({}));
    let tasks = bench.live();
    bench.update(&tasks[0], TaskState::Finished);
    assert_eq!((condition(&bench), bench.killed.len()), (Some(Condition::Running), 0));
    assert!(bench.instance().is_good());
    bench.update(&tasks[1], TaskState::Finished);
    assert_eq!(condition(&bench), None, "it waits for its next turn");
    bench.wait(6);
    assert_eq!(names(&bench.live()), ["maker.2", "server.2"]);
}

#[test]
fn news_of_earlier_incarnations_and_of_nobodys_tasks_changes_nothing() {
    let mut bench = Bench::with_pod(json!({}));
    let first = bench.live();
    for task in &first {
        bench.update(task, TaskState::Failed);
    }
    bench.wait(6);
    bench.all_run();
    bench.update(&first[0], TaskState::Failed);
    assert_eq!(condition(&bench), Some(Condition::Running));
    bench.update(&first[0], TaskState::Running);
    assert_eq!(names(&bench.killed), ["server.1", "maker.1"], "once with its instance, and now");
    let foreign: TaskId = format!("{}.other.2", bench.instance().id).parse().unwrap();
    bench.update(&foreign, TaskState::Running);
    assert_eq!(bench.killed.last(), Some(&foreign));
}

#[test]
fn health_is_what_the_containers_say() {
    let mut check = pod(json!({}));
    check["containers"][1]["healthCheck"] = json!({"tcp": {"endpoint": "admin"}});
    let mut bench = Bench::with_pod(json!({"containers": check["containers"]}));
    assert!(bench.is_deploying(), "nobody said that it is well");
    let server = bench.live().swap_remove(1);
    bench.health(&server, true);
    assert!(!bench.is_deploying() && bench.instance().is_good());
    bench.health(&server, false);
    assert!(!bench.instance().is_good());
    assert_eq!(bench.instance().task().unwrap().healthy, Some(false));
    let said: Vec<Option<bool>> = bench
        .published
        .iter()
        .filter_map(|event| match event {
            Published::InstanceHealth { healthy, .. } => Some(*healthy),
            _ => None,
        })
        .collect();
    assert_eq!(said, [Some(true), Some(false)]);
}

#[test]
fn out_of_reach_and_back() {
    let unreachable =
        json!({"unreachableStrategy": {"inactiveAfterSeconds": 60, "expungeAfterSeconds": 120}});
    let mut bench = Bench::with_pod(json!({"scheduling": unreachable}));
    let tasks = bench.live();
    for task in &tasks {
        bench.update(task, TaskState::Unreachable);
    }
    assert_eq!(condition(&bench), Some(Condition::Unreachable));
    bench.wait(30);
    for task in &tasks {
        bench.update(task, TaskState::Running);
    }
    assert_eq!((condition(&bench), bench.groups.len()), (Some(Condition::Running), 1));
    for task in &tasks {
        bench.update(task, TaskState::Unreachable);
    }
    bench.wait(61);
    assert_eq!(bench.groups.len(), 2, "another takes its place");
    bench.wait(60);
    bench.all_run();
    bench.update(&tasks[0], TaskState::Running);
    assert_eq!(bench.killed.last(), Some(&tasks[0]), "it was given up");
}

#[test]
fn a_launch_of_which_nothing_is_heard_is_asked_about() {
    let mut bench = Bench::new();
    bench.create(json!({})).expect("accepted");
    bench.offer();
    let tasks = bench.live();
    bench.update(&tasks[0], TaskState::Starting);
    bench.wait(29);
    assert!(bench.asked.is_empty(), "not yet");
    bench.wait(1);
    assert_eq!(bench.asked, tasks[1..], "the other has been heard of");
}

#[test]
fn a_container_the_master_does_not_know_is_believed_gone_after_a_while() {
    let mut bench = Bench::with_pod(json!({}));
    let tasks = bench.live();
    bench.update(&tasks[0], TaskState::Unknown);
    bench.update(&tasks[1], TaskState::Running);
    assert_eq!(condition(&bench), Some(Condition::Running));
    bench.wait(31);
    assert_eq!(bench.asked, tasks[..1], "it is asked again");
    bench.update(&tasks[0], TaskState::Unknown);
    assert_eq!(condition(&bench), Some(Condition::Killing));
    assert_eq!(names(&bench.killed), ["server.1"]);
}

#[test]
fn scaled_updated_restarted_from_the_store_and_deleted() {
    let mut bench = Bench::with_pod(json!({}));
    bench.replace(json!({"scaling": {"instances": 3}})).expect("accepted");
    bench.settle();
    assert_eq!((bench.groups.len(), bench.live().len()), (3, 6), "the first was not touched");
    bench.restart();
    assert_eq!(bench.asked.len(), 6, "each container is asked about");
    assert_eq!(bench.live().len(), 6);
    let update = json!({"scaling": {"instances": 3}, "environment": {"NEW": "1"}});
    bench.replace(update.clone()).expect("accepted");
    bench.restart();
    assert!(bench.is_deploying());
    bench.settle();
    assert!(!bench.is_deploying());
    assert_eq!((bench.groups.len(), bench.live().len()), (6, 6), "each was replaced once");
    assert_eq!(bench.replace(update).map(|_| bench.is_deploying()), Ok(false), "no change is no work");
    bench.replace(json!({"scaling": {"instances": 1}, "environment": {"NEW": "1"}})).expect("accepted");
    bench.settle();
    assert_eq!(bench.live().len(), 2);
    bench.command(Command::DeletePod { pod: id(), force: false }).expect("accepted");
    assert!(bench.services.pod(&id()).is_none(), "clients do not see it");
    assert!(bench.services.even_ending(&id()).is_some());
    bench.settle();
    assert!(bench.services.even_ending(&id()).is_none());
    let rest = |key: &String| !key.starts_with("app.") && !key.starts_with("instance.");
    assert!(bench.store.keys().all(rest), "{:?}", bench.store.keys());
}

#[test]
fn a_killed_instance_is_replaced() {
    let mut bench = Bench::with_pod(json!({}));
    let first = bench.instance();
    let kill =
        |instance: &str, all| Command::KillInstances { pod: id(), instances: vec![instance.to_owned()], all };
    let killed = bench.command(kill(&first.id.to_string(), true));
    assert_eq!(killed, Ok(Reply::KilledInstances(vec![first.clone()])));
    assert_eq!(names(&bench.killed), ["maker.1", "server.1"]);
    bench.settle();
    assert_ne!(bench.instance().id, first.id);
    let gone = first.id.to_string();
    assert_eq!(bench.command(kill(&gone, true)), Err(Refusal::NoInstance(gone.clone())));
    assert_eq!(bench.command(kill(&gone, false)), Ok(Reply::KilledInstances(Vec::new())));
    assert!(matches!(bench.command(kill("x", false)), Err(Refusal::Invalid(_))));
    let any = bench.live().swap_remove(1);
    let by_task = Command::Kill { which: Which::Any(vec![any.to_string()]), scale: false, force: false };
    assert!(matches!(bench.command(by_task), Ok(Reply::Killed(killed)) if killed.len() == 1));
}

#[test]
fn apps_and_pods_do_not_share_a_path_and_do_not_answer_for_each_other() {
    let mut bench = Bench::with_pod(json!({}));
    let fields = |json: Value| json.as_object().unwrap().clone();
    let app = fields(json!({"id": "/shop/web", "cmd": "true"}));
    let taken = |kind| Err(Refusal::Exists { kind, id: id() });
    assert_eq!(bench.command(Command::Create { definition: app, force: false }), taken(Kind::Pod));
    assert_eq!(bench.create(json!({})), taken(Kind::Pod));
    let other = fields(json!({"id": "/other", "cmd": "true"}));
    bench.command(Command::Create { definition: other, force: false }).expect("accepted");
    assert!(matches!(bench.create(json!({"id": "/other"})), Err(Refusal::Exists { kind: Kind::App, .. })));
    let app = id();
    assert_eq!(
        bench.command(Command::Delete { app: app.clone(), force: true }),
        Err(Refusal::NoApp(app.clone()))
    );
    assert_eq!(bench.command(Command::Restart { app: app.clone(), force: true }), Err(Refusal::NoApp(app)));
    let app = "/other".parse().unwrap();
    let delete = Command::DeletePod { pod: app, force: true };
    assert!(matches!(bench.command(delete), Err(Refusal::NoPod(_))));
    assert_eq!(bench.replace(json!({"id": "/other"})), Err(Refusal::OtherPod));
    assert_eq!(bench.services.apps().count(), 1);
    assert_eq!(bench.services.pods().count(), 1);
}

#[test]
fn deployments_name_pods() {
    let mut bench = Bench::new();
    bench.create(json!({})).expect("accepted");
    let deployment = bench.services.deployments().next().expect("on its way");
    let names: Vec<&str> = deployment.steps.iter().flatten().map(|action| action.name()).collect();
    assert_eq!(names, ["StartPod", "ScalePod"]);
    assert!(matches!(bench.replace(json!({"scaling": {"instances": 2}})), Err(Refusal::Locked(_))));
    bench.all_run();
    bench.replace(json!({"user": "nobody"})).expect("accepted");
    let deployment = bench.services.deployments().next().expect("on its way");
    assert_eq!(deployment.now()[0].name(), "RestartPod");
}

#[test]
fn the_ids_of_containers_lead_back_to_their_instance() {
    let bench = Bench::with_pod(json!({}));
    for task in bench.live() {
        assert_eq!(InstanceId::of_task(task.as_str()), Some(bench.instance().id));
    }
}

/// Records of apps are as they were before there were pods, so that either program reads them.
#[test]
fn records_of_apps_say_nothing_of_pods() {
    let mut bench = Bench::new();
    let app = json!({"id": "/other", "cmd": "true"}).as_object().unwrap().clone();
    bench.command(Command::Create { definition: app, force: false }).expect("accepted");
    let records: Vec<String> =
        bench.store.values().map(|value| String::from_utf8(value.clone()).expect("text")).collect();
    assert!(records.len() >= 4, "{records:?}");
    assert!(!records.iter().any(|record| record.contains("pod")), "{records:?}");
}
