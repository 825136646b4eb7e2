//! Updates: logged, sent, repeated, acknowledged.

use std::time::Duration;

use chapada_model::TaskState as S;

use super::world::*;
use crate::*;

#[test]
fn nothing_is_sent_before_it_is_on_disk() {
    let mut world = World::registered();
    world.fast_disk = false;
    let container = world.launch("t");
    world.start(&container);
    assert!(world.sent.is_empty());
    world.sync();
    assert_eq!(world.states("t"), [S::Starting, S::Running]);
}

#[test]
fn later_updates_do_not_wait_for_acknowledgements() {
    let mut world = World::registered();
    let container = world.run("t");
    world.exit(&container, exit(0));
    assert_eq!(world.states("t"), [S::Starting, S::Running, S::Finished]);
}

#[test]
fn what_is_not_acknowledged_is_repeated_with_doubling_waits() {
    let mut world = World::registered();
    world.run("t");
    let first = world.sent[0].clone();
    world.acknowledge(&first.0, &first.1);
    world.sent.clear();
    world.pass(FIRST_REPEAT);
    assert_eq!(world.states("t"), [S::Running], "from the first unacknowledged");
    world.pass(FIRST_REPEAT);
    assert_eq!(world.sent.len(), 1);
    world.pass(FIRST_REPEAT);
    assert_eq!(world.sent.len(), 2);
    let mut waits = 0;
    while world.agent.next_deadline().unwrap().since(world.now.mono) < LAST_REPEAT {
        world.pass(Duration::from_secs(10));
        waits += 1;
        assert!(waits < 200, "the wait never grew to its limit");
    }
}

#[test]
fn a_renewed_link_repeats_at_once() {
    let mut world = World::registered();
    world.run("t");
    world.apply(Event::LinkLost);
    world.sent.clear();
    world.pass(FIRST_REPEAT);
    assert!(world.sent.is_empty());
    world.register(1);
    assert_eq!(world.states("t"), [S::Starting, S::Running]);
}

#[test]
fn acknowledgements_may_swap() {
    let mut world = World::registered();
    let container = world.run("t");
    world.exit(&container, exit(0));
    for (task, update) in world.sent.clone().into_iter().rev() {
        world.acknowledge(&task, &update);
    }
    assert!(world.agent.view().tasks.is_empty());
}

#[test]
fn an_acknowledgement_of_nothing_changes_nothing() {
    let mut world = World::registered();
    world.run("t");
    let before = world.agent.records();
    world.command(Command::Acknowledge { task: key("t"), uuid: chapada_model::UpdateUuid([9; 16]) });
    world.command(Command::Acknowledge { task: key("u"), uuid: chapada_model::UpdateUuid([9; 16]) });
    assert_eq!(world.agent.records(), before);
}
