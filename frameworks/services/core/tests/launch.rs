//! What a task is told by its launch that its definition alone does not say.

use chapada_model::{Milli, Mono, Now, Range, Ranges, Resource, Resources, Role, Wall};
use chapada_services_core::{Command, Effect, Event, Launch, LaunchValue, Offer, Seed, Services, Settings};
use serde_json::json;

fn launch(settings: Settings, id: &str) -> Launch {
    let now = Now { mono: Mono(1), wall: Wall(1_000_000_000_000_000_000) };
    let mut services = Services::new(Role::star(), Seed::new(1, 1)).with_settings(settings);
    let definition = json!({"id": id, "cmd": "serve"}).as_object().expect("an object").clone();
    let resources = Resources::from_list([
        Resource::scalar("cpus", Milli::whole(8)),
        Resource::scalar("mem", Milli::whole(8_192)),
        Resource::ranges("ports", Ranges::new([Range { begin: 31_000, end: 31_099 }])),
    ]);
    let (offer, agent) = ("o1".parse().expect("an id"), "a1".parse().expect("an id"));
    let offer = Offer::new(offer, agent, "host", resources.expect("whole amounts"));
    let offer = Offer { role: if id.starts_with("/prod") { role("prod") } else { Role::star() }, ..offer };
    let mut events = vec![
        Event::Offers(vec![offer]),
        Event::Command { request: 1, command: Command::Create { definition, force: false } },
        Event::Subscribed,
    ];
    while let Some(event) = events.pop() {
        for effect in services.apply(now, event) {
            match effect {
                Effect::Store { number, .. } => events.push(Event::Stored(number)),
                Effect::Launch { mut tasks, .. } => return tasks.remove(0),
                _ => {}
            }
        }
    }
    panic!("nothing was launched")
}

fn role(name: &str) -> Role {
    Role::new(name).expect("a word is a role")
}

#[test]
fn whether_its_group_enforces_a_role() {
    let told = |settings: Settings, id: &str| match &launch(settings, id).env["MARATHON_APP_ENFORCE_GROUP_ROLE"]
    {
        LaunchValue::Text(text) => text.clone(),
        LaunchValue::Secret(_) => panic!("no secret"),
    };
    let enforcing = || Settings { new_group_enforce_role: true, ..Settings::default() };
    assert_eq!(told(enforcing(), "/prod/web"), "TRUE");
    assert_eq!(told(enforcing(), "/web"), "FALSE");
    assert_eq!(told(Settings::default(), "/web/web"), "FALSE");
}
