//! Maintenance: what is refused, who is asked to leave and when again, what becomes of machines that are down.

use std::time::Duration;

use chapada_master_core::{
    AgentCommand, AgentState, Call, InverseOffer, MAX_MACHINES_PER_CALL, MaintenanceCall, MaintenanceWindow,
    OperatorRefused, SchedulerEvent, Standing, StreamId, TaskPhase, Ticket,
};
use chapada_model::{Filters, FrameworkId, MachineId, TaskState, Unavailability, Wall};

use crate::tasks::{launch, running};
use crate::world::{World, framework};

impl World {
    /// An operator asks for maintenance; the ticket it waits for.
    pub(crate) fn maintenance(&mut self, call: MaintenanceCall) -> Result<Option<Ticket>, OperatorRefused> {
        let (before, text) = (self.books(), format!("{call:?}"));
        let verdict = self.master.apply_maintenance(self.now, call);
        let (effects, verdict) = match verdict {
            Ok((effects, ticket)) => (effects, Ok(ticket)),
            Err(refused) => (Vec::new(), Err(refused)),
        };
        self.after(&before, effects, &text);
        verdict
    }
}

pub(crate) fn machine(name: &str) -> MachineId {
    name.parse().expect("a machine")
}

pub(crate) fn window(start: u64, machines: &[&str]) -> MaintenanceWindow {
    let unavailability = Unavailability { start: Wall(start), duration: Some(Duration::from_secs(60)) };
    MaintenanceWindow { machines: machines.iter().map(|name| machine(name)).collect(), unavailability }
}

fn schedule(windows: &[(u64, &[&str])]) -> MaintenanceCall {
    MaintenanceCall::UpdateSchedule {
        windows: windows.iter().map(|(at, named)| window(*at, named)).collect(),
    }
}

fn start(machines: &[&str]) -> MaintenanceCall {
    MaintenanceCall::Start { machines: machines.iter().map(|name| machine(name)).collect() }
}

fn stop(machines: &[&str]) -> MaintenanceCall {
    MaintenanceCall::Stop { machines: machines.iter().map(|name| machine(name)).collect() }
}

/// What a stream was asked to leave since the last time.
fn asked(world: &mut World, stream: &StreamId) -> Vec<InverseOffer> {
    let events = world.take(stream).into_iter();
    let offers = events.filter_map(|event| match event {
        SchedulerEvent::InverseOffers(offers) => Some(offers),
        _ => None,
    });
    offers.flatten().map(|offer| (*offer).clone()).collect()
}

fn answer(world: &mut World, id: &FrameworkId, offer: &InverseOffer, will_leave: bool, refuse: u64) {
    let filters = Filters { refuse: Duration::from_secs(refuse) };
    let call = Call::AnswerInverse { offers: vec![offer.id.clone()], will_leave, filters };
    world.call(id, call).expect("taken");
}

#[test]
fn each_rule_has_its_own_words() {
    let mut world = World::new();
    world.maintenance(schedule(&[(1, &["a", "b"]), (2, &["/10.0.0.1"])])).expect("taken");
    world.maintenance(start(&["a"])).expect("taken");
    let many = (0..=MAX_MACHINES_PER_CALL).map(|n| machine(&format!("m{n}"))).collect();
    let many = MaintenanceWindow { machines: many, ..window(1, &["a"]) };
    let cases = [
        (
            schedule(&[(1, &[])]),
            "List of machines in the maintenance window is empty: name some, or leave the window out",
        ),
        (
            schedule(&[(1, &["a", "b"]), (2, &["B"])]),
            "Machine 'b/' appears more than once in the schedule: name it in one window",
        ),
        (
            schedule(&[(1, &["b"])]),
            "Machine 'a/' is deactivated and cannot be removed from the schedule: bring it up first (STOP_MAINTENANCE)",
        ),
        (
            MaintenanceCall::UpdateSchedule { windows: vec![many, window(2, &["a"])] },
            "machines change in one call, at most 500: make several",
        ),
        (start(&[]), "List of machines is empty: name some"),
        (start(&["b", "B"]), "Machine 'b/' appears more than once: name it once"),
        (
            start(&["b", "c"]),
            "Machine 'c/' is not part of a maintenance schedule: put it there first (UPDATE_MAINTENANCE_SCHEDULE)",
        ),
        (
            start(&["b", "a"]),
            "Machine 'a/' is not in DRAINING mode and cannot be brought down: it is down already",
        ),
        (stop(&[]), "List of machines is empty: name some"),
        (
            stop(&["a", "b"]),
            "Machine 'b/' is not in DOWN mode and cannot be brought up: leave it out of the schedule instead (UPDATE_MAINTENANCE_SCHEDULE)",
        ),
        (stop(&["c"]), "Machine 'c/' is not part of a maintenance schedule: it is up already"),
    ];
    for (call, why) in cases {
        let before = world.books().machines;
        let refused = world.maintenance(call.clone()).map_err(|refused| refused.to_string());
        assert!(refused.as_ref().is_err_and(|said| said.contains(why)), "{call:?}: {refused:?}");
        assert_eq!(world.books().machines, before, "{call:?}");
    }
    assert_eq!(world.maintenance(schedule(&[(1, &["a", "b"]), (2, &["/10.0.0.1"])])), Ok(None), "no change");
}

#[test]
fn a_schedule_is_in_force_once_it_is_durable_and_a_new_leader_has_it() {
    let mut world = World::new();
    world.maintenance(schedule(&[(1, &["a", "b"])])).expect("taken");
    world.maintenance(start(&["a"])).expect("taken");
    world.records_at_once = false;
    let ticket = world.maintenance(schedule(&[(1, &["a"])])).expect("taken");
    assert!(ticket.is_some() && world.books().machines.len() == 2);
    assert!(world.maintenance(start(&["b"])).is_err(), "it is on its way out");
    world.fail_over();
    let books = world.books();
    let modes: Vec<_> =
        books.machines.iter().map(|(id, machine)| (id.to_string(), machine.is_down)).collect();
    assert_eq!(
        modes,
        [("a/".to_owned(), true), ("b/".to_owned(), false)],
        "what was not durable was not said"
    );
}

#[test]
fn offers_are_taken_back_and_made_again_with_the_time_the_machine_goes() {
    let (mut world, id, stream, _) = running();
    world.settle();
    let offer = world.offers(&id)[0].clone();
    assert_eq!(world.books().offers[&offer].unavailability, None);
    world.take(&stream);
    world.maintenance(schedule(&[(7, &["HOST0"]), (7, &["other"])])).expect("taken");
    assert_eq!(world.take(&stream)[0], SchedulerEvent::Rescind(offer));
    world.settle();
    let start = |world: &World| world.books().offers_of(&id).next().and_then(|offer| offer.unavailability);
    assert_eq!(start(&world).map(|u| u.start), Some(Wall(7)));
    world.maintenance(schedule(&[(7, &["other"])])).expect("taken");
    world.settle();
    assert!(start(&world).is_none() && world.offers(&id).len() == 1);
}

#[test]
fn who_has_something_there_is_asked_once_and_again_when_its_filter_has_passed() {
    let (mut world, id, stream, key) = running();
    let (_, idle) = world.framework(framework("idle", &["*"]));
    world.take(&stream);
    world.maintenance(schedule(&[(7, &["host0"])])).expect("taken");
    world.pass(Duration::from_secs(60));
    let first = asked(&mut world, &stream);
    assert_eq!(first.len(), 1, "once, however long it says nothing");
    assert_eq!((first[0].agent.clone(), first[0].unavailability.start), (world.agent_id(0), Wall(7)));
    assert!(asked(&mut world, &idle).is_empty(), "it has nothing there");
    world.close(&idle);
    world.pass(Duration::from_secs(1));

    answer(&mut world, &id, &first[0], false, 10);
    let said = world.books().inverse_answers[&world.agent_id(0)][&id];
    assert!(!said.will_leave && said.at == world.now.wall);
    let other = launch(&mut world, &id, "u", "cpus:0.1;mem:32");
    assert!(world.books().tasks.contains_key(&other), "it is launched");
    world.pass(Duration::from_secs(9));
    assert!(asked(&mut world, &stream).is_empty(), "not sooner, whatever it launches");
    world.update(0, &other, TaskState::Finished);
    world.pass(Duration::from_secs(2));
    let second = asked(&mut world, &stream);
    assert!(second.len() == 1 && second[0].id != first[0].id);

    answer(&mut world, &id, &first[0], true, 0);
    assert!(world.dropped.iter().any(|line| line.contains("not valid")), "the first is answered already");
    answer(&mut world, &id, &second[0], true, 0);
    assert!(world.books().inverse_answers[&world.agent_id(0)][&id].will_leave);
    world.update(0, &key, TaskState::Finished);
    world.pass(Duration::from_secs(5));
    assert!(asked(&mut world, &stream).is_empty(), "nothing of it is left there");
}

#[test]
fn who_launches_on_a_machine_that_goes_is_asked() {
    let mut world = World::new();
    world.add_agent("cpus:2;mem:1024");
    let (id, stream) = world.framework(framework("f", &["*"]));
    world.maintenance(schedule(&[(7, &["host0"])])).expect("taken");
    world.settle();
    assert!(asked(&mut world, &stream).is_empty());
    launch(&mut world, &id, "t", "cpus:0.5;mem:100");
    assert_eq!(asked(&mut world, &stream).len(), 1);
}

#[test]
fn who_was_asked_hears_that_it_need_not_leave() {
    let changes: [fn(&mut World); 3] = [
        |world| assert!(world.maintenance(schedule(&[])).is_ok()),
        |world| assert!(world.maintenance(schedule(&[(8, &["host0"])])).is_ok()),
        |world| world.break_link(0),
    ];
    for change in changes {
        let (mut world, _, stream, _) = running();
        world.maintenance(schedule(&[(7, &["host0"])])).expect("taken");
        let offer = asked(&mut world, &stream).remove(0);
        change(&mut world);
        let told = world.take(&stream);
        assert!(told.contains(&SchedulerEvent::RescindInverseOffer(offer.id)), "{told:?}");
    }
}

#[test]
fn who_comes_back_is_asked_again_and_who_left_for_good_is_forgotten() {
    let (mut world, id, stream, _) = running();
    world.maintenance(schedule(&[(7, &["host0"])])).expect("taken");
    let offer = asked(&mut world, &stream).remove(0);
    let description = (*world.books().frameworks[&id].description).clone();
    let again = world.subscribe(description);
    let second = asked(&mut world, &again).remove(0);
    assert_ne!(offer.id, second.id);
    answer(&mut world, &id, &second, true, 0);
    world.call(&id, Call::Teardown).expect("taken");
    assert!(world.books().inverse_answers.is_empty() && world.books().inverse_offers.is_empty());
}

#[test]
fn agents_of_a_machine_that_is_down_are_gone_and_none_registers_until_it_is_up() {
    let (mut world, _, stream, key) = running();
    world.maintenance(schedule(&[(7, &["host0"])])).expect("taken");
    world.take(&stream);
    world.records_at_once = false;
    world.maintenance(start(&["host0"])).expect("taken");
    assert_eq!(world.books().tasks[&key].phase, TaskPhase::Live, "not before it is durable");
    world.records_at_once = true;
    world.record_all();
    let agent = world.agent_id(0);
    assert_eq!(world.take_updates(&stream)[0].state, TaskState::Gone);
    assert!(matches!(world.books().agents[&agent].state, AgentState::Gone { .. }));
    assert!(matches!(world.registry.agents[&agent].standing, Standing::Gone { .. }));
    assert!(world.agents[0].link.is_none(), "it was told, and its link ended");

    world.connect(0);
    assert!(!world.agents[0].is_welcome);
    world.agents[0].description.id = None;
    world.connect(0);
    assert!(!world.agents[0].is_welcome, "nor as a new one");
    world.maintenance(stop(&["HOST0"])).expect("taken");
    assert!(world.books().machines.is_empty() && world.registry.machines.is_empty());
    world.connect(0);
    assert!(world.agents[0].is_welcome);
}

/// Of tasks on an agent that nobody hears, too.
#[test]
fn agents_that_are_away_when_their_machine_goes_down_are_gone() {
    for silence in [1, 200] {
        let (mut world, _, stream, _) = running();
        world.break_link(0);
        world.pass(Duration::from_secs(silence));
        world.take(&stream);
        world.maintenance(schedule(&[(7, &["host0"])])).expect("taken");
        world.maintenance(start(&["host0"])).expect("taken");
        assert_eq!(world.take_updates(&stream)[0].state, TaskState::Gone);
        world.connect(0);
        let is_gone = |command: &AgentCommand| matches!(command, AgentCommand::Refused { .. });
        assert!(!world.agents[0].is_welcome && world.agents[0].commands.iter().any(is_gone));
    }
}
