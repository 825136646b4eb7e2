//! Random histories of clients, containers, losses and crashes. At no time do containers of two incarnations of one instance
//! run, and once faults stop, each instance that is wanted does its work and nothing else runs.

use std::collections::{BTreeMap, BTreeSet};

use chapada_model::{TaskId, TaskState};
use chapada_services_core::{Command, InstanceId};
use proptest::prelude::*;
use serde_json::json;

use crate::support::{Bench, id};

/// For how many rounds nothing may change any more at the end.
const QUIET_ROUNDS: usize = 5;

#[derive(Clone, Debug)]
enum Step {
    Replace { instances: u32, config: u32 },
    Kill(usize),
    Offer,
    Launched,
    Runs(usize),
    Ends(usize, TaskState),
    KillsArrive,
    Lost(bool),
    Wait(u64),
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let ends = prop_oneof![Just(TaskState::Failed), Just(TaskState::Finished), Just(TaskState::Gone)];
    prop_oneof![
        2 => (0..4u32, 0..3u32).prop_map(|(instances, config)| Step::Replace { instances, config }),
        1 => (0..9usize).prop_map(Step::Kill),
        3 => Just(Step::Offer),
        5 => Just(Step::Launched),
        8 => (0..9usize).prop_map(Step::Runs),
        4 => (0..9usize, ends).prop_map(|(pick, state)| Step::Ends(pick, state)),
        5 => Just(Step::KillsArrive),
        1 => any::<bool>().prop_map(Step::Lost),
        4 => (1..40u64).prop_map(Step::Wait),
        1 => Just(Step::Crash),
    ]
}

/// The agent: every task it was ever given, with its group and its state.
#[derive(Default)]
struct Agent {
    tasks: BTreeMap<TaskId, (usize, TaskState)>,
    groups: usize,
    lost: bool,
    killed: usize,
}

impl Agent {
    fn live(&self) -> Vec<TaskId> {
        let live = self.tasks.iter().filter(|(_, (_, state))| !state.is_terminal());
        live.map(|(task, _)| task.clone()).collect()
    }

    /// Takes the groups that were launched since.
    fn take_launches(&mut self, bench: &mut Bench) {
        for group in bench.groups.split_off(0) {
            self.groups += 1;
            for task in group.tasks {
                let known = self.tasks.insert(task.launch.task, (self.groups, TaskState::Staging));
                assert_eq!(known, None, "one id was used twice");
            }
        }
    }

    /// A task comes to a state; one that ends badly takes its group with it, as executors do.
    fn moves(&mut self, bench: &mut Bench, task: &TaskId, state: TaskState) {
        let Some((group, known)) = self.tasks.get(task).copied() else {
            return bench.update(task, TaskState::Gone);
        };
        if self.lost {
            return;
        }
        if known.is_terminal() {
            return bench.update(task, known);
        }
        let mut moved = vec![(task.clone(), state)];
        if state.is_terminal() && state != TaskState::Finished {
            let others = self
                .tasks
                .iter()
                .filter(|(other, (of, it))| of == &group && !it.is_terminal() && *other != task);
            moved.extend(others.map(|(other, _)| (other.clone(), TaskState::Killed)));
        }
        for (task, state) in moved {
            self.tasks.insert(task.clone(), (group, state));
            bench.update(&task, state);
        }
    }

    fn kill_what_is_to_go(&mut self, bench: &mut Bench) {
        self.take_launches(bench);
        for task in bench.killed.split_off(0) {
            self.killed += 1;
            self.moves(bench, &task, TaskState::Killed);
        }
    }

    /// What the master says of every task when it is asked, and by itself when the agent is lost or back.
    fn tell_all(&mut self, bench: &mut Bench) {
        for (task, (_, state)) in self.tasks.clone() {
            let state = if self.lost && !state.is_terminal() { TaskState::Unreachable } else { state };
            if bench.live().contains(&task) || !state.is_terminal() {
                bench.update(&task, state);
            }
        }
    }

    fn check(&self, bench: &Bench) {
        let mut incarnations: BTreeMap<InstanceId, BTreeSet<String>> = BTreeMap::new();
        for task in self.live() {
            let incarnation = task.as_str().rsplit_once('.').expect("an incarnation").1.to_owned();
            let instance = InstanceId::of_task(task.as_str()).expect("the core named it");
            incarnations.entry(instance).or_default().insert(incarnation);
        }
        for (instance, incarnations) in incarnations {
            assert_eq!(incarnations.len(), 1, "{instance} runs in {incarnations:?}");
        }
        for instance in bench.instances() {
            let parts =
                instance.task().map_or(2, |task| task.pod.as_ref().map_or(0, |pod| pod.containers.len()));
            assert_eq!(parts, 2);
        }
    }
}

fn update(instances: u32, config: u32) -> serde_json::Value {
    json!({
        "scaling": {"instances": instances}, "environment": {"CONFIG": config},
        "scheduling": {
            "backoff": {"backoff": 1, "maxLaunchDelay": 5},
            "unreachableStrategy": "disabled",
            "upgrade": {"minimumHealthCapacity": 0.5, "maximumOverCapacity": 0.5},
        },
        "containers": [
            {"name": "a", "exec": {"command": {"shell": "a"}}, "resources": {"cpus": 0.1, "mem": 32}},
            {"name": "b", "exec": {"command": {"shell": "b"}}, "resources": {"cpus": 0.1, "mem": 32}},
        ],
        "volumes": [],
    })
}

fn take(bench: &mut Bench, agent: &mut Agent, step: Step) {
    let pick = |agent: &Agent, pick: usize| {
        let live = agent.live();
        live.get(pick % live.len().max(1)).cloned()
    };
    match step {
        Step::Replace { instances, config } => {
            let fields = crate::support::pod(update(instances, config));
            let command = Command::ReplacePod { pod: id(), definition: fields, force: true };
            bench.command(command).expect("accepted");
        }
        Step::Kill(pick) => {
            let all = bench.instances();
            if let Some(instance) = all.get(pick % all.len().max(1)) {
                let instances = vec![instance.id.to_string()];
                let command = Command::KillInstances { pod: id(), instances, all: true };
                bench.command(command).expect("accepted");
            }
        }
        Step::Offer if !agent.lost => bench.offer(),
        Step::Offer => {}
        Step::Launched => agent.take_launches(bench),
        Step::Runs(which) => {
            if let Some(task) = pick(agent, which) {
                agent.moves(bench, &task, TaskState::Running);
            }
        }
        Step::Ends(which, state) => {
            if let Some(task) = pick(agent, which) {
                agent.moves(bench, &task, state);
            }
        }
        Step::KillsArrive => agent.kill_what_is_to_go(bench),
        Step::Lost(lost) => {
            agent.take_launches(bench);
            agent.lost = lost;
            agent.tell_all(bench);
        }
        Step::Wait(seconds) => bench.wait(seconds),
        Step::Crash => {
            agent.take_launches(bench);
            bench.killed.clear();
            bench.restart();
        }
    }
    agent.check(bench);
}

fn run(history: Vec<Step>) -> (Bench, Agent) {
    let mut bench = Bench::new();
    let mut agent = Agent::default();
    bench.create(update(2, 0)).expect("accepted");
    for step in history {
        take(&mut bench, &mut agent, step);
    }
    agent.lost = false;
    let mut quiet = 0;
    for _ in 0..60 {
        agent.take_launches(&mut bench);
        agent.tell_all(&mut bench);
        for task in agent.live() {
            agent.moves(&mut bench, &task, TaskState::Running);
        }
        agent.kill_what_is_to_go(&mut bench);
        bench.offer();
        bench.wait(10);
        agent.check(&bench);
        quiet = if has_arrived(&bench, &agent) { quiet + 1 } else { 0 };
        if quiet == QUIET_ROUNDS {
            break;
        }
    }
    agent.take_launches(&mut bench);
    (bench, agent)
}

/// Nothing is left half done, and the pod has what it asked for.
fn has_arrived(bench: &Bench, agent: &Agent) -> bool {
    let target = bench.services.pod(&id()).map(|state| state.app.definition.instances as usize);
    let instances = bench.instances();
    let all_good = Some(instances.len()) == target && instances.iter().all(|instance| instance.is_good());
    all_good && !bench.is_deploying() && agent.live().len() == bench.live().len()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn every_instance_that_is_wanted_runs_and_nothing_else_does(history in prop::collection::vec(step(), 0..80)) {
        let (bench, agent) = run(history);
        let target = bench.services.pod(&id()).expect("it was not deleted").app.definition.instances as usize;
        prop_assert_eq!(bench.instances().len(), target);
        let mut known = bench.live();
        known.sort();
        prop_assert_eq!(agent.live(), known);
        prop_assert!(!bench.is_deploying());
        prop_assert!(bench.instances().iter().all(|instance| instance.is_good()));
    }
}

/// The histories mean something: groups are launched, and containers are killed.
#[test]
fn the_histories_do_something() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let (mut groups, mut killed) = (0, 0);
    for _ in 0..20 {
        let history = prop::collection::vec(step(), 60..80).new_tree(&mut runner).unwrap().current();
        let (_, agent) = run(history);
        groups += agent.groups;
        killed += agent.killed;
    }
    assert!(groups > 150 && killed > 100, "{groups} groups, {killed} killed");
}
