//! Shared persistent volumes: made once, offered to several, used by several, ended when nobody uses them.

use std::sync::Arc;
use std::time::Duration;

use chapada_master_core::{Accept, Call, Change, Event, Operation, Proposal, SchedulerEvent, StreamId};
use chapada_model::{
    Disk, DiskVolume, Filters, FrameworkCapability, FrameworkId, OfferId, OperationState, OperationStatus,
    Persistence, Reservation, ReservationKind, Resource, Resources, TaskKey, TaskState,
};

use crate::world::{World, command_task, framework};

/// One agent with a shared volume `v` of role `ops`, and two frameworks of the role that take offers of anything.
struct Scene {
    world: World,
    frameworks: [(FrameworkId, StreamId); 2],
}

fn reserved(mib: u64) -> Resource {
    let mut disk = Resource::scalar("disk", chapada_model::Milli::whole(mib));
    disk.reservations.push(Reservation {
        kind: ReservationKind::Dynamic,
        role: "ops".parse().expect("valid"),
        principal: None,
        labels: Vec::new(),
    });
    disk
}

fn volume() -> Resource {
    let disk = Disk {
        persistence: Some(Persistence { id: "v".into(), principal: None }),
        volume: Some(DiskVolume { container_path: "data".into(), host_path: None, read_only: false }),
        source: None,
    };
    Resource { disk: Some(disk), shared: true, ..reserved(40) }
}

fn one(resource: Resource) -> Resources {
    Resources::from_list([resource]).expect("one resource")
}

fn scene() -> Scene {
    let mut world = World::new();
    world.add_agent("cpus:4;mem:1024;disk:100");
    let mut subscribe = |name: &str| {
        let mut description = framework(name, &["ops"]);
        description.capabilities.insert(FrameworkCapability::SharedResources);
        description.offer_filters.insert("ops".parse().expect("valid"), Vec::new());
        world.framework(description)
    };
    let first = subscribe("first");
    let mut scene = Scene { world, frameworks: [first.clone(), first] };
    let change = |name: &str, change| Operation::Change { id: name.parse().ok(), change };
    let reserve = Change::Reserve { source: Resources::EMPTY, resources: one(reserved(50)) };
    scene.accept(
        0,
        vec![change("o1", reserve), change("o2", Change::Create { volumes: one(volume()) })],
        None,
    );
    let mut description = framework("second", &["ops"]);
    description.capabilities.insert(FrameworkCapability::SharedResources);
    description.offer_filters.insert("ops".parse().expect("valid"), Vec::new());
    scene.frameworks[1] = scene.world.framework(description);
    assert!(scene.world.books().agents[&scene.world.agent_id(0)].total.contains(&one(volume())));
    scene
}

impl Scene {
    /// Answers all offers of a framework, or one.
    fn accept(&mut self, who: usize, operations: Vec<Operation>, offer: Option<OfferId>) {
        self.world.settle();
        let id = self.frameworks[who].0.clone();
        let offers = offer.map_or_else(|| self.world.offers(&id), |offer| vec![offer]);
        assert!(!offers.is_empty());
        let filters = Filters { refuse: Duration::ZERO };
        self.world.call(&id, Call::Accept(Accept { offers, operations, filters })).expect("accepted");
    }

    fn launch(&mut self, who: usize, names: &[&str]) {
        let agent = self.world.agent_id(0);
        let task = |name: &&str| {
            let mut task = command_task(name, &agent, "cpus:0.5");
            task.resources.add(&one(volume())).expect("more");
            Proposal::Valid(Box::new(task))
        };
        let tasks = names.iter().map(task).collect();
        self.accept(who, vec![Operation::Launch { tasks }], None);
    }

    fn destroy(&mut self, who: usize) -> Vec<Arc<OperationStatus>> {
        let change = Change::Destroy { volumes: one(volume()) };
        self.accept(who, vec![Operation::Change { id: "d".parse().ok(), change }], None);
        let agent = self.world.agent_id(0);
        let link = self.world.agents[0].link.expect("linked");
        for status in self.world.agents[0].operations.clone() {
            self.world.apply(Event::OperationUpdate { link, agent: agent.clone(), status });
        }
        let of_it = |event| match event {
            SchedulerEvent::UpdateOperation(status) if status.operation == "d".parse().ok() => Some(status),
            _ => None,
        };
        self.world.take(&self.frameworks[who].1.clone()).into_iter().filter_map(of_it).collect()
    }

    /// Who has the CPUs on offer, and the other.
    fn rich_and_poor(&mut self) -> (usize, usize) {
        self.world.settle();
        let books = self.world.books();
        let rich = books.offers_of(&self.frameworks[0].0).any(|offer| !offer.resources.cpus().is_zero());
        if rich { (0, 1) } else { (1, 0) }
    }

    /// Who has the volume on offer.
    fn offered(&mut self) -> Vec<FrameworkId> {
        self.world.settle();
        let books = self.world.books();
        let with_it =
            books.offers.values().filter(|offer| offer.resources.unallocated().contains(&one(volume())));
        with_it.map(|offer| offer.framework.clone()).collect()
    }

    fn uses(&self) -> usize {
        let books = self.world.books();
        let used = &books.agents[&self.world.agent_id(0)].used;
        used.iter().filter(|resource| resource.shared).count()
    }

    fn end_all(&mut self) {
        let keys: Vec<TaskKey> = self.world.agents[0].tasks.keys().cloned().collect();
        keys.iter().for_each(|key| self.world.update(0, key, TaskState::Finished));
    }
}

#[test]
fn it_is_offered_to_two_at_once_and_used_by_tasks_of_both() {
    let mut scene = scene();
    assert_eq!(scene.offered().len(), 2, "both have it on offer at once");
    // One copy in the offer serves two tasks of one LAUNCH, and the next.
    let (rich, poor) = scene.rich_and_poor();
    scene.launch(rich, &["a", "b"]);
    assert_eq!(scene.uses(), 2);
    assert_eq!(scene.offered().len(), 2, "it is free for the next whoever uses it");
    // The other has used nothing yet: the smaller share is served, once it has given its small offer back.
    let other = scene.frameworks[poor].0.clone();
    let offers = scene.world.offers(&other);
    scene
        .world
        .call(&other, Call::Decline { offers, filters: Filters { refuse: Duration::ZERO } })
        .expect("taken");
    let first = scene.frameworks[rich].0.clone();
    let offers = scene.world.offers(&first);
    let filters = Filters { refuse: Duration::from_secs(60) };
    scene.world.call(&first, Call::Decline { offers, filters }).expect("taken");
    scene.world.pass(Duration::from_secs(2));
    scene.launch(poor, &["c"]);
    assert_eq!(scene.uses(), 3);
    assert_eq!(scene.world.agents[0].tasks.len(), 3);
    scene.end_all();
    assert_eq!(scene.uses(), 0);
}

#[test]
fn it_ends_when_nobody_uses_it_and_offers_of_it_are_taken_back() {
    let mut scene = scene();
    let (rich, poor) = scene.rich_and_poor();
    scene.launch(rich, &["a"]);
    scene.world.settle();
    let refused = scene.destroy(poor);
    assert!(
        matches!(&refused[..], [status] if status.state == OperationState::Error
            && status.message.as_deref().is_some_and(|message| message.contains("is in use"))),
        "{refused:?}"
    );
    scene.end_all();
    assert_eq!(scene.offered().len(), 2);
    scene.world.take(&scene.frameworks[rich].1.clone());
    let done = scene.destroy(poor);
    assert!(matches!(&done[..], [status] if status.state == OperationState::Finished), "{done:?}");
    let told = scene.world.take(&scene.frameworks[rich].1.clone());
    assert!(told.iter().any(|event| matches!(event, SchedulerEvent::Rescind(_))), "{told:?}");
    let agent = scene.world.agent_id(0);
    let total = scene.world.books().agents[&agent].total.clone();
    assert!(total.shared().is_empty() && total.contains(&one(reserved(50))), "{total}");
    assert!(scene.offered().is_empty());
}

#[test]
fn a_task_may_use_it_once_and_not_after_its_end_in_the_same_accept() {
    let mut scene = scene();
    let agent = scene.world.agent_id(0);
    let mut twice = command_task("t", &agent, "cpus:0.1");
    twice.resources.add(&one(volume())).expect("more");
    twice.resources.add(&one(volume())).expect("more");
    let mut late = command_task("late", &agent, "cpus:0.1");
    late.resources.add(&one(volume())).expect("more");
    let launch = |task| Operation::Launch { tasks: vec![Proposal::Valid(Box::new(task))] };
    let destroy = Operation::Change { id: None, change: Change::Destroy { volumes: one(volume()) } };
    let (rich, _) = scene.rich_and_poor();
    scene.accept(rich, vec![launch(twice), destroy, launch(late)], None);
    assert!(scene.world.agents[0].tasks.is_empty());
    assert_eq!(scene.uses(), 0);
}

#[test]
fn it_survives_its_agent_and_its_master() {
    let mut scene = scene();
    let (rich, _) = scene.rich_and_poor();
    scene.launch(rich, &["a", "b"]);
    scene.world.break_link(0);
    scene.world.connect(0);
    assert_eq!(scene.uses(), 2);
    scene.world.fail_over();
    scene.world.connect(0);
    assert_eq!(scene.uses(), 2);
    let agent = scene.world.agent_id(0);
    assert!(scene.world.books().agents[&agent].free.contains(&one(volume())));
    // The agent comes back without it while tasks use it: that is lost, until the last of them has ended.
    scene.world.agents[0].description.resources = "cpus:4;mem:1024;disk:100".parse().expect("valid");
    scene.world.connect(0);
    assert!(scene.world.books().agents[&agent].overcommit.contains(&one(volume())));
    scene.end_all();
    assert!(scene.world.books().agents[&agent].overcommit.is_empty());
}
