//! Writes and reads of the registry, each record by itself: what was answered is read by every later leader until it is written
//! again, and nothing of an earlier leader shows once a later one has read.

use std::collections::{BTreeMap, BTreeSet};

use chapada_master_core::{
    AgentRecord, DrainPlan, FrameworkRecord, Machine, Quota, RegistryChange, RegistryState, Ticket,
};
use chapada_model::{AgentId, Milli};

use super::{Entry, Journal};

/// The content of one record.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Agent(AgentRecord),
    Framework(FrameworkRecord),
    Weight(Milli),
    Quota(Quota),
    Machine(Machine),
    Drain(DrainPlan),
    Unconfirmed(BTreeSet<AgentId>),
}

/// A write of one record: who asked, in which order, for what; nothing when it is taken away.
#[derive(Clone, Debug)]
struct Write {
    at: (u64, Ticket),
    value: Option<Value>,
}

/// What the next leader may find in a record.
#[derive(Debug, Default)]
struct Record {
    /// What stands for certain: the last that was answered, or read.
    certain: Option<Value>,
    /// What may or may not have been carried out since, in order.
    possible: Vec<Write>,
    /// What a later leader has read, or was written before that: its own leader may be told of it later.
    carried_out: BTreeSet<(u64, Ticket)>,
}

impl Record {
    fn may_be(&self, found: Option<&Value>) -> bool {
        self.certain.as_ref() == found || self.possible.iter().any(|write| write.value.as_ref() == found)
    }
}

fn written(change: &RegistryChange) -> Vec<(String, Option<Value>)> {
    match change {
        RegistryChange::PutAgent(id, record) => {
            vec![(format!("agent {id}"), Some(Value::Agent(record.clone())))]
        }
        RegistryChange::DeleteAgent(id) => vec![(format!("agent {id}"), None)],
        RegistryChange::PutFramework(id, record) => {
            vec![(format!("framework {id}"), Some(Value::Framework(record.clone())))]
        }
        RegistryChange::DeleteFramework(id) => vec![(format!("framework {id}"), None)],
        RegistryChange::PutWeights(weights) => {
            let each = weights.iter();
            each.map(|(role, weight)| (format!("weight {role}"), Some(Value::Weight(*weight)))).collect()
        }
        RegistryChange::PutQuotas(quotas) => {
            let each = quotas.iter();
            each.map(|(role, quota)| (format!("quota {role}"), quota.clone().map(Value::Quota))).collect()
        }
        RegistryChange::PutMachines(machines) => {
            let each = machines.iter();
            each.map(|(id, machine)| (format!("machine {id}"), machine.map(Value::Machine))).collect()
        }
        RegistryChange::PutDrain(name, plan) => {
            vec![(format!("drain {name}"), plan.clone().map(Value::Drain))]
        }
        RegistryChange::PutUnconfirmed(framework, part, agents) => {
            let value = (!agents.is_empty()).then(|| Value::Unconfirmed(agents.clone()));
            vec![(format!("unconfirmed {framework}.{part}"), value)]
        }
    }
}

fn found(state: &RegistryState) -> BTreeMap<String, Value> {
    let agents = state.agents.iter().map(|(id, one)| (format!("agent {id}"), Value::Agent(one.clone())));
    let frameworks = state.frameworks.iter();
    let frameworks = frameworks.map(|(id, one)| (format!("framework {id}"), Value::Framework(one.clone())));
    let weights = state.weights.iter().map(|(role, one)| (format!("weight {role}"), Value::Weight(*one)));
    let quotas = state.quotas.iter().map(|(role, one)| (format!("quota {role}"), Value::Quota(one.clone())));
    let machines = state.machines.iter().map(|(id, one)| (format!("machine {id}"), Value::Machine(*one)));
    let drains = state.drains.iter().map(|(name, one)| (format!("drain {name}"), Value::Drain(one.clone())));
    let unconfirmed = state.unconfirmed.iter().flat_map(|(framework, parts)| {
        let name = move |part| format!("unconfirmed {framework}.{part}");
        parts.iter().map(move |(part, agents)| (name(part), Value::Unconfirmed(agents.clone())))
    });
    let records = agents.chain(frameworks).chain(weights).chain(quotas).chain(machines).chain(drains);
    records.chain(unconfirmed).collect()
}

/// The names of the records that are not the same in both.
pub(crate) fn differing(one: &RegistryState, other: &RegistryState) -> Vec<String> {
    let (one, other) = (found(one), found(other));
    let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    names.into_iter().filter(|name| one.get(*name) != other.get(*name)).cloned().collect()
}

/// What the journal says of the registry so far.
#[derive(Default)]
struct Reading {
    records: BTreeMap<String, Record>,
    asked: BTreeMap<(u64, Ticket), Vec<String>>,
    /// The epoch of the last leader that has read.
    newest: u64,
    wrong: Vec<String>,
}

impl Reading {
    fn on_read(&mut self, epoch: u64, state: &RegistryState) {
        if epoch <= self.newest {
            self.wrong.push(format!("epoch {epoch} begins after epoch {}", self.newest));
        }
        self.newest = self.newest.max(epoch);
        let found = found(state);
        let names: BTreeSet<String> = self.records.keys().chain(found.keys()).cloned().collect();
        for name in names {
            let (record, value) = (self.records.entry(name.clone()).or_default(), found.get(&name));
            if !record.may_be(value) {
                let what = if value.is_some() { "an older value" } else { "nothing" };
                self.wrong.push(format!(
                    "the leader of epoch {epoch} reads {what} of {name}, which was written and answered"
                ));
            }
            // What it does not show now was not carried out, and never will be.
            let shown = record.possible.iter().rposition(|write| write.value.as_ref() == value);
            let possible = std::mem::take(&mut record.possible);
            let carried_out = possible.into_iter().take(shown.map_or(0, |last| last + 1));
            record.carried_out.extend(carried_out.map(|write| write.at));
            record.certain = value.cloned();
        }
    }

    fn on_restored(&mut self, state: &RegistryState) {
        let certain = |value| Record { certain: Some(value), ..Record::default() };
        self.records = found(state).into_iter().map(|(name, value)| (name, certain(value))).collect();
        self.newest = state.epoch;
    }

    fn on_asked(&mut self, at: (u64, Ticket), change: &RegistryChange) {
        for (name, value) in written(change) {
            self.asked.entry(at).or_default().push(name.clone());
            if at.0 >= self.newest {
                self.records.entry(name).or_default().possible.push(Write { at, value });
            }
        }
    }

    fn on_answered(&mut self, at: (u64, Ticket)) {
        let Some(names) = self.asked.get(&at) else {
            return self.wrong.push(format!("{at:?} is answered, and nobody asked"));
        };
        for name in names {
            let Some(record) = self.records.get_mut(name) else { continue };
            let place = record.possible.iter().position(|write| write.at == at);
            match place {
                Some(place) => {
                    record.certain = record.possible[place].value.clone();
                    record.possible.drain(..=place);
                }
                None if record.carried_out.remove(&at) => {}
                None if at.0 < self.newest => {
                    self.wrong.push(format!(
                        "a write of epoch {} of {name} is answered after epoch {} has read",
                        at.0, self.newest
                    ));
                }
                // A later write of the same leader was answered before.
                None => {
                    let (epoch, ticket) = at;
                    self.wrong.push(format!(
                        "writes of {name} are answered out of order: {ticket:?} of epoch {epoch}"
                    ));
                }
            }
        }
    }
}

impl Journal {
    /// What does not hold of the registry.
    pub(super) fn check_registry(&self) -> Vec<String> {
        let mut reading = Reading::default();
        for (_, entry) in &self.entries {
            match entry {
                Entry::Read { epoch, state } => reading.on_read(*epoch, state),
                Entry::Restored { state } => reading.on_restored(state),
                Entry::Asked { epoch, ticket, change } => reading.on_asked((*epoch, *ticket), change),
                Entry::Answered { epoch, ticket } => reading.on_answered((*epoch, *ticket)),
                _ => {}
            }
        }
        reading.wrong
    }
}
