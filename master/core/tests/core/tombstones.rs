//! What is kept of removed frameworks, in records of a bounded size.

use std::collections::BTreeSet;
use std::time::Duration;

use chapada_master_core::{
    AgentCommand, Call, MAX_AGENTS_PER_PART, RegistryChange, RegistryState, Removal, audit,
};
use chapada_model::{AgentId, FrameworkId, TaskState};

use crate::tasks::running;
use crate::world::{World, framework};

/// A new leader that knows so many agents and has heard of none, and a framework.
fn many_silent(count: usize) -> (World, FrameworkId) {
    let mut world = World::new();
    world.add_agent("cpus:1");
    let (_, known) = world.registry.agents.first_key_value().expect("registered");
    let record = known.clone();
    for number in 0..count {
        let id: AgentId = format!("old-S{number}").parse().expect("an id");
        world.registry.agents.insert(id, record.clone());
    }
    world.fail_over();
    let (id, _) = world.framework(framework("f", &["*"]));
    (world, id)
}

fn waiting(registry: &RegistryState, id: &FrameworkId) -> Vec<usize> {
    registry.unconfirmed.get(id).into_iter().flatten().map(|(_, agents)| agents.len()).collect()
}

#[test]
fn those_who_must_confirm_a_removal_stand_in_parts_and_a_confirmation_rewrites_only_its_own() {
    let (mut world, id) = many_silent(250);
    world.records_at_once = false;
    world.call(&id, Call::Teardown).expect("accepted");
    let removal =
        world.tickets.iter().position(|(_, change)| matches!(change, RegistryChange::PutFramework(..)));
    assert_eq!(removal, Some(3), "a leader that falls before it leaves no removal that waits for nobody");
    world.record_all();
    assert_eq!(waiting(&world.registry, &id), [100, 100, 51]);
    world.connect(0);
    let changed: Vec<_> = world.tickets.iter().map(|(_, change)| change.clone()).collect();
    let parts = changed.iter().filter(|change| matches!(change, RegistryChange::PutUnconfirmed(..)));
    assert_eq!((parts.count(), changed.len()), (1, 1), "{changed:?}");
    world.record_all();
    assert_eq!(waiting(&world.registry, &id).iter().sum::<usize>(), 250);
    world.fail_over();
    assert_eq!(waiting(&world.registry, &id).iter().sum::<usize>(), 250);
}

/// The registry as a former build kept it.
fn as_before(registry: &mut RegistryState, id: &FrameworkId, agents: BTreeSet<AgentId>) {
    registry.unconfirmed.clear();
    let record = registry.frameworks.get_mut(id).expect("removed");
    let removal = record.removed.as_mut().expect("removed");
    *removal = Removal { unconfirmed: agents, ..removal.clone() };
}

#[test]
fn a_removal_of_a_former_build_is_read_and_put_in_parts() {
    let (mut world, id, _, key) = running();
    world.call(&id, Call::Teardown).expect("accepted");
    let others = (0..230).map(|number| format!("old-S{number}").parse().expect("an id"));
    let agents: BTreeSet<AgentId> = others.chain([world.agent_id(0)]).collect();
    as_before(&mut world.registry, &id, agents);
    world.fail_over();
    world.agents[0].commands.clear();
    world.connect(0);
    let end = AgentCommand::ShutdownFramework { framework: id.clone() };
    assert!(world.agents[0].commands.contains(&end));
    assert_eq!(
        world.registry.frameworks[&id].removed.as_ref().expect("removed").unconfirmed,
        BTreeSet::new()
    );
    assert_eq!(waiting(&world.registry, &id), [100, 100, 31]);
    world.update(0, &key, TaskState::Killed);
    assert_eq!(waiting(&world.registry, &id).iter().sum::<usize>(), 230);
}

#[test]
fn a_leader_that_fell_between_the_records_of_a_removal_leaves_nothing_behind() {
    let (mut world, id) = many_silent(MAX_AGENTS_PER_PART);
    world.records_at_once = false;
    world.call(&id, Call::Teardown).expect("accepted");
    assert!(world.record_one());
    assert!(world.registry.unconfirmed.contains_key(&id), "a part is durable, the removal is not");
    world.fail_over();
    world.pass(Duration::from_secs(1));
    world.connect(0);
    world.record_all();
    assert!(world.registry.unconfirmed.is_empty());
    assert!(world.books().frameworks.contains_key(&id), "it was not removed");
    assert_eq!(audit(&world.master), []);
}

#[test]
fn an_agent_is_told_of_the_removed_frameworks_that_wait_for_it_alone() {
    let (mut world, id, _, _) = running();
    let other = world.add_agent("cpus:1");
    world.call(&id, Call::Teardown).expect("accepted");
    for agent in [0, other] {
        world.agents[agent].commands.clear();
        world.connect(agent);
    }
    let end = AgentCommand::ShutdownFramework { framework: id };
    assert!(world.agents[0].commands.contains(&end));
    assert!(!world.agents[other].commands.contains(&end));
}
