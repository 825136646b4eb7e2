//! A master and a store that behave.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use chapada_model::{
    AgentId, Attribute, AttributeValue, Domain, Milli, Range, Ranges, Resource, Resources, Role, TaskId,
    TaskState, TaskStatus,
};
use chapada_sdk::WriteError;
use chapada_services_core::{Effect, Event, Launch, LaunchGroup, Offer, Write};
use tokio::sync::mpsc;

use crate::actor::{Master, Store};
use crate::describe;
use crate::handle::ServicesHandle;
use crate::secrets::Secrets;

/// Records that outlive the loop.
#[derive(Clone, Default)]
pub(crate) struct Memory(pub(crate) Arc<Mutex<BTreeMap<String, Vec<u8>>>>);

impl Store for Memory {
    async fn write(&mut self, writes: Vec<Write>) -> Result<(), WriteError> {
        let mut records = self.0.lock().expect("no test panics in here");
        for write in writes {
            match write {
                Write::Put { key, value } => records.insert(key, value),
                Write::Delete { key } => records.remove(&key),
            };
        }
        Ok(())
    }
}

/// Every call the loop made, in order.
pub(crate) struct Calls(pub(crate) mpsc::UnboundedSender<Effect>);

impl Master for Calls {
    fn call(&mut self, call: Effect) {
        self.0.send(call).expect("the pretended master outlives the loop");
    }

    fn is_behind(&self) -> bool {
        false
    }

    async fn has_room(&self) {}
}

/// What a cluster has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Agents {
    /// Nothing is offered.
    None,
    /// A large one.
    One,
    /// Large ones that differ.
    Six,
}

/// Answers calls as a cluster with these agents does. What is launched on six of them must be there to be described.
pub(crate) async fn master(
    mut calls: mpsc::UnboundedReceiver<Effect>,
    services: ServicesHandle,
    agents: Agents,
    secrets: Secrets,
) {
    let mut offers = 0;
    let mut made = move || {
        offers += 1;
        match agents {
            Agents::None => Vec::new(),
            Agents::One => vec![offer(offers)],
            Agents::Six => (0..6).map(|agent| one_of_six(agent, offers)).collect(),
        }
    };
    while let Some(call) = calls.recv().await {
        match call {
            Effect::Revive if agents != Agents::None => {
                services.event(Event::Offers(made())).await;
            }
            Effect::ReviveIn(roles) if agents != Agents::None => {
                let to = |role: &Role, offer: Offer| Offer {
                    resources: offer.resources.allocated_to(role),
                    role: role.clone(),
                    ..offer
                };
                for role in roles {
                    let offers = made().into_iter().map(|offer| to(&role, offer)).collect();
                    services.event(Event::Offers(offers)).await;
                }
            }
            Effect::Launch { tasks, groups, refuse, .. } | Effect::Accept { tasks, groups, refuse, .. } => {
                if agents == Agents::Six {
                    describe_all(&tasks, &groups, &secrets).await;
                }
                let members = groups.into_iter().flat_map(|group| group.tasks).map(|member| member.launch);
                for task in tasks.into_iter().chain(members) {
                    services.event(update(task.task, TaskState::Running)).await;
                }
                if refuse.is_zero() {
                    // What is left of the offer is wanted at once.
                    services.event(Event::Offers(made())).await;
                }
            }
            Effect::Kill { task, .. } => services.event(update(task, TaskState::Killed)).await,
            _ => {}
        }
    }
}

async fn describe_all(tasks: &[Launch], groups: &[LaunchGroup], secrets: &Secrets) {
    for task in tasks {
        let described = describe::task(task.clone(), secrets).await;
        described.unwrap_or_else(|why| panic!("{}: {why}", task.task));
    }
    for group in groups {
        let described = describe::group::launch(group.clone(), secrets).await;
        described.unwrap_or_else(|why| panic!("{}: {why}", group.name));
    }
}

pub(crate) fn update(task: TaskId, state: TaskState) -> Event {
    let agent: Option<AgentId> = Some("agent-1".parse().expect("an id"));
    Event::Update(TaskStatus { agent, message: Some("so it is".into()), ..TaskStatus::new(task, state) })
}

fn offer(number: u32) -> Offer {
    let ports = Ranges::new([Range {
        begin: 31_000 + u64::from(number) * 100,
        end: 31_099 + u64::from(number) * 100,
    }]);
    let resources = Resources::from_list([
        Resource::scalar("cpus", Milli::whole(64)),
        Resource::scalar("mem", Milli::whole(65_536)),
        Resource::scalar("disk", Milli::whole(65_536)),
        Resource::ranges("ports", ports),
    ]);
    let id = format!("offer-{number}").parse().expect("an id");
    let domain = Some(Domain { region: "north".into(), zone: "north-1".into() });
    let agent = "agent-1".parse().expect("an id");
    Offer { domain, ..Offer::new(id, agent, "host-1", resources.expect("whole amounts")) }
}

/// Each in a rack of its own.
fn one_of_six(agent: u32, number: u32) -> Offer {
    let resources = Resources::from_list([
        Resource::scalar("cpus", Milli::whole(64)),
        Resource::scalar("mem", Milli::whole(65_536)),
        Resource::scalar("disk", Milli::whole(65_536)),
        Resource::ranges("ports", Ranges::new([Range { begin: 1_024, end: 65_535 }])),
    ]);
    let id = format!("offer-{number}-{agent}").parse().expect("an id");
    let (name, host) = (format!("agent-{agent}"), format!("host-{agent}"));
    let text =
        |name: &str, value: &str| Attribute { name: name.into(), value: AttributeValue::Text(value.into()) };
    let attributes = vec![
        text("rack", &format!("r{agent}")),
        text("disk", "ssd"),
        text("os", "debian-12"),
        text("pool", "blue"),
    ];
    let domain = Some(Domain { region: "eu-1".into(), zone: format!("z{}", agent % 2).into() });
    let name = name.parse().expect("an id");
    Offer { domain, attributes, ..Offer::new(id, name, host, resources.expect("whole amounts")) }
}
