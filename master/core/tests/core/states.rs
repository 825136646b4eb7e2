//! Which state and reason a task is said to be in, for those who know the finer states and those who do not: every row of
//! section 2 of Mesos' inventory that a master says. What agents say stands in the same table of `agent/core`.

use std::time::Duration;

use chapada_master_core::{Accept, Call, Event, Operation, Proposal, Standing, StreamId, TaskGroup};
use chapada_model::{
    AgentId, Filters, FrameworkCapability, FrameworkId, OfferId, Reason, Source, TaskId, TaskKey,
    TaskState as S, TaskStatus,
};

use crate::world::{World, command_task, framework};

struct Scene {
    world: World,
    framework: FrameworkId,
    stream: StreamId,
    agent: AgentId,
}

/// A framework with one task `t` on one agent.
fn scene(aware: bool) -> Scene {
    let mut world = World::new();
    world.add_agent("cpus:2;mem:1024");
    let mut description = framework("f", &["*"]);
    if !aware {
        description.capabilities.remove(&FrameworkCapability::PartitionAware);
    }
    let (framework, stream) = world.framework(description);
    world.settle();
    let agent = world.agent_id(0);
    let mut scene = Scene { world, framework, stream, agent };
    scene.launch("t", None);
    scene.world.take(&scene.stream);
    scene
}

impl Scene {
    fn accept(&mut self, offer: Option<&str>, operation: Operation) {
        self.world.settle();
        let named = offer.map(|name| vec![OfferId::new(name).expect("valid")]);
        let offers = named.unwrap_or_else(|| self.world.offers(&self.framework));
        let filters = Filters { refuse: Duration::ZERO };
        let accept = Accept { offers, operations: vec![operation], filters };
        self.world.call(&self.framework, Call::Accept(accept)).expect("accepted");
    }

    fn task(&self, id: &str) -> Proposal {
        Proposal::Valid(Box::new(command_task(id, &self.agent, "cpus:1")))
    }

    fn launch(&mut self, id: &str, offer: Option<&str>) {
        let tasks = vec![self.task(id)];
        self.accept(offer, Operation::Launch { tasks });
    }

    fn launch_group(&mut self, offer: Option<&str>) {
        let tasks = vec![self.task("member")];
        self.accept(offer, Operation::LaunchGroup(TaskGroup { executor: None, tasks, problem: None }));
    }

    fn kill(&mut self, id: &str) {
        let task = TaskId::new(id).expect("valid");
        let kill = Call::Kill { task, agent: None, policy: None };
        self.world.call(&self.framework, kill).expect("accepted");
    }

    fn ask(&mut self, task: &str, agent: Option<AgentId>) {
        let tasks = vec![(TaskId::new(task).expect("valid"), agent)];
        self.reconcile(tasks);
    }

    fn reconcile(&mut self, tasks: Vec<(TaskId, Option<AgentId>)>) {
        self.world.take(&self.stream);
        self.world.call(&self.framework, Call::Reconcile { tasks }).expect("accepted");
    }

    fn lose_agent(&mut self) {
        self.world.break_link(0);
        self.world.pass(Duration::from_secs(80));
    }

    fn key(&self) -> TaskKey {
        self.world.agents[0].tasks.keys().next().expect("launched").clone()
    }

    fn say(&mut self, state: S) {
        let key = self.key();
        self.world.update(0, &key, state);
        self.world.take(&self.stream);
    }

    /// The agent says something of the task, and is further by now.
    fn say_late(&mut self, state: S, latest: S) {
        let (key, agent) = (self.key(), self.agent.clone());
        let link = self.world.agents[0].link.expect("linked");
        let status = self.world.agents[0].say(&key, state, self.world.now.wall).expect("lives");
        let event = Event::Update { link, agent, framework: self.framework.clone(), status, latest };
        self.world.apply(event);
    }

    /// Another master leads, and the framework is there.
    fn fail_over(&mut self) {
        let description = (*self.world.books().frameworks[&self.framework].description).clone();
        self.world.fail_over();
        self.stream = self.world.subscribe(description);
        self.world.take(&self.stream);
    }

    fn agent_is_gone(&mut self) {
        let since = self.world.now.wall;
        let record = self.world.registry.agents.get_mut(&self.agent).expect("admitted");
        record.standing = Standing::Gone { since };
        self.fail_over();
    }
}

struct Row {
    what: &'static str,
    happens: fn(&mut Scene),
    /// Said to those who know the finer states.
    aware: S,
    /// Said to the others.
    unaware: S,
    reason: Reason,
}

const fn row(what: &'static str, happens: fn(&mut Scene), aware: S, unaware: S, reason: Reason) -> Row {
    Row { what, happens, aware, unaware, reason }
}

/// What is said without being asked.
const SAID: &[Row] = &[
    row("an offer that is gone", |s| s.launch("u", Some("gone")), S::Dropped, S::Lost, Reason::InvalidOffers),
    row(
        "a group on an offer that is gone",
        |s| s.launch_group(Some("gone")),
        S::Dropped,
        S::Lost,
        Reason::InvalidOffers,
    ),
    // An agent that goes takes its offers with it, in the same step: where Mesos says AGENT_REMOVED or AGENT_DISCONNECTED
    // of an accept that comes too late, there is no offer any more.
    row(
        "an accept after the agent broke off",
        |s| {
            s.world.settle();
            let offer = s.world.offers(&s.framework)[0].to_string();
            s.world.break_link(0);
            s.launch("u", Some(&offer));
        },
        S::Dropped,
        S::Lost,
        Reason::InvalidOffers,
    ),
    row("a task that has a name twice", |s| s.launch("t", None), S::Error, S::Error, Reason::TaskInvalid),
    row("a group without executor", |s| s.launch_group(None), S::Error, S::Error, Reason::TaskGroupInvalid),
    row(
        "a kill that overtakes its launch",
        |s| {
            s.world.settle();
            s.kill("u");
            s.launch("u", None);
        },
        S::Killed,
        S::Killed,
        Reason::TaskKilledDuringLaunch,
    ),
    row("an agent that is silent", Scene::lose_agent, S::Unreachable, S::Lost, Reason::AgentRemoved),
    row(
        "a launch that never arrived",
        |s| {
            s.world.agents[0].tasks.clear();
            s.world.connect(0);
        },
        S::Dropped,
        S::Lost,
        Reason::Reconciliation,
    ),
    row(
        "a task that its agent has lost",
        |s| {
            s.say(S::Running);
            s.world.agents[0].tasks.clear();
            s.world.connect(0);
        },
        S::Gone,
        S::Lost,
        Reason::Reconciliation,
    ),
    row(
        "an agent that comes back",
        |s| {
            s.say(S::Running);
            s.lose_agent();
            s.world.take(&s.stream);
            s.world.connect(0);
        },
        S::Running,
        S::Running,
        Reason::AgentReregistered,
    ),
    row(
        "an agent that comes back to another master",
        |s| {
            s.say(S::Running);
            s.lose_agent();
            s.fail_over();
            s.world.connect(0);
        },
        S::Running,
        S::Running,
        Reason::AgentReregistered,
    ),
];

/// What is answered.
const ANSWERED: &[Row] = &[
    row("a task not heard of", |s| s.ask("t", None), S::Staging, S::Staging, Reason::Reconciliation),
    row("all tasks", |s| s.reconcile(Vec::new()), S::Staging, S::Staging, Reason::Reconciliation),
    row(
        "a task of which the next update is on its way",
        |s| {
            s.say_late(S::Running, S::Killing);
            s.ask("t", None);
        },
        S::Running,
        S::Running,
        Reason::Reconciliation,
    ),
    row(
        "an end that is not acknowledged",
        |s| {
            s.say(S::Finished);
            s.ask("t", None);
        },
        S::Finished,
        S::Finished,
        Reason::Reconciliation,
    ),
    row(
        "an end that is not acknowledged, among all",
        |s| {
            s.say(S::Failed);
            s.reconcile(Vec::new());
        },
        S::Failed,
        S::Failed,
        Reason::Reconciliation,
    ),
    row(
        "a known task on an agent that is silent",
        |s| {
            s.lose_agent();
            s.ask("t", None);
        },
        S::Unreachable,
        S::Lost,
        Reason::Reconciliation,
    ),
    row(
        "a task unknown to its agent",
        |s| s.ask("none", Some(s.agent.clone())),
        S::Gone,
        S::Lost,
        Reason::Reconciliation,
    ),
    row(
        "a task unknown to an agent that broke off",
        |s| {
            s.world.break_link(0);
            s.ask("none", Some(s.agent.clone()));
        },
        S::Gone,
        S::Lost,
        Reason::Reconciliation,
    ),
    row(
        "an unknown task on an agent that is silent",
        |s| {
            s.lose_agent();
            s.ask("none", Some(s.agent.clone()));
        },
        S::Unreachable,
        S::Lost,
        Reason::Reconciliation,
    ),
    row(
        "a task on an agent that never came to this master",
        |s| {
            s.fail_over();
            s.world.pass(Duration::from_secs(700));
            s.ask("t", Some(s.agent.clone()));
        },
        S::Unreachable,
        S::Lost,
        Reason::Reconciliation,
    ),
    row(
        "a task on an agent that was marked gone",
        |s| {
            s.agent_is_gone();
            s.ask("t", Some(s.agent.clone()));
        },
        S::GoneByOperator,
        S::Lost,
        Reason::Reconciliation,
    ),
    row("a task of nowhere", |s| s.ask("none", None), S::Unknown, S::Lost, Reason::Reconciliation),
    row(
        "a task on an agent that never was",
        |s| s.ask("none", Some(AgentId::new("never").expect("valid"))),
        S::Unknown,
        S::Lost,
        Reason::Reconciliation,
    ),
    row("a kill of a task of nowhere", |s| s.kill("none"), S::Unknown, S::Lost, Reason::Reconciliation),
];

fn last(scene: &mut Scene, what: &str) -> TaskStatus {
    let said = scene.world.take_updates(&scene.stream);
    let last = said.last().unwrap_or_else(|| panic!("{what}: nothing was said"));
    (**last).clone()
}

#[test]
fn each_event_has_its_state_and_reason() {
    for Row { what, happens, aware, unaware, reason } in SAID.iter().chain(ANSWERED) {
        for (is_aware, expected) in [(true, aware), (false, unaware)] {
            let mut scene = scene(is_aware);
            happens(&mut scene);
            let status = last(&mut scene, what);
            assert_eq!(
                (status.state, status.reason),
                (*expected, Some(*reason)),
                "{what}, aware: {is_aware}"
            );
            // Nobody repeats what a master says by itself, so it has no name to acknowledge.
            assert_eq!((status.source, status.uuid), (Some(Source::Master), None), "{what}");
            let is_unreachable = *aware == S::Unreachable;
            assert_eq!(status.unreachable_since.is_some(), is_unreachable, "{what}, aware: {is_aware}");
        }
    }
}

/// Mesos' master says TASK_KILLED of the tasks of a removed framework before they are. Here the agent says so when they are,
/// and the master adds why.
#[test]
fn a_task_of_a_removed_framework_is_killed_because_of_that() {
    let mut scene = scene(true);
    let key = scene.key();
    scene.world.call(&scene.framework, Call::Teardown).expect("accepted");
    scene.world.update(0, &key, S::Killed);
    let books = scene.world.books();
    let task = books.completed_tasks[&scene.framework].back().expect("ended").clone();
    let status = task.latest().expect("said");
    assert_eq!((status.state, status.reason), (S::Killed, Some(Reason::FrameworkRemoved)));
}

/// Who gives each reason.
enum By {
    /// A row above.
    Master,
    /// `agent/core`.
    Agent,
    /// An operator who takes an agent out of service: `draining.rs`.
    Operator,
    /// Nobody, and why not.
    Nobody(&'static str),
}

fn by(reason: Reason) -> By {
    match reason {
        Reason::InvalidOffers
        | Reason::Reconciliation
        | Reason::AgentRemoved
        | Reason::TaskInvalid
        | Reason::TaskGroupInvalid
        | Reason::TaskKilledDuringLaunch
        | Reason::AgentReregistered
        | Reason::FrameworkRemoved => By::Master,
        Reason::ExecutorTerminated
        | Reason::ContainerLimitationMemory
        | Reason::ContainerLimitation
        | Reason::ContainerLimitationDisk
        | Reason::ContainerLaunchFailed
        | Reason::ContainerUpdateFailed
        | Reason::ExecutorRegistrationTimeout
        | Reason::ExecutorReregistrationTimeout
        | Reason::AgentRestarted
        | Reason::ResourcesUnknown
        | Reason::TaskCheckStatusUpdated
        | Reason::TaskHealthCheckStatusUpdated
        | Reason::MaxCompletionTimeReached => By::Agent,
        Reason::CommandExecutorFailed
        | Reason::ExecutorUnregistered
        | Reason::AgentUnknown
        | Reason::TaskUnknown
        | Reason::InvalidFrameworkId => By::Nobody("no Mesos has given it for years"),
        Reason::MasterDisconnected => By::Nobody("the old driver said it of itself"),
        Reason::AgentDisconnected => By::Nobody("an agent that breaks off takes its offers with it"),
        Reason::GcError => By::Nobody("nothing is taken back from the garbage before a launch"),
        Reason::IoSwitchboardExited => By::Nobody("there is no such process"),
        Reason::ContainerPreempted => By::Nobody("no agent takes revocable resources back"),
        Reason::TaskUnauthorized | Reason::TaskGroupUnauthorized => By::Nobody("comes with authorisation"),
        Reason::AgentRemovedByOperator | Reason::AgentDraining => By::Operator,
    }
}

#[test]
fn every_reason_is_in_the_table_or_nobody_gives_it() {
    let rows: Vec<Reason> = SAID.iter().chain(ANSWERED).map(|row| row.reason).collect();
    for reason in Reason::ALL {
        let is_in = rows.contains(reason) || *reason == Reason::FrameworkRemoved;
        match by(*reason) {
            By::Master => assert!(is_in, "no row has {reason:?}"),
            By::Agent => assert!(!is_in, "{reason:?} is the agent's"),
            By::Operator => assert!(!is_in, "{reason:?} is said of agents"),
            By::Nobody(why) => assert!(!is_in, "{reason:?}: {why}"),
        }
    }
}

#[test]
fn while_an_agent_may_still_return_nothing_is_said() {
    let mut scene = scene(true);
    scene.fail_over();
    scene.ask("none", Some(scene.agent.clone()));
    scene.ask("none", None);
    scene.ask("t", Some(scene.agent.clone()));
    assert!(scene.world.take_updates(&scene.stream).is_empty());
}
