//! Agents that are to be left: instances move before somebody ends them, within the app's upgrade strategy.

use std::time::Duration;

use chapada_model::{TaskState, Unavailability, Wall};
use chapada_services_core::{AppId, Command, Event, Goal, Update};
use serde_json::{Value, json};

use super::world::{AGENTS, World};

fn app() -> AppId {
    "/web".parse().expect("a path")
}

/// An app that runs with so many instances, spread over all agents.
fn running(instances: u32, least: f64, over: f64, more: Value) -> World {
    let mut world = World::new();
    world.subscribe();
    let mut fields = json!({
        "cmd": "serve", "instances": instances, "cpus": 1, "mem": 64,
        "constraints": [["hostname", "GROUP_BY"]],
        "upgradeStrategy": {"minimumHealthCapacity": least, "maximumOverCapacity": over},
    });
    let fields = fields.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("an object").clone());
    let update = Update { app: app(), fields: fields.clone(), partial: true, create: true };
    world.command(Command::Update { updates: vec![update], force: false });
    world.calm_down();
    assert_eq!(world.running(&app()), instances as usize);
    world
}

/// One after another everything that can happen in a cluster that works; what each step must hold is held by the world.
fn go_on(world: &mut World) {
    world.store(usize::MAX);
    (0..AGENTS).for_each(|agent| world.offer(agent));
    world.store(usize::MAX);
    for pick in 0..world.live() {
        world.task_moves(pick, TaskState::Running);
    }
    // Offers are not asked for more often.
    world.wait(Duration::from_secs(5));
}

fn good(world: &World) -> usize {
    let state = world.services.app(&app()).expect("it is there");
    state.instances.values().filter(|one| one.goal == Goal::Run && one.is_good()).count()
}

fn on(world: &World, agent: usize) -> usize {
    let name = format!("agent-{agent}");
    let state = world.services.app(&app()).expect("it is there");
    state.tasks().filter(|task| task.agent.as_str() == name).count()
}

#[test]
fn replacements_come_first_and_no_more_of_them_than_the_strategy_allows() {
    for (instances, least, over) in [(4, 1.0, 0.0), (4, 1.0, 0.5), (5, 0.5, 0.2), (3, 1.0, 1.0)] {
        let mut world = running(instances, least, over, json!({}));
        assert!(on(&world, 0) > 0);
        world.leave(0);
        for _ in 0..20 {
            go_on(&mut world);
            assert!(
                good(&world) >= instances as usize,
                "{} of {instances} for {least}, {over}",
                good(&world)
            );
        }
        assert_eq!((on(&world, 0), world.running(&app())), (0, instances as usize));
    }
}

#[test]
fn without_room_for_more_as_many_go_before_as_may() {
    let mut world = running(4, 0.5, 0.0, json!({}));
    world.leave(0);
    let mut fewest = 4;
    for _ in 0..20 {
        fewest = fewest.min(good(&world));
        go_on(&mut world);
    }
    assert!((2..4).contains(&fewest), "{fewest}");
    assert_eq!((on(&world, 0), good(&world)), (0, 4));
}

#[test]
fn a_replacement_has_to_say_that_it_is_ready() {
    let checks = json!({
        "portDefinitions": [{"port": 0, "name": "http"}],
        "readinessChecks": [{"portName": "http", "path": "/ready", "intervalSeconds": 2, "timeoutSeconds": 1}],
    });
    let mut world = running(3, 1.0, 0.0, checks);
    world.leave(0);
    let before = on(&world, 0);
    for _ in 0..5 {
        go_on(&mut world);
        world.wait(Duration::from_secs(2));
        world.leave(0);
        assert_eq!((good(&world), on(&world, 0)), (3, before), "nobody has said so");
    }
    for _ in 0..10 {
        world.answer_ready(true);
        go_on(&mut world);
        world.wait(Duration::from_secs(2));
        world.leave(0);
        assert!(good(&world) >= 3);
    }
    assert_eq!((on(&world, 0), good(&world)), (0, 3));
}

#[test]
fn what_is_not_asked_again_is_forgotten_and_an_offer_ends_it_at_once() {
    let mut world = running(3, 1.0, 0.0, json!({}));
    let before = on(&world, 0);
    world.leave(0);
    world.wait(Duration::from_secs(200));
    world.may_stay(0);
    for _ in 0..5 {
        go_on(&mut world);
    }
    assert_eq!((on(&world, 0), world.running(&app())), (before, 3));
}

#[test]
fn a_machine_that_goes_for_a_while_is_left_an_hour_before() {
    let mut world = running(3, 1.0, 0.0, json!({}));
    let before = on(&world, 0);
    let hour = Duration::from_secs(3_600);
    let away = Unavailability { start: Wall(1_000_000_000_000_000_000) + 3 * hour, duration: Some(hour) };
    let ask = |world: &mut World| {
        world.apply(Event::AskedToLeave(vec![("agent-0".parse().expect("an id"), away)]));
    };
    ask(&mut world);
    go_on(&mut world);
    assert_eq!(on(&world, 0), before, "it is early");
    world.wait(2 * hour);
    world.set_leaving(0);
    ask(&mut world);
    for _ in 0..10 {
        go_on(&mut world);
    }
    assert_eq!(on(&world, 0), 0);
}
