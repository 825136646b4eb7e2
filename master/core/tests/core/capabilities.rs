//! What each capability of a framework changes, and that it may change its mind: what it said last holds, whether by a
//! subscription or by UPDATE_FRAMEWORK.
//!
//! MULTI_ROLE decides how roles are read off the wire (`proto/wire`), TASK_KILLING_STATE what agents say (`agent/core`): here both
//! are only passed on.

use std::collections::BTreeSet;
use std::time::Duration;

use chapada_master_core::{AgentCommand, Call, StreamId};
use chapada_model::{
    Domain, FrameworkCapability as Can, FrameworkDescription, FrameworkId, Milli, Reservation,
    ReservationKind, Resource, Resources, Role, TaskState,
};

use crate::tasks::launch;
use crate::world::{World, framework};

fn special(change: impl Fn(&mut Resource)) -> Resource {
    let mut resource = Resource::scalar("cpus", Milli::whole(2));
    change(&mut resource);
    resource
}

fn dynamic(role: &str) -> Reservation {
    let (kind, role) = (ReservationKind::Dynamic, Role::new(role).expect("valid"));
    Reservation { kind, role, principal: None, labels: Vec::new() }
}

/// A cluster with one agent that has two plain CPUs and something that needs a capability.
fn cluster(extra: Option<Resource>, far: bool) -> World {
    let mut world = World::new();
    let mut settings = chapada_master_core::Settings::new("m1");
    settings.region = Some("near".into());
    world.master = chapada_master_core::Master::recover(world.now, settings, world.registry.clone());
    let plain: Resources = "cpus:2;mem:512".parse().expect("valid");
    world.add_agent("cpus:2;mem:512");
    world.break_link(0);
    let agent = &mut world.agents[0].description;
    agent.resources = plain.checked_add(&Resources::from_list(extra).expect("valid")).expect("valid");
    agent.domain = Some(Domain { region: if far { "far".into() } else { "near".into() }, zone: "z".into() });
    world.connect(0);
    world
}

fn describe(capabilities: &[Can]) -> FrameworkDescription {
    let mut description = framework("f", &["ops/db"]);
    description.capabilities = capabilities.iter().copied().collect();
    description.failover_timeout = Duration::from_secs(600);
    description
}

/// CPUs that the framework is offered now.
fn offered(world: &mut World, id: &FrameworkId) -> u64 {
    world.settle();
    world.books().offers_of(id).map(|offer| offer.resources.cpus().0 / 1_000).sum()
}

fn decline(world: &mut World, id: &FrameworkId) {
    let offers = world.offers(id);
    let filters = chapada_model::Filters { refuse: Duration::ZERO };
    world.call(id, Call::Decline { offers, filters }).expect("accepted");
    world.pass(Duration::from_secs(2));
}

/// Without the capability so much is offered, with it so much; gained by UPDATE_FRAMEWORK, lost by a subscription.
fn check(what: &str, mut world: World, capability: Can, (without, with): (u64, u64)) {
    let (id, _) = world.framework(describe(&[]));
    assert_eq!(offered(&mut world, &id), without, "{what}");
    let mut description = describe(&[capability]);
    description.id = Some(id.clone());
    let (suppressed, constraints) = (Vec::new(), Default::default());
    world.call(&id, Call::UpdateFramework { description, suppressed, constraints }).expect("accepted");
    decline(&mut world, &id);
    assert_eq!(offered(&mut world, &id), with, "{what}, from UPDATE_FRAMEWORK on");
    let mut description = describe(&[]);
    description.id = Some(id.clone());
    world.subscribe(description);
    assert_eq!(offered(&mut world, &id), without, "{what}, from the next subscription on");
}

#[test]
fn what_is_offered_depends_on_what_the_framework_says_it_can() {
    let revocable = special(|r| r.revocable = true);
    check("1 REVOCABLE_RESOURCES", cluster(Some(revocable), false), Can::RevocableResources, (2, 4));
    let gpus = Resource::scalar("gpus", Milli::whole(1));
    check("3 GPU_RESOURCES", cluster(Some(gpus), false), Can::GpuResources, (0, 2));
    let shared = special(|r| r.shared = true);
    check("4 SHARED_RESOURCES", cluster(Some(shared), false), Can::SharedResources, (2, 4));
    let refined = special(|r| r.reservations = vec![dynamic("ops"), dynamic("ops/db")]);
    check("7 RESERVATION_REFINEMENT", cluster(Some(refined), false), Can::ReservationRefinement, (2, 4));
    check("8 REGION_AWARE", cluster(None, true), Can::RegionAware, (0, 2));
}

#[test]
fn partition_awareness_counts_as_it_was_said_last() {
    let mut world = cluster(None, false);
    let (id, stream) = world.framework(describe(&[Can::PartitionAware]));
    world.settle();
    launch(&mut world, &id, "t", "cpus:1");
    let lost = |world: &mut World, stream: &StreamId| {
        world.break_link(0);
        world.pass(Duration::from_secs(80));
        let said = world.take_updates(stream).last().expect("heard of").state;
        world.connect(0);
        world.take(stream);
        said
    };
    assert_eq!(lost(&mut world, &stream), TaskState::Unreachable);
    let mut description = describe(&[]);
    description.id = Some(id.clone());
    let (suppressed, constraints) = (Vec::new(), Default::default());
    world.call(&id, Call::UpdateFramework { description, suppressed, constraints }).expect("accepted");
    assert_eq!(lost(&mut world, &stream), TaskState::Lost);
    let mut description = describe(&[Can::PartitionAware]);
    description.id = Some(id);
    let stream = world.subscribe(description);
    assert_eq!(lost(&mut world, &stream), TaskState::Unreachable);
}

#[test]
fn agents_hear_what_a_framework_says_of_itself_now() {
    let mut world = cluster(None, false);
    let (id, _) = world.framework(describe(&[]));
    world.settle();
    launch(&mut world, &id, "t", "cpus:1");
    let mut description = describe(&[Can::TaskKillingState, Can::MultiRole]);
    description.id = Some(id.clone());
    let (suppressed, constraints) = (Vec::new(), Default::default());
    world.call(&id, Call::UpdateFramework { description, suppressed, constraints }).expect("accepted");
    let told = world.agents[0].commands.iter().rev().find_map(|command| match command {
        AgentCommand::UpdateFramework { framework } => Some(framework.capabilities.clone()),
        _ => None,
    });
    assert_eq!(told, Some(BTreeSet::from([Can::TaskKillingState, Can::MultiRole])));
}
