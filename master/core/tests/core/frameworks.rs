//! How frameworks come, return, leave and are removed; and who may call.

use std::time::Duration;

use chapada_master_core::{
    AgentCommand, Call, CallRefused, Caller, Constraint, ErrorCode, Event, FrameworkState, OfferConstraints,
    SchedulerEvent, StreamId,
};
use chapada_model::{FrameworkId, Role, TaskState};

use crate::tasks::running;
use crate::world::{World, framework};

#[test]
fn ids_are_the_masters_and_count_up() {
    let mut world = World::new();
    let (first, _) = world.framework(framework("f", &["*"]));
    let (second, _) = world.framework(framework("g", &["*"]));
    assert_eq!((first.as_str(), second.as_str()), ("m1-0000", "m1-0001"));
}

#[test]
fn nobody_is_subscribed_before_the_registry_has_it() {
    let mut world = World::new();
    world.records_at_once = false;
    let stream = world.subscribe(framework("f", &["*"]));
    assert!(world.take(&stream).is_empty());
    let id = world.books().frameworks.keys().next().expect("known").clone();
    let caller = Caller { framework: id, stream: Some(stream.clone()), principal: None };
    assert_eq!(world.call_as(&caller, Call::Revive { roles: vec![] }), Err(CallRefused::NotSubscribed));
    world.record_all();
    assert_eq!(world.take(&stream), [SchedulerEvent::Subscribed]);
}

#[test]
fn a_second_subscription_cuts_the_first_and_tells_it() {
    let (mut world, id, old, key) = running();
    world.take(&old);
    let description = (*world.books().frameworks[&id].description).clone();
    let new = world.subscribe(description);
    let (code, message) = (ErrorCode::FrameworkFailedOver, "Framework failed over".into());
    assert!(world.take(&old).contains(&SchedulerEvent::Error { code, message }));
    assert!(!world.streams.contains_key(&old));
    let events = world.take(&new);
    assert_eq!(events[0], SchedulerEvent::Subscribed);
    assert!(matches!(&events[1], SchedulerEvent::Update(status) if status.task == key.task), "{events:?}");
    let stale = Caller { framework: id.clone(), stream: Some(old), principal: None };
    assert!(matches!(
        world.call_as(&stale, Call::Revive { roles: vec![] }),
        Err(CallRefused::StreamIdDiffers { .. })
    ));
    world.settle();
    assert_eq!(world.offers(&id).len(), 1, "its old offers are gone, and it has one of the rest");
}

#[test]
fn callers_are_checked_in_the_order_that_clients_know() {
    let mut world = World::new();
    let mut description = framework("f", &["*"]);
    description.principal = Some("owner".into());
    let (id, stream) = world.framework(description);
    let revive = || Call::Revive { roles: vec![] };
    let caller = |framework: &FrameworkId, stream: Option<&StreamId>, principal: Option<&str>| Caller {
        framework: framework.clone(),
        stream: stream.cloned(),
        principal: principal.map(Into::into),
    };
    let nobody = FrameworkId::new("nobody").expect("valid");
    assert_eq!(world.call_as(&caller(&nobody, None, None), revive()), Err(CallRefused::UnknownFramework));
    let other = caller(&id, None, Some("thief"));
    assert!(matches!(world.call_as(&other, revive()), Err(CallRefused::PrincipalDiffers { .. })));
    assert_eq!(world.call_as(&caller(&id, None, None), revive()), Err(CallRefused::StreamIdMissing));
    assert_eq!(world.call_as(&caller(&id, Some(&stream), Some("owner")), revive()), Ok(()));
    world.close(&stream);
    assert_eq!(world.call_as(&caller(&id, Some(&stream), None), revive()), Err(CallRefused::NotSubscribed));
}

#[test]
fn nothing_is_ended_for_a_removal_that_is_not_durable() {
    let (mut world, id, stream, _) = running();
    world.close(&stream);
    world.records_at_once = false;
    world.pass(Duration::from_secs(60));
    let end = AgentCommand::ShutdownFramework { framework: id };
    assert!(!world.agents[0].commands.contains(&end), "the leader may have been deposed");
    world.record_all();
    assert!(world.agents[0].commands.contains(&end));
}

#[test]
fn one_that_stays_away_too_long_is_removed_and_its_tasks_are_ended() {
    let (mut world, id, stream, key) = running();
    world.close(&stream);
    assert!(world.books().offers.is_empty());
    world.pass(Duration::from_secs(59));
    assert!(world.books().frameworks.contains_key(&id));
    world.pass(Duration::from_secs(1));
    let books = world.books();
    assert!(!books.frameworks.contains_key(&id));
    assert!(matches!(books.completed_frameworks[0].state, FrameworkState::Completed { .. }));
    let end = AgentCommand::ShutdownFramework { framework: id.clone() };
    assert!(world.agents[0].commands.contains(&end));
    assert!(world.registry.frameworks[&id].removed.is_some(), "the agent has not confirmed");
    assert_eq!(books.agents[&world.agent_id(0)].used.cpus(), chapada_model::Milli(500), "it still runs");
    world.update(0, &key, TaskState::Killed);
    assert!(!world.registry.frameworks.contains_key(&id));
    assert_eq!(world.books().completed_tasks[&id][0].state, TaskState::Killed);
    assert!(world.agents[0].tasks.is_empty(), "the master acknowledges for those who are gone");
}

#[test]
fn a_removed_framework_cannot_come_back() {
    let (mut world, id, stream, _) = running();
    world.take(&stream);
    let description = (*world.books().frameworks[&id].description).clone();
    world.call(&id, Call::Teardown).expect("accepted");
    assert!(!world.streams.contains_key(&stream));
    assert_eq!(world.take(&stream), [], "who asked for it is not told");
    world.subscribe(description);
    assert_eq!(world.refused_streams, ["Framework has been removed"]);
}

#[test]
fn a_framework_that_an_operator_removes_is_told() {
    let (mut world, id, stream, _) = running();
    world.take(&stream);
    world.apply(Event::TeardownFramework { framework: id });
    assert!(!world.streams.contains_key(&stream));
    let (code, message) = (ErrorCode::FrameworkRemoved, "Framework has been removed".into());
    let error = SchedulerEvent::Error { code, message };
    assert_eq!(world.take(&stream), [error]);
}

#[test]
fn a_new_leader_gives_everyone_time_to_come_back() {
    let mut world = World::new();
    let mut description = framework("f", &["*"]);
    description.failover_timeout = Duration::ZERO;
    let (subscribed, _) = world.framework(description);
    let (away, stream) = world.framework(framework("g", &["*"]));
    world.close(&stream);
    world.fail_over();
    world.pass(Duration::from_secs(59));
    assert_eq!(world.books().frameworks.len(), 2);
    world.pass(Duration::from_secs(1));
    assert!(!world.books().frameworks.contains_key(&away), "its minute is over, counted anew");
    assert!(world.books().frameworks.contains_key(&subscribed));
    world.pass(Duration::from_secs(15));
    assert!(world.books().frameworks.is_empty());
}

#[test]
fn roles_and_principal_are_checked_before_anything_is_kept() {
    let mut world = World::new();
    world.subscribe(framework("f", &["a", "a"]));
    let (id, _) = world.framework(framework("f", &["a"]));
    let mut changed = (*world.books().frameworks[&id].description).clone();
    changed.principal = Some("other".into());
    world.subscribe(changed);
    assert_eq!(world.refused_streams[0], "'FrameworkInfo.roles' contains duplicate items: { a }");
    assert!(world.refused_streams[1].contains("principal"));
    assert_eq!(world.books().frameworks.len(), 1);
}

#[test]
fn an_update_of_the_framework_is_all_or_nothing() {
    let (mut world, id, _, _) = running();
    world.settle();
    let known = (*world.books().frameworks[&id].description).clone();
    let bad = chapada_model::FrameworkDescription { user: "other".into(), roles: vec![], ..known.clone() };
    let refused = world.call(
        &id,
        Call::UpdateFramework { description: bad, suppressed: vec![], constraints: Default::default() },
    );
    let message = "FrameworkInfo update is not valid: Updating 'FrameworkInfo.user' is unsupported; attempted to update \
                   from 'root' to 'other'";
    assert_eq!(refused, Err(CallRefused::Invalid(message.to_owned())));
    assert_eq!(*world.books().frameworks[&id].description, known);
    let role = Role::new("ops").expect("valid");
    let good =
        chapada_model::FrameworkDescription { name: "renamed".into(), roles: vec![role.clone()], ..known };
    world
        .call(
            &id,
            Call::UpdateFramework { description: good, suppressed: vec![], constraints: Default::default() },
        )
        .expect("accepted");
    world.settle();
    assert!(
        world.books().offers_of(&id).all(|offer| offer.role == role),
        "offers of the old role are rescinded"
    );
    assert_eq!(&*world.registry.frameworks[&id].description.name, "renamed");
}

#[test]
fn suppress_ends_offers_until_revive() {
    let mut world = World::new();
    let (id, _) = world.framework(framework("f", &["*"]));
    world.call(&id, Call::Suppress { roles: vec![] }).expect("accepted");
    world.add_agent("cpus:1;mem:64");
    world.settle();
    assert!(world.offers(&id).is_empty());
    world.call(&id, Call::Revive { roles: vec![] }).expect("accepted");
    world.settle();
    assert_eq!(world.offers(&id).len(), 1);
}

#[test]
fn a_thousand_that_come_and_go_leave_only_what_is_bounded() {
    let mut world = World::new();
    for _ in 0..1_000 {
        let mut description = framework("f", &["a/b", "c"]);
        description.failover_timeout = Duration::ZERO;
        let stream = world.subscribe(description);
        world.close(&stream);
        world.pass(Duration::from_millis(1));
    }
    assert_eq!(world.books().frameworks.len(), 0);
    assert!(world.registry.frameworks.is_empty());
    assert_eq!(world.master.unrecorded(), 0);
}

fn only(role: &str, hostname: &str) -> std::sync::Arc<OfferConstraints> {
    let constraint = Constraint {
        subject: chapada_master_core::Subject::Hostname,
        predicate: chapada_master_core::Predicate::TextEquals(hostname.into()),
    };
    let said = [(role.parse().expect("valid"), vec![vec![constraint]])].into();
    std::sync::Arc::new(OfferConstraints::new(said, &chapada_master_core::Expressions::new()).expect("valid"))
}

#[test]
fn constraints_leave_agents_out_and_change_as_a_whole_or_not_at_all() {
    let mut world = World::new();
    world.add_agent("cpus:1;mem:64");
    world.add_agent("cpus:1;mem:64");
    let (id, stream) = world.framework(framework("f", &["ops"]));
    let description = (*world.books().frameworks[&id].description).clone();
    let update = |world: &mut World, constraints| {
        let description = description.clone();
        world.call(&id, Call::UpdateFramework { description, suppressed: vec![], constraints })
    };
    let refused = update(&mut world, only("other", "host0")).expect_err("the role is not its own");
    assert!(refused.to_string().contains("Offer constraints are given for role 'other'"), "{refused}");
    assert_eq!(*world.books().frameworks[&id].constraints, OfferConstraints::default());
    update(&mut world, only("ops", "host1")).expect("accepted");
    world.settle();
    let hosts: Vec<_> = world.books().offers_of(&id).map(|offer| offer.host.hostname.to_string()).collect();
    assert_eq!(hosts, ["host1"]);
    update(&mut world, only("ops", "host0")).expect("accepted");
    world.settle();
    assert_eq!(world.offers(&id).len(), 2, "what is offered already stays offered");
    world.take(&stream);
    update(&mut world, std::sync::Arc::default()).expect("accepted");
    assert!(world.take(&stream).is_empty());
}

#[test]
fn a_role_that_is_suppressed_no_more_has_forgotten_what_it_refused() {
    let mut world = World::new();
    world.add_agent("cpus:1;mem:64");
    let (id, _) = world.framework(framework("f", &["ops"]));
    world.settle();
    let offers = world.offers(&id);
    let filters = chapada_model::Filters { refuse: Duration::from_secs(3_600) };
    world.call(&id, Call::Decline { offers, filters }).expect("accepted");
    let description = (*world.books().frameworks[&id].description).clone();
    for suppressed in [vec!["ops".parse().expect("valid")], vec![]] {
        let (description, constraints) = (description.clone(), std::sync::Arc::default());
        world.call(&id, Call::UpdateFramework { description, suppressed, constraints }).expect("accepted");
        world.settle();
    }
    assert_eq!(world.offers(&id).len(), 1);
}
