//! Many offers for many instances: used in parts, so that nobody waits for all of them.

use std::collections::BTreeMap;

use chapada_model::{Milli, Mono, Now, Resource, Resources, Role, Wall};
use chapada_services_core::{Command, Effect, Event, Offer, Seed, Services};
use serde_json::json;

const NOW: Now = Now { mono: Mono(1), wall: Wall(1_000_000_000_000_000_000) };

/// A core with a quick store, and what it has answered to each offer.
struct Bed {
    services: Services,
    /// How many tasks were launched with each offer; none when it was declined.
    answered: BTreeMap<String, usize>,
}

impl Bed {
    fn new() -> Self {
        let mut bed =
            Self { services: Services::new(Role::star(), Seed::new(1, 1)), answered: BTreeMap::new() };
        bed.apply(Event::Subscribed);
        bed
    }

    fn create(&mut self, id: &str, instances: usize, cpus: f64) {
        let app = json!({"id": id, "cmd": "x", "cpus": cpus, "mem": 1, "instances": instances, "portDefinitions": []});
        let definition = app.as_object().expect("an object").clone();
        self.apply(Event::Command { request: 1, command: Command::Create { definition, force: false } });
    }

    /// How many tasks this launched.
    fn apply(&mut self, event: Event) -> usize {
        let mut launched = 0;
        for effect in self.services.apply(NOW, event) {
            launched += match effect {
                Effect::Store { number, .. } => self.apply(Event::Stored(number)),
                Effect::Decline { offer, .. } => self.answer(offer.as_str(), 0),
                Effect::Launch { offer, tasks, .. } => self.answer(offer.as_str(), tasks.len()),
                _ => 0,
            };
        }
        launched
    }

    fn answer(&mut self, offer: &str, tasks: usize) -> usize {
        assert_eq!(self.answered.insert(offer.to_owned(), tasks), None, "{offer} was answered twice");
        tasks
    }

    fn offer(&mut self, count: usize, cpus: u64) -> usize {
        let offer = |number: usize| {
            let all =
                [Resource::scalar("cpus", Milli::whole(cpus)), Resource::scalar("mem", Milli::whole(8_192))];
            let (id, agent) = (format!("o{number}"), format!("a{number}"));
            let resources = Resources::from_list(all).expect("whole amounts");
            Offer::new(id.parse().expect("an id"), agent.parse().expect("an id"), "host", resources)
        };
        self.apply(Event::Offers((0..count).map(offer).collect()))
    }

    /// Goes on while something is due at once; how many tasks each time launched.
    fn go_on(&mut self) -> Vec<usize> {
        let mut launched = Vec::new();
        while self.services.next_deadline().is_some_and(|at| at <= NOW.mono) {
            launched.push(self.apply(Event::Tick));
        }
        launched
    }
}

#[test]
fn what_takes_long_is_done_in_parts_and_all_agents_are_filled_alike() {
    let mut bed = Bed::new();
    bed.create("/many", 3_000, 0.1);
    let first = bed.offer(100, 100);
    let parts = bed.go_on();
    assert!(
        !parts.is_empty() && parts.iter().chain([&first]).all(|part| *part <= 2_048),
        "{first} {parts:?}"
    );
    assert_eq!(bed.answered.len(), 100, "each is answered");
    assert!(bed.answered.values().all(|tasks| *tasks == 30), "{:?}", bed.answered);
}

#[test]
fn few_instances_are_spread_over_all_that_is_offered() {
    let mut bed = Bed::new();
    bed.create("/few", 500, 0.1);
    assert_eq!(bed.offer(500, 100), 500);
    assert!(bed.go_on().is_empty());
    assert!(bed.answered.values().all(|tasks| *tasks == 1), "{:?}", bed.answered);
}

#[test]
fn offers_of_a_subscription_that_is_over_are_forgotten() {
    let mut bed = Bed::new();
    bed.create("/many", 3_000, 0.1);
    bed.offer(100, 100);
    let answered = bed.answered.len();
    for event in [Event::Disconnected, Event::Tick, Event::Subscribed, Event::Tick] {
        assert_eq!(bed.apply(event), 0);
    }
    assert_eq!(bed.answered.len(), answered);
}

#[test]
fn apps_that_need_the_same_hear_the_same_reasons() {
    let mut bed = Bed::new();
    for id in ["/first", "/second"] {
        bed.create(id, 1, 2.0);
    }
    bed.create("/small", 1, 1.0);
    assert_eq!(bed.offer(10, 1), 1, "that of the small one");
    let funnel = |id: &str| {
        let app = bed.services.app(&id.parse().expect("an id")).expect("it is there");
        (app.funnel.whole.clone(), app.funnel.unused, app.funnel.last.clone())
    };
    assert_eq!(funnel("/first"), funnel("/second"));
    assert_eq!(funnel("/first").1, 10);
}
