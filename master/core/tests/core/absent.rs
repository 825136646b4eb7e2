//! Frameworks that come and go: what is kept of those that are away is bounded.

use std::time::Duration;

use chapada_master_core::Settings;

use crate::tasks::launch;
use crate::world::{World, framework};

#[test]
fn one_that_goes_before_it_heard_its_id_leaves_nothing() {
    let mut world = World::new();
    world.records_at_once = false;
    let stream = world.subscribe(framework("f", &["*"]));
    world.close(&stream);
    assert!(world.books().frameworks.is_empty());
    world.record_all();
    assert!(world.registry.frameworks.is_empty() && world.books().frameworks.is_empty());
    assert_eq!(world.master.unrecorded(), 0);
}

#[test]
fn of_those_that_are_away_and_hold_nothing_only_so_many_are_kept() {
    let settings = Settings { max_idle_frameworks: 3, ..Settings::new("m1") };
    let mut world = World::with_settings(settings);
    world.add_agent("cpus:4;mem:1024");
    let (holder, holds) = world.framework(framework("holder", &["*"]));
    world.settle();
    launch(&mut world, &holder, "t", "cpus:1");
    let (back, returns) = world.framework(framework("back", &["*"]));
    let description = (*world.books().frameworks[&back].description).clone();
    for stream in [holds, returns] {
        world.close(&stream);
        world.pass(Duration::from_millis(1));
    }
    world.subscribe(description);
    let mut others = Vec::new();
    for _ in 0..5 {
        let (id, stream) = world.framework(framework("other", &["*"]));
        world.close(&stream);
        world.pass(Duration::from_millis(1));
        others.push(id);
    }
    let books = world.books();
    let known: Vec<_> = others.iter().map(|id| books.frameworks.contains_key(id)).collect();
    assert_eq!(known, [false, false, true, true, true], "whoever was away longest goes");
    assert!(books.frameworks.contains_key(&holder), "it holds something");
    assert!(books.frameworks.contains_key(&back), "it is here");
    assert_eq!(world.registry.frameworks.len(), 5, "the registry forgets them, too");
}
