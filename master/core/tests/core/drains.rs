//! Drains of many agents: which, how many at once, what survives, how they end.

use std::time::Duration;

use chapada_master_core::{
    AgentCall, DrainOrder, DrainPlan, DrainStep, MAX_AGENTS_PER_DRAIN, OperatorRefused, PassedOver, Selection,
};
use chapada_model::{AgentId, Attribute, AttributeValue, TaskState};

use crate::tasks::launch;
use crate::world::{World, framework};

/// So many agents, every second one in rack `b`, each with a running task that nobody acknowledges the end of.
fn world(agents: usize) -> World {
    let mut world = World::new();
    for index in 0..agents {
        world.add_agent("cpus:1;mem:128");
        let rack = if index % 2 == 0 { "a" } else { "b" };
        let rack = Attribute { name: "rack".into(), value: AttributeValue::Text(rack.into()) };
        world.agents[index].description.attributes = vec![rack];
        world.connect(index);
    }
    let (id, _) = world.framework(framework("f", &["*"]));
    world.settle();
    for index in 0..agents {
        launch(&mut world, &id, &format!("t{index}"), "cpus:1;mem:128");
    }
    world
}

fn rack(name: &str) -> Selection {
    Selection::Attributes(vec![("rack".into(), name.into())])
}

fn drain(world: &mut World, selection: Selection, at_once: u32) {
    let call = AgentCall::DrainMany { name: "d".into(), selection, at_once, order: DrainOrder::default() };
    world.agent_call(call).expect("taken");
}

fn plan(world: &World) -> DrainPlan {
    world.books().drains["d"].clone()
}

fn steps(world: &World) -> Vec<DrainStep> {
    let (books, plan) = (world.books(), plan(world));
    let all = plan.waiting.iter().chain(&plan.begun);
    let mut steps: Vec<_> = all.map(|id| books.drain_step("d", &plan, id)).collect();
    steps.sort();
    steps
}

/// Every task that was told to end has ended, and its framework knows.
fn end_killed(world: &mut World) {
    let killed = |index: usize| {
        let killed = world.agents[index].tasks.iter().filter(|(_, task)| task.kills > 0);
        killed.map(|(key, _)| key.clone()).collect::<Vec<_>>()
    };
    let killed: Vec<_> = (0..world.agents.len()).map(killed).enumerate().collect();
    for (index, keys) in killed {
        for key in keys {
            world.update(index, &key, TaskState::Killed);
            let Some(task) = world.books().tasks.get(&key).cloned() else { continue };
            let Some(uuid) = task.unacknowledged.front().copied() else { continue };
            let call =
                chapada_master_core::Call::Acknowledge { agent: task.agent.clone(), task: key.task, uuid };
            world.call(&key.framework, call).expect("accepted");
        }
    }
}

#[test]
fn a_rack_is_drained_two_at_once_until_none_is_left() {
    let mut world = world(10);
    drain(&mut world, rack("b"), 2);
    use DrainStep::{Drained, Draining, Waiting};
    assert_eq!(steps(&world), [Waiting, Waiting, Waiting, Draining, Draining]);
    end_killed(&mut world);
    assert_eq!(steps(&world), [Waiting, Draining, Draining, Drained, Drained]);
    world.fail_over();
    for index in 0..10 {
        world.connect(index);
    }
    world.subscribe(chapada_model::FrameworkDescription {
        id: world.agents[0].frameworks.keys().next().cloned(),
        ..framework("f", &["*"])
    });
    assert_eq!(steps(&world), [Waiting, Draining, Draining, Drained, Drained], "the next leader goes on");
    end_killed(&mut world);
    end_killed(&mut world);
    assert_eq!(steps(&world), [Drained; 5]);
    assert!(plan(&world).ended.is_some() && !plan(&world).is_cancelled);
    let kept = world.books().agents.values().filter(|agent| !agent.deactivated).count();
    assert_eq!(kept, 5, "the other rack is as it was");
}

#[test]
fn what_is_cancelled_begins_no_more_and_what_is_drained_stays_so() {
    let mut world = world(6);
    drain(&mut world, rack("a"), 1);
    end_killed(&mut world);
    world.agent_call(AgentCall::CancelMany { name: "d".into() }).expect("taken");
    assert_eq!(steps(&world), [DrainStep::Drained, DrainStep::Withdrawn]);
    assert!(plan(&world).is_cancelled && plan(&world).ended.is_some());
    end_killed(&mut world);
    let out = world.books().agents.values().filter(|agent| agent.deactivated).count();
    assert_eq!(out, 1);
    let again = world.agent_call(AgentCall::CancelMany { name: "d".into() });
    assert_eq!(again, Err(OperatorRefused::Conflict("drain d has ended".to_owned())));
}

#[test]
fn one_that_comes_back_while_another_drains_waits_for_its_turn_again() {
    use DrainStep::{Drained, Draining, Unreachable, Waiting};
    let mut world = world(3);
    let ids: Vec<AgentId> = (0..3).map(|index| world.agent_id(index)).collect();
    drain(&mut world, Selection::Agents(ids), 1);
    world.break_link(0);
    world.pass(Duration::from_secs(100));
    assert_eq!(steps(&world), [Waiting, Draining, Unreachable]);
    world.connect(0);
    assert_eq!(steps(&world), [Waiting, Waiting, Draining], "no more than one at once");
    let back = world.books().agents[&world.agent_id(0)].clone();
    assert!(!back.deactivated && back.drain.is_none(), "it is offered until its turn comes");
    end_killed(&mut world);
    end_killed(&mut world);
    end_killed(&mut world);
    assert_eq!(steps(&world), [Drained; 3]);
    assert!(plan(&world).ended.is_some());
}

#[test]
fn nobody_waits_for_an_agent_that_is_unreachable_gone_or_drained() {
    let mut world = world(5);
    let ids: Vec<AgentId> = (0..5).map(|index| world.agent_id(index)).collect();
    drain(&mut world, Selection::Agents(ids.clone()), 1);
    world.break_link(0);
    assert_eq!(steps(&world).iter().filter(|step| **step == DrainStep::Waiting).count(), 4);
    world.pass(Duration::from_secs(100));
    assert_eq!(steps(&world).iter().filter(|step| **step == DrainStep::Waiting).count(), 3);
    world.agent_call(AgentCall::MarkGone { agent: ids[1].clone() }).expect("taken");
    for _ in 0..3 {
        end_killed(&mut world);
    }
    use DrainStep::{Drained, Gone, Unreachable};
    assert_eq!(steps(&world), [Drained, Drained, Drained, Unreachable, Gone]);
    assert!(plan(&world).ended.is_some());
    world.connect(0);
    end_killed(&mut world);
    assert_eq!(steps(&world)[..4], [Drained; 4], "it is drained when it comes back");
}

#[test]
fn what_cannot_be_is_refused_in_words() {
    let mut world = world(2);
    let call = |name: &str, selection, at_once| AgentCall::DrainMany {
        name: name.into(),
        selection,
        at_once,
        order: DrainOrder::default(),
    };
    for (call, words) in [
        (call("d", rack("c"), 1), "no agent has rack=c"),
        (
            call("d", Selection::Agents(vec!["nobody".parse().expect("valid")]), 1),
            "No agent found with ID nobody",
        ),
        (call("d", Selection::Attributes(Vec::new()), 1), "name agents or attributes"),
        (call("d", rack("a"), 0), "at_once must be at least 1"),
        (call("a/b", rack("a"), 1), "no slash"),
        (AgentCall::CancelMany { name: "d".into() }, "there is no drain d"),
    ] {
        let refused = world.agent_call(call).map_err(|refused| refused.to_string());
        assert!(refused.as_ref().is_err_and(|said| said.contains(words)), "{refused:?}");
    }
    world.agent_call(call("d", rack("a"), 1)).expect("taken");
    let twice = world.agent_call(call("d", rack("b"), 1));
    assert!(matches!(twice, Err(OperatorRefused::Conflict(_))));
}

fn refusal(world: &mut World, selection: Selection) -> String {
    let call = AgentCall::DrainMany { name: "d".into(), selection, at_once: 1, order: DrainOrder::default() };
    world.agent_call(call).expect_err("refused").to_string()
}

#[test]
fn a_drain_by_attributes_names_those_that_it_passes_over_and_why() {
    let mut world = world(6);
    world.break_link(1);
    world.pass(Duration::from_secs(100));
    let (away, wanted) = (world.agent_id(1), [("rack".into(), "b".into())]);
    drain(&mut world, rack("b"), 1);
    assert_eq!(world.books().passed_over("d", &wanted), [(away.clone(), PassedOver::Unreachable)]);
    assert!(PassedOver::Unreachable.to_string().contains("named by its id it is drained when it comes back"));
    world.connect(1);
    assert_eq!(world.books().passed_over("d", &wanted), [(away.clone(), PassedOver::Late)]);
    world.agent_call(AgentCall::MarkGone { agent: away }).expect("taken");
    assert_eq!(world.books().passed_over("d", &wanted), [], "one that never comes back is not named");
    assert_eq!(world.books().passed_over("other", &wanted), []);
}

#[test]
fn where_all_that_fit_are_unreachable_the_refusal_names_them() {
    let mut world = world(2);
    world.break_link(1);
    world.pass(Duration::from_secs(100));
    let (away, said) = (world.agent_id(1), refusal(&mut world, rack("b")));
    let words = format!("all agents that have rack=b are unreachable ({away}): named by their ids");
    assert!(said.starts_with(&words), "{said}");
}

#[test]
fn more_agents_than_one_drain_may_have_are_refused_with_what_to_do() {
    let mut world = World::new();
    let rack_b = Attribute { name: "rack".into(), value: AttributeValue::Text("b".into()) };
    let mut registry = world.registry.clone();
    world.add_agent("cpus:1;mem:128");
    let known = world.registry.agents[&world.agent_id(0)].clone();
    for index in 0..MAX_AGENTS_PER_DRAIN + 22 {
        let id: AgentId = format!("old-S{index:04}").parse().expect("valid");
        let description = chapada_model::AgentDescription {
            id: Some(id.clone()),
            attributes: vec![rack_b.clone()],
            ..(*known.description).clone()
        };
        let standing = match index < 21 {
            true => chapada_master_core::Standing::Unreachable { since: world.now.wall },
            false => known.standing,
        };
        let record =
            chapada_master_core::AgentRecord { description: description.into(), standing, ..known.clone() };
        registry.agents.insert(id, record);
    }
    world.registry = registry;
    world.fail_over();
    let said = refusal(&mut world, rack("b"));
    for words in [
        "1001 agents have rack=b, and one drain is of at most 1000: add an attribute, or name",
        "none of them is drained; 21 more are unreachable and not counted (old-S0000, old-S0001",
        "old-S0019 and 1 others)",
    ] {
        assert!(said.contains(words), "{said}");
    }
    let all = world.registry.agents.keys().cloned().collect();
    let said = refusal(&mut world, Selection::Agents(all));
    assert!(said.contains("1022 agents in one drain, at most 1000: make several"), "{said}");
}
