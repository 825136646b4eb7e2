//! `/registrar(1)/registry`: what outlives this master, as far as Mesos' registry has it.

use std::sync::Arc;

use chapada_master_core::{Agent, AgentState, Snapshot};
use chapada_wire::Json;
use chapada_wire::v1;
use serde::ser::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::shell::Led;

/// The page.
pub(super) struct Registry {
    pub(super) led: Arc<Led>,
    pub(super) books: Arc<Snapshot>,
}

impl Serialize for Registry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut page = json!({"master": {"info": value(&v1::MasterInfo::from(&self.led.master))}});
        let fields = page.as_object_mut().ok_or_else(|| serde::ser::Error::custom("no object"))?;
        let mut lists = [
            ("slaves", "slaves", Vec::new()),
            ("unreachable", "slaves", Vec::new()),
            ("gone", "slaves", Vec::new()),
        ];
        for agent in self.books.agents.values() {
            let since = |since: chapada_model::Wall| json!({"id": {"value": agent.id.as_str()}, "timestamp": {"nanoseconds": since.0}});
            match agent.state {
                AgentState::Unreachable { since: at } => lists[1].2.push(since(at)),
                AgentState::Gone { since: at } => lists[2].2.push(since(at)),
                AgentState::Admitting { .. } => {}
                AgentState::Recovered { .. }
                | AgentState::Active { .. }
                | AgentState::Disconnected { .. }
                | AgentState::Leaving => lists[0].2.push(admitted(agent)),
            }
        }
        for (name, inner, list) in lists.into_iter().filter(|(_, _, list)| !list.is_empty()) {
            fields.insert(name.to_owned(), json!({inner: list}));
        }
        page.serialize(serializer)
    }
}

fn admitted(agent: &Agent) -> Value {
    let info = v1::AgentInfo { id: Some((&agent.id).into()), ..(&*agent.description).into() };
    json!({"info": value(&info), "deactivated": false})
}

/// What we write is JSON.
fn value(message: &impl Json) -> Value {
    serde_json::from_slice(&message.to_json()).unwrap_or_default()
}
