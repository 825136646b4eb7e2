//! Operations on resources: what they make, which rules they break and in which words, and what becomes of them.

use std::time::Duration;

use chapada_master_core::{
    Accept, AgentCommand, Call, Change, Event, Operation, Proposal, SchedulerEvent, StreamId,
};
use chapada_model::{
    AgentId, Disk, DiskVolume, Filters, FrameworkCapability, FrameworkId, Milli, OperationId, OperationState,
    OperationStatus, Persistence, Reservation, ReservationKind, Resource, Resources, Role,
};

use crate::world::{World, command_task, framework};

const AT_ONCE: Filters = Filters { refuse: Duration::ZERO };

/// One agent, one framework of role `ops/db` with an offer of all it has.
struct Scene {
    world: World,
    framework: FrameworkId,
    stream: StreamId,
    agent: AgentId,
}

fn scene() -> Scene {
    let mut world = World::new();
    world.add_agent("cpus:2;mem:1024;disk:100;cpus(ops):1;disk(ops/db):10");
    let mut description = framework("f", &["ops/db"]);
    description.capabilities.insert(FrameworkCapability::ReservationRefinement);
    description.principal = Some("alice".into());
    let (framework, stream) = world.framework(description);
    world.settle();
    let agent = world.agent_id(0);
    world.take(&stream);
    Scene { world, framework, stream, agent }
}

fn id(name: &str) -> OperationId {
    OperationId::new(name).expect("valid")
}

fn dynamic(role: &str) -> Reservation {
    let (kind, role) = (ReservationKind::Dynamic, Role::new(role).expect("valid"));
    Reservation { kind, role, principal: Some("alice".into()), labels: Vec::new() }
}

fn plain(text: &str) -> Resource {
    text.parse::<Resources>().expect("valid").iter().next().expect("one").clone()
}

/// What `text` says, reserved once more for the framework's role.
fn reserved(text: &str) -> Resource {
    let mut resource = plain(text);
    resource.reservations.push(dynamic("ops/db"));
    resource
}

fn volume(text: &str, name: &str) -> Resource {
    let disk = Disk {
        persistence: Some(Persistence { id: name.into(), principal: Some("alice".into()) }),
        volume: Some(DiskVolume { container_path: "data".into(), host_path: None, read_only: false }),
        source: None,
    };
    Resource { disk: Some(disk), ..reserved(text) }
}

fn one(resource: Resource) -> Resources {
    Resources::from_list([resource]).expect("one resource")
}

fn reserve(resource: Resource) -> Change {
    Change::Reserve { source: Resources::EMPTY, resources: one(resource) }
}

fn create(resource: Resource) -> Change {
    Change::Create { volumes: one(resource) }
}

impl Scene {
    fn accept(&mut self, operations: Vec<Operation>) {
        self.world.settle();
        let offers = self.world.offers(&self.framework);
        let accept = Accept { offers, operations, filters: AT_ONCE };
        self.world.call(&self.framework, Call::Accept(accept)).expect("accepted");
    }

    /// Does changes in one ACCEPT, the n-th under the id `o<n>`.
    fn change(&mut self, changes: Vec<Change>) {
        let operation = |(n, change)| Operation::Change { id: Some(id(&format!("o{n}"))), change };
        self.accept(changes.into_iter().enumerate().map(operation).collect());
    }

    /// The agent answers all it has done.
    fn answer(&mut self) {
        let (agent, link) = (self.agent.clone(), self.world.agents[0].link.expect("linked"));
        for status in self.world.agents[0].operations.clone() {
            self.world.apply(Event::OperationUpdate { link, agent: agent.clone(), status });
        }
    }

    fn heard(&mut self) -> Vec<std::sync::Arc<OperationStatus>> {
        let events = self.world.take(&self.stream).into_iter();
        events
            .filter_map(|e| if let SchedulerEvent::UpdateOperation(s) = e { Some(s) } else { None })
            .collect()
    }

    fn total(&self) -> Resources {
        self.world.books().agents[&self.agent].total.clone()
    }

    fn acknowledge(&mut self, status: &OperationStatus) {
        let (agent, operation) = (self.agent.clone(), status.operation.clone().expect("an id"));
        let uuid = status.uuid.expect("a uuid");
        let call = Call::AcknowledgeOperation { agent, operation, uuid };
        self.world.call(&self.framework, call).expect("accepted");
    }

    /// One reserved disk and a volume on it, done and acknowledged.
    fn with_volume(mut self) -> Self {
        self.change(vec![reserve(reserved("disk:50")), create(volume("disk:40", "v"))]);
        self.answer();
        for status in self.heard() {
            self.acknowledge(&status);
        }
        self.world.settle();
        self
    }
}

#[test]
fn reserve_create_and_launch_in_one_accept() {
    let mut scene = scene();
    let mut task = command_task("t", &scene.agent, "cpus:1;mem:100");
    task.resources.add(&one(volume("disk:40", "v"))).expect("more");
    let change = |name: &str, change| Operation::Change { id: Some(id(name)), change };
    scene.accept(vec![
        change("o1", reserve(reserved("disk:50"))),
        change("o2", create(volume("disk:40", "v"))),
        Operation::Launch { tasks: vec![Proposal::Valid(Box::new(task))] },
    ]);
    let kinds: Vec<&str> = scene.world.agents[0]
        .commands
        .iter()
        .filter_map(|command| match command {
            AgentCommand::Operate { operation } => operation.kind.map(chapada_model::OperationKind::name),
            AgentCommand::Launch { .. } => Some("LAUNCH"),
            _ => None,
        })
        .collect();
    assert_eq!(kinds, ["RESERVE", "CREATE", "LAUNCH"]);
    assert!(scene.total().contains(&one(volume("disk:40", "v"))));
    assert!(scene.total().contains(&one(reserved("disk:10"))));
    scene.answer();
    let heard = scene.heard();
    assert_eq!(heard.len(), 2);
    assert!(heard.iter().all(|status| status.state == OperationState::Finished && status.uuid.is_some()));
    for status in &heard {
        scene.acknowledge(status);
    }
    assert!(scene.world.agents[0].operations.is_empty() && scene.world.books().operations.is_empty());
}

#[test]
fn a_reservation_is_refined_and_undone_in_order() {
    let mut scene = scene();
    let refined = reserved("cpus(ops):1");
    assert_eq!(refined.reservations.len(), 2);
    scene.change(vec![reserve(refined.clone())]);
    assert!(scene.total().contains(&one(refined.clone())));
    scene.answer();
    let undo = Change::Unreserve { resources: one(refined) };
    scene.accept(vec![Operation::Change { id: None, change: undo }]);
    assert_eq!(scene.total(), scene.world.agents[0].description.resources);
    assert!(scene.total().contains(&"cpus(ops):1".parse().expect("valid")));
}

#[test]
fn what_growing_and_shrinking_make_is_there_once_the_agent_has_done_it() {
    let mut scene = scene().with_volume();
    let grow = Change::GrowVolume {
        volume: Box::new(volume("disk:40", "v")),
        addition: Box::new(reserved("disk:4")),
    };
    scene.change(vec![grow]);
    assert!(scene.total().contains(&one(volume("disk:40", "v"))), "the outcome is not taken for granted");
    scene.answer();
    assert!(scene.total().contains(&one(volume("disk:44", "v"))));
    let status = scene.heard()[0].clone();
    scene.acknowledge(&status);
    let volume_now = Box::new(volume("disk:44", "v"));
    scene.change(vec![Change::ShrinkVolume { volume: volume_now, subtract: Milli::whole(14) }]);
    scene.answer();
    assert!(scene.total().contains(&one(volume("disk:30", "v"))));
    assert!(scene.total().contains(&one(reserved("disk:20"))));
}

#[test]
fn each_rule_has_its_words() {
    let with = |mut resource: Resource, change: fn(&mut Resource)| {
        change(&mut resource);
        resource
    };
    let of_volume = |change: fn(&mut Disk)| {
        let mut made = volume("disk:40", "new");
        change(made.disk.as_mut().expect("a disk"));
        create(made)
    };
    let cases: Vec<(Change, &str)> = vec![
        (
            Change::Reserve { source: Resources::EMPTY, resources: Resources::EMPTY },
            "RESERVE names no resources",
        ),
        (reserve(plain("cpus:1")), "must be dynamically reserved"),
        (
            reserve(with(plain("cpus:1"), |r| r.reservations.push(dynamic("*")))),
            "cannot be reserved for role '*'",
        ),
        (
            reserve(with(plain("cpus:1"), |r| r.reservations.push(dynamic("ops")))),
            "is to be reserved for role 'ops'",
        ),
        (
            reserve(with(reserved("cpus:1"), |r| r.reservations[0].principal = None)),
            "names principal '', but the framework's is 'alice'",
        ),
        (reserve(with(reserved("cpus:1"), |r| r.revocable = true)), "is revocable"),
        (reserve(volume("disk:1", "v")), "is a persistent volume and cannot be reserved"),
        (
            reserve(with(reserved("cpus:1"), |r| r.reservations.insert(0, dynamic("web")))),
            "which is not below it",
        ),
        (
            reserve(with(reserved("cpus:1"), |r| r.allocation_role = Some(Role::star()))),
            "is allocated to another role",
        ),
        (reserve(reserved("cpus:7")), "RESERVE needs"),
        (Change::Unreserve { resources: one(plain("cpus(ops):1")) }, "is not dynamically reserved"),
        (Change::Unreserve { resources: one(volume("disk:40", "v")) }, "destroy it first"),
        (Change::Unreserve { resources: one(reserved("cpus:1")) }, "UNRESERVE needs"),
        (create(reserved("disk:1")), "is not a disk with 'disk.persistence'"),
        (
            create(with(volume("disk:1", "x"), |r| r.reservations.clear())),
            "must be made of disk that is reserved",
        ),
        (create(with(volume("disk:1", "x"), |r| r.shared = true)), "needs the capability SHARED_RESOURCES"),
        (create(with(volume("disk:1", "x"), |r| r.revocable = true)), "cannot be made of revocable disk"),
        (create(volume("disk:1", "v")), "Persistence ID 'v' is taken"),
        (create(volume("disk:1", "a/b")), "Persistence ID is not valid"),
        (create(volume("disk:99", "x")), "CREATE needs"),
        (of_volume(|disk| disk.volume = None), "has no 'disk.volume'"),
        (
            of_volume(|disk| disk.volume.as_mut().expect("set").read_only = true),
            "'disk.volume.mode' must be RW",
        ),
        (
            of_volume(|disk| disk.volume.as_mut().expect("set").host_path = Some("/x".into())),
            "'disk.volume.host_path' must not be set",
        ),
        (
            of_volume(|disk| disk.volume.as_mut().expect("set").container_path = "a/b".into()),
            "must be one name below the sandbox",
        ),
        (of_volume(|disk| disk.persistence.as_mut().expect("set").principal = None), "names principal ''"),
        (Change::Destroy { volumes: one(reserved("disk:1")) }, "is not a persistent volume"),
        (Change::Destroy { volumes: one(volume("disk:1", "other")) }, "DESTROY needs"),
        (
            Change::GrowVolume {
                volume: Box::new(reserved("disk:1")),
                addition: Box::new(reserved("disk:1")),
            },
            "is not a persistent volume",
        ),
        (
            Change::GrowVolume {
                volume: Box::new(volume("disk:40", "v")),
                addition: Box::new(plain("disk:1")),
            },
            "which is disk of another kind",
        ),
        (
            Change::ShrinkVolume { volume: Box::new(volume("disk:40", "v")), subtract: Milli::whole(40) },
            "must be less than the volume's size",
        ),
        (
            Change::ShrinkVolume { volume: Box::new(volume("disk:40", "v")), subtract: Milli::ZERO },
            "must be more than nothing",
        ),
    ];
    let mut scene = scene().with_volume();
    let before = scene.total();
    for (change, words) in cases {
        scene.change(vec![change]);
        let heard = scene.heard();
        let [status] = &heard[..] else { panic!("{words}: {heard:?}") };
        assert_eq!((status.state, status.uuid), (OperationState::Error, None), "{status:?}");
        let message = status.message.as_deref().unwrap_or("");
        assert!(message.contains(words), "'{message}' has no '{words}'");
        assert_eq!(scene.total(), before);
    }
}

#[test]
fn refinement_needs_the_capability_and_an_id_is_used_once() {
    let mut world = World::new();
    world.add_agent("cpus:2;cpus(ops):1");
    let (framework, stream) = world.framework(framework("f", &["ops/db"]));
    world.settle();
    let agent = world.agent_id(0);
    let mut scene = Scene { world, framework, stream, agent };
    let unnamed = |mut resource: Resource| {
        resource.reservations.last_mut().expect("reserved").principal = None;
        resource
    };
    scene.change(vec![reserve(unnamed(reserved("cpus(ops):1")))]);
    let message = scene.heard()[0].message.clone().expect("words");
    assert!(message.contains("the capability RESERVATION_REFINEMENT"), "{message}");
    scene.change(vec![reserve(unnamed(reserved("cpus:1")))]);
    scene.change(vec![reserve(unnamed(reserved("cpus:0.5")))]);
    let message = scene.heard()[0].message.clone().expect("words");
    assert!(message.contains("operation ID o0 is in use"), "{message}");
}

#[test]
fn a_volume_in_use_cannot_be_destroyed() {
    let mut scene = scene().with_volume();
    let mut task = command_task("t", &scene.agent, "cpus:0.5");
    task.resources.add(&one(volume("disk:40", "v"))).expect("more");
    let tasks = vec![Proposal::Valid(Box::new(task))];
    let change = Change::Destroy { volumes: one(volume("disk:40", "v")) };
    let destroy = |n: &str| Operation::Change { id: Some(id(n)), change: change.clone() };
    scene.accept(vec![Operation::Launch { tasks }, destroy("d1")]);
    let message = scene.heard()[0].message.clone().expect("words");
    assert!(message.contains("is in use"), "{message}");
    let key = scene.world.agents[0].tasks.keys().next().expect("it runs").clone();
    scene.world.update(0, &key, chapada_model::TaskState::Finished);
    scene.accept(vec![destroy("d2")]);
    scene.answer();
    assert_eq!(scene.heard()[0].state, OperationState::Finished);
    assert!(scene.total().contains(&one(reserved("disk:50"))));
}

#[test]
fn reservations_and_volumes_survive_a_failover_of_the_master() {
    let mut scene = scene();
    scene.change(vec![reserve(reserved("disk:50")), create(volume("disk:40", "v"))]);
    let made = scene.total();
    scene.world.fail_over();
    scene.world.connect(0);
    assert_eq!(scene.total(), made);
    let mut description = (*scene.world.books().frameworks[&scene.framework].description).clone();
    description.id = Some(scene.framework.clone());
    scene.stream = scene.world.subscribe(description);
    let heard = scene.heard();
    assert_eq!(heard.len(), 2, "what was not acknowledged is said again: {heard:?}");
    scene.acknowledge(&heard[0]);
    scene.acknowledge(&heard[1]);
    assert!(scene.world.agents[0].operations.is_empty());
}

#[test]
fn an_operation_that_never_reached_its_agent_is_dropped() {
    let mut scene = scene();
    scene.world.agents[0].is_deaf = true;
    scene.change(vec![reserve(reserved("disk:50"))]);
    scene.world.connect(0);
    let heard = scene.heard();
    assert_eq!(heard.iter().map(|status| status.state).collect::<Vec<_>>(), [OperationState::Dropped]);
    assert!(scene.world.books().operations.is_empty());
    assert_eq!(scene.total(), scene.world.agents[0].description.resources);
}

#[test]
fn reconciliation_says_what_is_known_of_each_operation() {
    let mut scene = scene();
    scene.change(vec![reserve(reserved("disk:50"))]);
    let ask = |scene: &mut Scene, operations: Vec<(OperationId, Option<AgentId>)>| {
        scene.heard();
        scene.world.call(&scene.framework, Call::ReconcileOperations { operations }).expect("accepted");
        let heard = scene.heard();
        assert!(heard.iter().all(|status| status.uuid.is_none()));
        heard.iter().map(|status| status.state).collect::<Vec<_>>()
    };
    let agent = Some(scene.agent.clone());
    assert_eq!(ask(&mut scene, vec![]), [OperationState::Pending]);
    assert_eq!(ask(&mut scene, vec![(id("o0"), agent.clone())]), [OperationState::Pending]);
    scene.answer();
    assert_eq!(ask(&mut scene, vec![(id("o0"), None)]), [OperationState::Finished]);
    assert_eq!(ask(&mut scene, vec![(id("none"), agent.clone())]), [OperationState::Unknown]);
    scene.world.break_link(0);
    scene.world.pass(Duration::from_secs(80));
    assert_eq!(ask(&mut scene, vec![(id("o0"), agent.clone())]), [OperationState::Unreachable]);
    scene.world.fail_over();
    let (again, stream) = {
        let description = (*scene.world.books().frameworks[&scene.framework].description).clone();
        scene.world.framework(description)
    };
    assert_eq!(again, scene.framework);
    scene.stream = stream;
    assert_eq!(ask(&mut scene, vec![(id("o0"), agent)]), [OperationState::Unreachable]);
}

#[test]
fn operations_on_offers_that_are_not_valid_are_in_error() {
    let mut scene = scene();
    let operations = vec![
        Operation::Change { id: Some(id("o")), change: reserve(reserved("cpus:1")) },
        Operation::Refused { name: "CREATE", id: Some(id("p")), message: "no".into() },
    ];
    let offers = vec![chapada_model::OfferId::new("none").expect("valid")];
    let accept = Accept { offers, operations, filters: AT_ONCE };
    scene.world.call(&scene.framework, Call::Accept(accept)).expect("accepted");
    let states: Vec<_> =
        scene.heard().iter().map(|status| (status.operation.clone(), status.state)).collect();
    assert_eq!(states, [(Some(id("o")), OperationState::Error), (Some(id("p")), OperationState::Error)]);
}

#[test]
fn an_operation_whose_id_is_none_is_told_of_under_it_and_the_others_go_on() {
    let mut scene = scene();
    let misnamed = || Operation::Misnamed { name: "RESERVE", id: "a/b".into(), message: "no".into() };
    let words = |scene: &mut Scene| -> Vec<String> {
        let events = scene.world.take(&scene.stream).into_iter();
        let said = events.filter_map(|event| match event {
            SchedulerEvent::OperationMisnamed { id, message } => Some(format!("{id}: {message}")),
            _ => None,
        });
        said.collect()
    };
    let call = |offers| Call::Accept(Accept { offers, operations: vec![misnamed()], filters: AT_ONCE });
    let none = vec![chapada_model::OfferId::new("none").expect("valid")];
    scene.world.call(&scene.framework, call(none)).expect("accepted");
    let why = "Operation attempted with invalid offers: Offer none is no longer valid";
    assert_eq!(words(&mut scene), [format!("a/b: {why}")]);
    let change = Operation::Change { id: Some(id("o")), change: reserve(reserved("cpus:1")) };
    scene.accept(vec![misnamed(), change]);
    assert_eq!(words(&mut scene), ["a/b: Invalid RESERVE operation: no"]);
    assert_eq!(scene.world.books().operations.len(), 1);
}
