//! A master and a store that behave.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use chapada_model::{
    AgentId, Domain, Milli, Range, Ranges, Resource, Resources, TaskId, TaskState, TaskStatus,
};
use chapada_sdk::WriteError;
use chapada_services_core::{Effect, Event, Offer, Write};
use tokio::sync::mpsc;

use crate::actor::{Master, Store};
use crate::handle::ServicesHandle;

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

/// Answers calls as a cluster with one large agent does. With `works` false it makes no offers.
pub(crate) async fn master(
    mut calls: mpsc::UnboundedReceiver<Effect>,
    services: ServicesHandle,
    works: bool,
) {
    let mut offers = 0;
    while let Some(call) = calls.recv().await {
        match call {
            Effect::Revive if works => {
                offers += 1;
                services.event(Event::Offers(vec![offer(offers)])).await;
            }
            Effect::Launch { tasks, groups, refuse, .. } => {
                let members = groups.into_iter().flat_map(|group| group.tasks).map(|member| member.launch);
                for task in tasks.into_iter().chain(members) {
                    services.event(update(task.task, TaskState::Running)).await;
                }
                if refuse.is_zero() {
                    // What is left of the offer is wanted at once.
                    offers += 1;
                    services.event(Event::Offers(vec![offer(offers)])).await;
                }
            }
            Effect::Kill { task, .. } => services.event(update(task, TaskState::Killed)).await,
            _ => {}
        }
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
