//! Which state and reason a task is said to be in, for those who know the finer states and those who do not.

use std::time::Duration;

use chapada_master_core::{Accept, Call, Operation, Proposal, StreamId};
use chapada_model::{
    AgentId, Filters, FrameworkCapability, FrameworkId, OfferId, Reason, TaskId, TaskState as S,
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
    scene.launch(None);
    scene.world.take(&scene.stream);
    scene
}

impl Scene {
    fn launch(&mut self, offer: Option<&str>) {
        self.world.settle();
        let named = offer.map(|name| vec![OfferId::new(name).expect("valid")]);
        let offers = named.unwrap_or_else(|| self.world.offers(&self.framework));
        let task = Proposal::Valid(Box::new(command_task("t", &self.agent, "cpus:1")));
        let operations = vec![Operation::Launch { tasks: vec![task] }];
        let filters = Filters { refuse: Duration::ZERO };
        self.world
            .call(&self.framework, Call::Accept(Accept { offers, operations, filters }))
            .expect("accepted");
    }

    fn ask(&mut self, task: &str, agent: Option<AgentId>) {
        let tasks = vec![(TaskId::new(task).expect("valid"), agent)];
        self.world.call(&self.framework, Call::Reconcile { tasks }).expect("accepted");
    }

    fn lose_agent(&mut self) {
        self.world.break_link(0);
        self.world.pass(Duration::from_secs(80));
    }

    fn say(&mut self, state: S) {
        let key = self.world.agents[0].tasks.keys().next().expect("launched").clone();
        self.world.update(0, &key, state);
        self.world.take(&self.stream);
    }
}

type Happens = fn(&mut Scene);

#[test]
fn each_event_has_its_state_and_reason() {
    let cases: [(&str, Happens, S, S, Reason); 10] = [
        ("an offer that is gone", |s| s.launch(Some("gone")), S::Dropped, S::Lost, Reason::InvalidOffers),
        ("a task that has a name twice", |s| s.launch(None), S::Error, S::Error, Reason::TaskInvalid),
        ("an agent that is silent", Scene::lose_agent, S::Unreachable, S::Lost, Reason::AgentRemoved),
        (
            "a launch that never arrived",
            |s| {
                s.world.agents[0].tasks.clear();
                s.world.connect(0);
            },
            S::Dropped,
            S::Lost,
            Reason::Reconciliation,
        ),
        (
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
        (
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
        ("a known task", |s| s.ask("t", None), S::Staging, S::Staging, Reason::Reconciliation),
        (
            "a task unknown to its agent",
            |s| s.ask("none", Some(s.agent.clone())),
            S::Gone,
            S::Lost,
            Reason::Reconciliation,
        ),
        (
            "a task on an unreachable agent",
            |s| {
                s.lose_agent();
                s.world.take(&s.stream);
                s.ask("none", Some(s.agent.clone()));
            },
            S::Unreachable,
            S::Lost,
            Reason::Reconciliation,
        ),
        ("a task of nowhere", |s| s.ask("none", None), S::Unknown, S::Lost, Reason::Reconciliation),
    ];
    for (what, happens, aware, unaware, reason) in cases {
        for (is_aware, expected) in [(true, aware), (false, unaware)] {
            let mut scene = scene(is_aware);
            happens(&mut scene);
            let said = scene.world.take_updates(&scene.stream);
            let status = said.last().unwrap_or_else(|| panic!("{what}: nothing was said"));
            assert_eq!((status.state, status.reason), (expected, Some(reason)), "{what}, aware: {is_aware}");
        }
    }
}

#[test]
fn while_an_agent_may_still_return_nothing_is_said() {
    let mut scene = scene(true);
    scene.world.fail_over();
    let description = (*scene.world.books().frameworks[&scene.framework].description).clone();
    scene.stream = scene.world.subscribe(description);
    scene.world.take(&scene.stream);
    scene.ask("none", Some(scene.agent.clone()));
    scene.ask("none", None);
    assert!(scene.world.take_updates(&scene.stream).is_empty());
}
