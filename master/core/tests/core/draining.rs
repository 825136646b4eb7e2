//! Deactivated, drained and gone: what each does to offers and tasks, what survives, what is refused.

use std::time::Duration;

use chapada_master_core::{
    AgentCall, AgentCommand, AgentState, Call, Drain, DrainOrder, OperatorRefused, SchedulerEvent, Selection,
    Standing, StreamId, TaskPhase, Ticket, Why,
};
use chapada_model::{AgentId, FrameworkId, KillPolicy, Reason, TaskKey, TaskState};

use crate::tasks::{launch, running};
use crate::world::{World, framework};

impl World {
    /// An operator says something of an agent; the ticket it waits for.
    pub(crate) fn agent_call(&mut self, call: AgentCall) -> Result<Option<Ticket>, OperatorRefused> {
        let (before, text) = (self.books(), format!("{call:?}"));
        let verdict = self.master.apply_agent_call(self.now, call);
        let (effects, verdict) = match verdict {
            Ok((effects, ticket)) => (effects, Ok(ticket)),
            Err(refused) => (Vec::new(), Err(refused)),
        };
        self.after(&before, effects, &text);
        verdict
    }
}

fn drain(world: &mut World, order: DrainOrder) -> AgentId {
    let agent = world.agent_id(0);
    world.agent_call(AgentCall::Drain { agent: agent.clone(), order }).expect("taken");
    agent
}

fn at_once() -> DrainOrder {
    DrainOrder::default()
}

fn with_notice(seconds: u64) -> DrainOrder {
    DrainOrder { notice: Some(Duration::from_secs(seconds)), ..DrainOrder::default() }
}

fn drain_of(world: &World, agent: &AgentId) -> Option<Drain> {
    world.books().agents[agent].drain.clone()
}

fn is_drained(world: &World, agent: &AgentId) -> bool {
    drain_of(world, agent).is_some_and(|drain| drain.is_drained)
}

fn acknowledge_all(world: &mut World, key: &TaskKey) {
    while let Some(task) = world.books().tasks.get(key).cloned() {
        let Some(uuid) = task.unacknowledged.front().copied() else { return };
        let call = Call::Acknowledge { agent: task.agent.clone(), task: key.task.clone(), uuid };
        world.call(&key.framework, call).expect("accepted");
    }
}

fn kills(world: &World) -> Vec<Option<KillPolicy>> {
    let kills = world.agents[0].commands.iter().filter_map(|command| match command {
        AgentCommand::Kill { policy, .. } => Some(*policy),
        _ => None,
    });
    kills.collect()
}

fn why(world: &World, framework: &FrameworkId) -> Option<Why> {
    world.master.explain(world.now, framework, &world.agent_id(0))[0].1
}

#[test]
fn a_deactivated_agent_is_offered_to_nobody_and_its_tasks_run_on() {
    let (mut world, id, stream, key) = running();
    world.settle();
    world.take(&stream);
    let agent = world.agent_id(0);
    world.agent_call(AgentCall::Deactivate { agent: agent.clone() }).expect("taken");
    assert!(matches!(world.take(&stream)[..], [SchedulerEvent::Rescind(_)]));
    assert_eq!(why(&world, &id), Some(Why::AgentDeactivated));
    world.pass(Duration::from_secs(60));
    world.update(0, &key, TaskState::Running);
    world.break_link(0);
    world.connect(0);
    world.pass(Duration::from_secs(60));
    assert!(world.offers(&id).is_empty() && world.books().tasks[&key].is_live());
    world.fail_over();
    world.connect(0);
    let (id, _) =
        world.framework(chapada_model::FrameworkDescription { id: Some(id), ..framework("f", &["*"]) });
    world.settle();
    assert!(world.offers(&id).is_empty(), "the next leader knows");
    assert_eq!(world.agent_call(AgentCall::Deactivate { agent: agent.clone() }), Ok(None), "no change");
    world.agent_call(AgentCall::Reactivate { agent }).expect("taken");
    world.settle();
    assert_eq!(world.offers(&id).len(), 1);
}

#[test]
fn a_drained_agent_has_nothing_left_that_anyone_waits_for() {
    let (mut world, id, stream, key) = running();
    world.take(&stream);
    world.records_at_once = false;
    let agent = drain(&mut world, at_once());
    assert_eq!(world.agents[0].tasks[&key].kills, 0, "not before it is durable");
    world.records_at_once = true;
    world.record_all();
    assert_eq!(world.agents[0].tasks[&key].kills, 1);
    assert_eq!(why(&world, &id), Some(Why::AgentDraining));
    let refused = world.agent_call(AgentCall::Reactivate { agent: agent.clone() });
    assert_eq!(refused, Err(OperatorRefused::Invalid("Agent is still in the DRAINING state".to_owned())));
    world.update(0, &key, TaskState::Killing);
    world.update(0, &key, TaskState::Killed);
    let said: Vec<_> = world.take_updates(&stream).iter().map(|s| (s.state, s.reason)).collect();
    let reason = Some(Reason::AgentDraining);
    assert_eq!(said, [(TaskState::Killing, reason), (TaskState::Killed, reason)]);
    assert!(!is_drained(&world, &agent), "its framework has not heard it");
    acknowledge_all(&mut world, &key);
    assert!(is_drained(&world, &agent));
    assert!(world.registry.agents[&agent].drain.as_ref().is_some_and(|drain| drain.is_drained));
    world.pass(Duration::from_secs(60));
    assert!(world.offers(&id).is_empty());
    world.agent_call(AgentCall::Reactivate { agent: agent.clone() }).expect("taken");
    world.settle();
    assert!(drain_of(&world, &agent).is_none() && world.offers(&id).len() == 1);
}

#[test]
fn no_task_is_given_longer_than_the_operator_allows_nor_longer_than_it_asks_for() {
    let grace = |seconds| KillPolicy { grace_period: Some(Duration::from_secs(seconds)) };
    for (own, most, said) in [
        (None, 1, Some(grace(1))),
        (None, 60, None),
        (Some(grace(30)), 10, Some(grace(10))),
        (Some(grace(5)), 10, Some(grace(5))),
    ] {
        let (mut world, id, _, key) = running();
        if own.is_some() {
            let call = Call::Kill { task: key.task.clone(), agent: None, policy: own };
            world.call(&id, call).expect("accepted");
        }
        drain(&mut world, DrainOrder { max_grace: Some(Duration::from_secs(most)), ..at_once() });
        assert_eq!(kills(&world).last(), Some(&said), "{own:?} {most}");
        let call = Call::Kill { task: key.task.clone(), agent: None, policy: Some(grace(3_600)) };
        world.call(&id, call).expect("accepted");
        assert_eq!(kills(&world).last(), Some(&Some(grace(most))), "a later kill is no way around it");
    }
}

#[test]
fn frameworks_have_their_notice_and_hear_until_when() {
    let (mut world, id, stream, key) = running();
    world.take(&stream);
    let agent = drain(&mut world, with_notice(600));
    let since = world.now.wall;
    let asked = world.take(&stream).into_iter().find_map(|event| match event {
        SchedulerEvent::InverseOffers(offers) => Some(offers[0].clone()),
        _ => None,
    });
    let asked = asked.expect("it is asked to leave");
    assert_eq!(asked.unavailability.start, since + Duration::from_secs(600));
    world.pass(Duration::from_secs(599));
    assert!(kills(&world).is_empty() && world.offers(&id).is_empty());
    world.pass(Duration::from_secs(2));
    assert_eq!(kills(&world).len(), 1);
    world.update(0, &key, TaskState::Killed);
    acknowledge_all(&mut world, &key);
    assert!(is_drained(&world, &agent) && world.books().inverse_offers.is_empty());
}

#[test]
fn whoever_leaves_within_the_notice_is_not_killed_and_the_agent_is_drained_at_once() {
    let (mut world, _, _, key) = running();
    let agent = drain(&mut world, with_notice(600));
    world.update(0, &key, TaskState::Finished);
    acknowledge_all(&mut world, &key);
    assert!(is_drained(&world, &agent) && kills(&world).is_empty());
}

#[test]
fn a_drain_goes_on_under_the_next_leader_with_what_is_left_of_the_notice() {
    let (mut world, id, _, key) = running();
    let agent = drain(&mut world, with_notice(600));
    world.pass(Duration::from_secs(400));
    let back = |world: &mut World| {
        world.fail_over();
        world.connect(0);
        let id = Some(id.clone());
        world.framework(chapada_model::FrameworkDescription { id, ..framework("f", &["*"]) });
    };
    back(&mut world);
    world.pass(Duration::from_secs(199));
    assert!(kills(&world).is_empty());
    world.pass(Duration::from_secs(2));
    assert_eq!(kills(&world).len(), 1);
    back(&mut world);
    assert_eq!(kills(&world).len(), 2, "one that was not there to hear it hears it again");
    world.update(0, &key, TaskState::Killed);
    acknowledge_all(&mut world, &key);
    assert!(is_drained(&world, &agent));
    world.fail_over();
    world.connect(0);
    assert!(is_drained(&world, &agent), "and stays so");
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Another leader, whose clock is ahead.
fn fail_over_to_one_ahead(world: &mut World, id: &FrameworkId, by: Duration) {
    world.now.wall = world.now.wall + by;
    world.fail_over();
    world.connect(0);
    let id = Some(id.clone());
    world.framework(chapada_model::FrameworkDescription { id, ..framework("f", &["*"]) });
}

#[test]
fn a_leader_whose_clock_is_ahead_gives_notice_all_the_same() {
    let minute = Duration::from_secs(60);
    // By the clocks ten minutes are left; it has been over for five; it has been over for longer than agents take to come back.
    for (ahead, left) in [(50 * minute, 10 * minute), (65 * minute, 10 * minute), (DAY, 60 * minute)] {
        let (mut world, id, _, _) = running();
        drain(&mut world, with_notice(3600));
        fail_over_to_one_ahead(&mut world, &id, ahead);
        world.pass(left - Duration::from_secs(1));
        assert!(kills(&world).is_empty(), "{ahead:?} ahead");
        world.pass(Duration::from_secs(2));
        assert_eq!(kills(&world).len(), 1, "{ahead:?} ahead");
    }
}

#[test]
fn a_notice_that_a_leader_has_seen_end_is_over_for_the_next_whatever_its_clock_says() {
    let (mut world, id, _, _) = running();
    drain(&mut world, with_notice(3600));
    world.pass(Duration::from_secs(3601));
    assert_eq!(kills(&world).len(), 1);
    for clock in [chapada_model::Wall(1), world.now.wall + 30 * DAY] {
        world.agents[0].commands.clear();
        world.now.wall = clock;
        fail_over_to_one_ahead(&mut world, &id, Duration::ZERO);
        assert_eq!(kills(&world).len(), 1, "it goes on at once");
    }
}

#[test]
fn a_clock_that_is_set_does_not_shorten_a_notice_that_is_running() {
    let (mut world, _, _, _) = running();
    let agent = drain(&mut world, with_notice(3600));
    world.pass(Duration::from_secs(600));
    world.now.wall = world.now.wall + DAY;
    // It becomes part of a drain of many, which is a new record of the same drain.
    let selection = Selection::Agents(vec![agent.clone()]);
    let order = DrainOrder::default();
    world.agent_call(AgentCall::DrainMany { name: "d".into(), selection, at_once: 1, order }).expect("taken");
    world.pass(Duration::from_secs(2_999));
    assert!(
        drain_of(&world, &agent).is_some_and(|drain| drain.part_of.is_some()) && kills(&world).is_empty()
    );
    world.pass(Duration::from_secs(2));
    assert_eq!(kills(&world).len(), 1);
}

#[test]
fn an_agent_that_is_away_is_drained_when_it_comes_back() {
    for silence in [1, 200] {
        let (mut world, _, _, key) = running();
        world.break_link(0);
        world.pass(Duration::from_secs(silence));
        let agent = drain(&mut world, at_once());
        world.pass(Duration::from_secs(10));
        assert!(!is_drained(&world, &agent), "nobody knows what it runs");
        assert_eq!(world.agents[0].drain, None);
        world.connect(0);
        assert_eq!(world.agents[0].drain, drain_of(&world, &agent), "it can say so itself");
        assert_eq!(world.agents[0].tasks[&key].kills, 1);
        world.update(0, &key, TaskState::Killed);
        acknowledge_all(&mut world, &key);
        assert!(is_drained(&world, &agent));
    }
}

#[test]
fn a_drain_can_be_called_off() {
    let (mut world, id, stream, key) = running();
    let agent = drain(&mut world, with_notice(600));
    assert!(world.agents[0].drain.is_some());
    world.take(&stream);
    world.agent_call(AgentCall::CancelDrain { agent: agent.clone() }).expect("taken");
    assert_eq!(world.agents[0].drain, None);
    assert!(matches!(world.take(&stream)[..], [SchedulerEvent::RescindInverseOffer(_)]));
    world.settle();
    assert_eq!(world.offers(&id).len(), 1);
    world.pass(Duration::from_secs(700));
    assert!(kills(&world).is_empty() && world.books().tasks[&key].is_live());
    let again = world.agent_call(AgentCall::CancelDrain { agent });
    assert!(matches!(again, Err(OperatorRefused::Conflict(_))), "{again:?}");
}

#[test]
fn an_agent_that_is_given_up_takes_its_tasks_with_it_for_good() {
    let (mut world, _, stream, key) = running();
    world.take(&stream);
    let agent = world.agent_id(0);
    world.records_at_once = false;
    world.agent_call(AgentCall::MarkGone { agent: agent.clone() }).expect("taken");
    assert_eq!(world.books().tasks[&key].phase, TaskPhase::Live, "not before it is durable");
    world.break_link(0);
    world.connect(0);
    assert!(world.agents[0].link.is_none(), "nor is it taken back meanwhile");
    world.records_at_once = true;
    world.record_all();
    let status = world.take_updates(&stream).remove(0);
    let said = (status.state, status.reason);
    assert_eq!(said, (TaskState::GoneByOperator, Some(Reason::AgentRemovedByOperator)));
    assert!(matches!(world.books().agents[&agent].state, AgentState::Gone { .. }));
    assert_eq!(world.agent_call(AgentCall::MarkGone { agent: agent.clone() }), Ok(None), "once is enough");
    for call in [AgentCall::Drain { agent: agent.clone(), order: at_once() }, AgentCall::Reactivate { agent }]
    {
        assert!(matches!(world.agent_call(call), Err(OperatorRefused::Conflict(_))));
    }
    let agent = AgentId::new("nobody").expect("valid");
    let unknown = world.agent_call(AgentCall::MarkGone { agent });
    assert_eq!(unknown, Err(OperatorRefused::NotFound("No agent found with ID nobody".to_owned())));
}

#[test]
fn one_that_is_to_be_gone_after_its_drain_is() {
    let (mut world, _, stream, key) = running();
    world.take(&stream);
    let agent = drain(&mut world, DrainOrder { mark_gone: true, ..at_once() });
    world.update(0, &key, TaskState::Killed);
    let status = world.take_updates(&stream).remove(0);
    assert_eq!((status.state, status.reason), (TaskState::GoneByOperator, Some(Reason::AgentDraining)));
    assert_eq!(world.registry.agents[&agent].standing, Standing::Admitted);
    acknowledge_all(&mut world, &key);
    assert!(matches!(world.registry.agents[&agent].standing, Standing::Gone { .. }));
    assert!(matches!(world.books().agents[&agent].state, AgentState::Gone { .. }));
}

#[test]
fn an_unanswered_offer_of_a_draining_agent_starts_nothing() {
    let (mut world, id, stream, _) = running();
    world.settle();
    let offer = world.offers(&id)[0].clone();
    drain(&mut world, with_notice(600));
    world.take(&stream);
    let task = crate::world::command_task("late", &world.agent_id(0), "cpus:0.1;mem:32");
    let operations = vec![chapada_master_core::Operation::Launch {
        tasks: vec![chapada_master_core::Proposal::Valid(Box::new(task))],
    }];
    let accept = chapada_master_core::Accept { offers: vec![offer], operations, filters: Default::default() };
    world.call(&id, Call::Accept(accept)).expect("accepted");
    assert_eq!(world.take_updates(&stream)[0].reason, Some(Reason::InvalidOffers));
    assert_eq!(world.agents[0].tasks.len(), 1);
}

/// So that `launch` and streams of others are seen not to matter.
#[test]
fn others_are_left_alone() {
    let (mut world, id, _, _) = running();
    world.add_agent("cpus:2;mem:1024");
    drain(&mut world, at_once());
    world.settle();
    let other: StreamId = world.framework(framework("g", &["*"])).1;
    let key = launch(&mut world, &id, "elsewhere", "cpus:0.5;mem:100");
    assert_eq!(world.books().tasks[&key].agent, world.agent_id(1));
    assert!(world.take(&other).iter().all(|event| !matches!(event, SchedulerEvent::InverseOffers(_))));
}
