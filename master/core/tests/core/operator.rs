//! What operators ask for: operations on free and offered resources, and the end of frameworks.

use std::time::Duration;

use chapada_master_core::{
    Accept, Call, Change, Event, Operation, OperatorCall, OperatorRefused, Proposal, SchedulerEvent,
    StreamId, TaskPhase,
};
use chapada_model::{
    Disk, DiskVolume, Filters, FrameworkId, Milli, OperationState, Persistence, Reservation, ReservationKind,
    Resource, Resources, Role, TaskKey, TaskState,
};

use crate::world::{World, command_task, framework};

fn plain(text: &str) -> Resource {
    text.parse::<Resources>().expect("valid").iter().next().expect("one").clone()
}

fn reserved(text: &str, roles: &[&str]) -> Resource {
    let mut resource = plain(text);
    resource.reservations.extend(roles.iter().map(|role| Reservation {
        kind: ReservationKind::Dynamic,
        role: Role::new(*role).expect("valid"),
        principal: Some("alice".into()),
        labels: Vec::new(),
    }));
    resource
}

fn volume(text: &str, role: &str, id: &str) -> Resource {
    let disk = Disk {
        persistence: Some(Persistence { id: id.into(), principal: None }),
        volume: Some(DiskVolume { container_path: "data".into(), host_path: None, read_only: false }),
        source: None,
    };
    Resource { disk: Some(disk), ..reserved(text, &[role]) }
}

fn one(resource: Resource) -> Resources {
    Resources::from_list([resource]).expect("one resource")
}

fn reserve(resource: Resource) -> Change {
    Change::Reserve { source: Resources::EMPTY, resources: one(resource) }
}

fn unreserve(resource: Resource) -> Change {
    Change::Unreserve { resources: one(resource) }
}

/// One agent of `resources`.
fn world(resources: &str) -> World {
    let mut world = World::new();
    world.add_agent(resources);
    world.settle();
    world
}

impl World {
    fn change(&mut self, change: Change) -> Result<(), OperatorRefused> {
        let agent = self.agent_id(0);
        self.operator(OperatorCall::Change { agent, change, principal: None })
    }

    fn refused(&mut self, change: Change) -> OperatorRefused {
        let before = self.books();
        let refused = self.change(change).expect_err("refused");
        let after = self.books();
        assert_eq!((before.agents, before.offers), (after.agents, after.offers), "nothing has changed");
        refused
    }

    fn total(&self) -> Resources {
        self.books().agents[&self.agent_id(0)].total.clone()
    }

    /// The agent says what became of all it was asked for.
    fn answer(&mut self) {
        let (agent, link) = (self.agent_id(0), self.agents[0].link.expect("linked"));
        for status in self.agents[0].operations.clone() {
            self.apply(Event::OperationUpdate { link, agent: agent.clone(), status });
        }
    }

    /// A framework of a role, with what it is offered.
    fn offered(&mut self, name: &str, role: &str) -> (FrameworkId, StreamId) {
        let (id, stream) = self.framework(framework(name, &[role]));
        self.settle();
        (id, stream)
    }

    /// The framework starts a task and leaves the rest for an hour.
    fn launch(&mut self, framework: &FrameworkId, id: &str, resources: &str) -> TaskKey {
        let task = command_task(id, &self.agent_id(0), resources);
        let tasks = vec![Proposal::Valid(Box::new(task))];
        let accept = Accept {
            offers: self.offers(framework),
            operations: vec![Operation::Launch { tasks }],
            filters: Filters { refuse: Duration::from_secs(3600) },
        };
        self.call(framework, Call::Accept(accept)).expect("accepted");
        self.settle();
        TaskKey { framework: framework.clone(), task: id.parse().expect("valid") }
    }

    fn rescinded(&mut self, stream: &StreamId) -> usize {
        self.take(stream).iter().filter(|event| matches!(event, SchedulerEvent::Rescind(_))).count()
    }
}

#[test]
fn what_is_free_is_reserved_made_a_volume_resized_and_let_go() {
    let mut world = world("cpus:2;mem:1024;disk:100");
    let before = world.total();
    let grow = Change::GrowVolume {
        volume: Box::new(volume("disk:30", "ops", "v")),
        addition: Box::new(reserved("disk:10", &["ops"])),
    };
    let shrink =
        Change::ShrinkVolume { volume: Box::new(volume("disk:40", "ops", "v")), subtract: Milli::whole(15) };
    for (change, is_there) in [
        (reserve(reserved("disk:40", &["ops"])), reserved("disk:40", &["ops"])),
        (Change::Create { volumes: one(volume("disk:30", "ops", "v")) }, volume("disk:30", "ops", "v")),
        (grow, volume("disk:40", "ops", "v")),
        (shrink, volume("disk:25", "ops", "v")),
        (Change::Destroy { volumes: one(volume("disk:25", "ops", "v")) }, reserved("disk:40", &["ops"])),
    ] {
        let kind = change.kind();
        world.change(change).expect("there is enough");
        assert!(world.total().contains(&one(is_there)), "{kind}: {}", world.total());
        let books = world.books();
        let known = books.operations.values().next_back().expect("in the books until answered");
        assert_eq!((known.kind, &known.framework), (Some(kind), &None));
        assert_eq!(known.status.state, OperationState::Pending);
    }
    world.change(unreserve(reserved("disk:40", &["ops"]))).expect("there is enough");
    assert_eq!(world.total(), before);
    assert_eq!(world.agents[0].description.resources, before, "the agent has done it all");
    assert_eq!(world.agents[0].operations.len(), 6);
    world.answer();
    assert!(world.books().operations.is_empty() && world.agents[0].operations.is_empty());
}

#[test]
fn offers_are_taken_back_only_as_far_as_they_are_needed() {
    let mut world = world("cpus:8;mem:4096;cpus(a):1;cpus(b):2;mem(b):100");
    let (all, all_stream) = world.offered("all", "web");
    world.call(&all, Call::Suppress { roles: Vec::new() }).expect("accepted");
    let (a, a_stream) = world.offered("a", "a");
    let (_, b_stream) = world.offered("b", "b");
    assert_eq!(world.books().offers.len(), 3, "each has its own");
    for stream in [&all_stream, &a_stream, &b_stream] {
        world.take(stream);
    }
    world.change(reserve(reserved("cpus(b):2", &["b/x"]))).expect("b's offer does");
    let counts = [&all_stream, &a_stream, &b_stream].map(|stream| world.rescinded(stream));
    assert_eq!(counts, [0, 0, 1]);
    world.change(reserve(reserved("cpus:8", &["c"]))).expect("the offer of the unreserved does");
    let counts = [&all_stream, &a_stream, &b_stream].map(|stream| world.rescinded(stream));
    assert_eq!(counts, [1, 0, 0]);
    assert_eq!(world.offers(&a).len(), 1);
    world.settle();
    world.take(&all_stream);
    world.change(unreserve(reserved("cpus:8", &["c"]))).expect("free: nobody is of that role");
    let counts = [&all_stream, &a_stream, &b_stream].map(|stream| world.rescinded(stream));
    assert_eq!(counts, [0, 0, 0]);
}

/// Two offers of one kind, of 5 and of 3 CPUs.
#[test]
fn no_offer_is_taken_back_in_vain() {
    for (wanted, taken) in [("cpus:2", [0, 1]), ("cpus:4", [1, 0]), ("cpus:7", [1, 1])] {
        let mut world = world("cpus:8;mem:1024");
        let (large, large_stream) = world.offered("large", "web");
        let key = world.launch(&large, "t", "cpus:5;mem:600");
        let (_, small_stream) = world.offered("small", "web");
        world.update(0, &key, TaskState::Finished);
        world.settle();
        assert_eq!((world.offers(&large).len(), world.books().offers.len()), (1, 2));
        world.take(&large_stream);
        world.take(&small_stream);
        world.change(reserve(reserved(wanted, &["c"]))).expect("there is enough");
        assert_eq!([&large_stream, &small_stream].map(|stream| world.rescinded(stream)), taken, "{wanted}");
    }
}

#[test]
fn what_is_in_use_is_not_taken() {
    let mut world = world("cpus:2;mem:1024;disk:100");
    assert_eq!(
        world.refused(reserve(reserved("cpus:3", &["ops"]))),
        OperatorRefused::Conflict("cpus:2; disk:100; mem:1024 does not contain cpus:3".to_owned())
    );
    let (id, _) = world.offered("f", "*");
    world.launch(&id, "t", "cpus:1.5");
    let revive = Call::Revive { roles: Vec::new() };
    world.call(&id, revive).expect("accepted");
    world.settle();
    assert_eq!(
        world.refused(reserve(reserved("cpus:1", &["ops"]))).to_string(),
        "cpus:0.5; disk:100; mem:1024 does not contain cpus:1"
    );
    world.change(reserve(reserved("cpus:0.5", &["ops"]))).expect("the offer of what is left is taken back");
}

#[test]
fn each_refusal_has_its_words() {
    let mut world = world("cpus:2;disk:100;cpus(ops):1");
    let revocable = Resource { revocable: true, ..reserved("cpus:1", &["ops"]) };
    let allocated = Resource { allocation_role: Some(Role::star()), ..reserved("cpus:1", &["ops"]) };
    let unreserved_volume = Resource { reservations: Vec::new(), ..volume("disk:1", "ops", "v") };
    let absent = Resource { ..volume("disk:1", "ops", "v") };
    for (change, words) in [
        (reserve(plain("cpus:1")), "must be dynamically reserved"),
        (reserve(reserved("cpus:1", &["*"])), "cannot be reserved for role '*'"),
        (reserve(reserved("cpus(ops):1", &["web"])), "which is not below it"),
        (reserve(revocable), "is revocable"),
        (reserve(allocated), "is allocated"),
        (unreserve(plain("cpus(ops):1")), "is not dynamically reserved"),
        (Change::Create { volumes: one(unreserved_volume) }, "must be made of reserved disk"),
        (Change::Destroy { volumes: one(plain("disk:1")) }, "is not a persistent volume"),
        (Change::Reserve { source: Resources::EMPTY, resources: Resources::EMPTY }, "names no resources"),
    ] {
        let kind = change.kind().name();
        match world.refused(change) {
            OperatorRefused::Invalid(said) => {
                assert!(said.starts_with(&format!("Invalid {kind} operation on agent ")), "{said}");
                assert!(said.contains(words), "{said}");
            }
            OperatorRefused::Conflict(said) | OperatorRefused::NotFound(said) => panic!("{words}: {said}"),
        }
    }
    let conflict = world.refused(Change::Destroy { volumes: one(absent) });
    assert!(matches!(conflict, OperatorRefused::Conflict(_)), "{conflict}");
    let nobody = "nobody".parse().expect("valid");
    let change = reserve(reserved("cpus:1", &["ops"]));
    let unknown =
        world.operator(OperatorCall::Change { agent: nobody, change: change.clone(), principal: None });
    assert_eq!(unknown, Err(OperatorRefused::Invalid("No agent found with specified ID".to_owned())));
    world.break_link(0);
    let away = world.refused(change);
    assert!(matches!(&away, OperatorRefused::Conflict(said) if said.contains("not connected")), "{away}");
}

#[test]
fn whoever_has_a_name_reserves_under_it() {
    let mut world = world("cpus:2");
    let agent = world.agent_id(0);
    for (name, is_right) in [("bob", false), ("alice", true)] {
        let verdict = world.operator(OperatorCall::Change {
            agent: agent.clone(),
            change: reserve(reserved("cpus:1", &["ops"])),
            principal: Some(name.into()),
        });
        assert_eq!(verdict.is_ok(), is_right, "{name}: {verdict:?}");
    }
}

#[test]
fn reservations_are_exchanged_in_one_step() {
    let mut world = world("cpus:2;cpus(base):2");
    world.change(reserve(reserved("cpus(base):2", &["base/a"]))).expect("there is enough");
    let exchange = |from: Resource, to: Resource| Change::Reserve { source: one(from), resources: one(to) };
    let other = reserved("cpus(base):2", &["base/b", "base/b/c"]);
    world.change(exchange(reserved("cpus(base):2", &["base/a"]), other.clone())).expect("there is enough");
    assert!(world.total().contains(&one(other.clone())), "{}", world.total());
    assert_eq!(world.agents[0].description.resources, world.total());
    world.change(exchange(other.clone(), reserved("cpus(base):2", &["base/d"]))).expect("there is enough");
    for (from, to, words) in [
        (other.clone(), reserved("cpus(base):1", &["base/b"]), "they must be the same"),
        (other.clone(), reserved("cpus:2", &["web"]), "they must be the same"),
        (volume("disk:1", "base", "v"), reserved("disk:1", &["web"]), "destroy it first"),
        (other, plain("cpus(base):2"), "must be dynamically reserved"),
    ] {
        let refused = world.refused(exchange(from, to)).to_string();
        assert!(refused.contains(words), "{refused}");
    }
}

#[test]
fn an_operation_that_did_not_arrive_leaves_the_agents_word() {
    let mut world = world("cpus:2;disk:100");
    let before = world.total();
    world.agents[0].is_deaf = true;
    world.change(reserve(reserved("disk:40", &["ops"]))).expect("there is enough");
    world.connect(0);
    assert_eq!(world.total(), before);
    assert!(world.books().operations.is_empty());
    world.change(reserve(reserved("disk:40", &["ops"]))).expect("there is enough");
    world.break_link(0);
    world.connect(0);
    assert!(world.total().contains(&one(reserved("disk:40", &["ops"]))));
    assert!(world.agents[0].operations.is_empty(), "nobody waits for it");
    world.fail_over();
    world.connect(0);
    assert!(world.total().contains(&one(reserved("disk:40", &["ops"]))));
}

#[test]
fn an_agent_that_answers_nothing_is_not_asked_without_end() {
    let mut world = world("cpus:2000");
    let bound = chapada_master_core::MAX_OPERATIONS;
    for _ in 0..bound {
        world.change(reserve(reserved("cpus:1", &["ops"]))).expect("there is enough");
    }
    let refused = world.refused(reserve(reserved("cpus:1", &["ops"])));
    assert!(matches!(&refused, OperatorRefused::Conflict(said) if said.contains("wait for an answer")));
    world.answer();
    world.change(reserve(reserved("cpus:1", &["ops"]))).expect("all are answered");
}

#[test]
fn a_framework_is_removed_and_told() {
    let mut world = world("cpus:2;mem:1024");
    let (id, stream) = world.offered("f", "*");
    world.launch(&id, "t", "cpus:1");
    world.take(&stream);
    world.operator(OperatorCall::Teardown { framework: id.clone() }).expect("it is there");
    assert!(matches!(world.take(&stream).last(), Some(SchedulerEvent::Error { .. })));
    assert!(!world.books().frameworks.contains_key(&id));
    assert!(
        world.books().tasks.values().all(|task| task.phase == TaskPhase::Live),
        "until its agent says so"
    );
    let again = world.operator(OperatorCall::Teardown { framework: id.clone() });
    assert_eq!(again, Err(OperatorRefused::Invalid(format!("No framework found with ID {id}"))));
}
