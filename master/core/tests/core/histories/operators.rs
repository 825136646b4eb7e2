//! What operators ask for in random histories.

use std::collections::BTreeMap;

use chapada_master_core::{Change, OperatorCall};
use chapada_model::{AgentId, Milli, OperationKind, Resource, Resources, Role};

use super::{ROLES, Run};

/// The name under which a RESERVE with `source` is counted.
const EXCHANGE: &str = "exchange of reservations";

impl Run<'_> {
    /// An operator changes what an agent has free or offers, and what is in use now and then.
    pub(super) fn operated(&mut self) {
        let agent = self.agent_with_volume();
        let has: Vec<Resource> = match self.world.books().agents.get(&agent) {
            Some(known) => {
                let used = if self.once_in(8) { known.used.clone() } else { Resources::EMPTY };
                let parts = [&known.free, &known.offered, &used];
                parts.iter().flat_map(|part| part.unallocated().iter().cloned().collect::<Vec<_>>()).collect()
            }
            None => Vec::new(),
        };
        let role = Role::new(ROLES[self.draw() % ROLES.len()]).expect("valid");
        let (mut name, mut change) = self.change_of(&role, has.clone());
        let made = has.iter().find(|resource| resource.is_dynamically_reserved() && !resource.is_volume());
        if let (Some(made), true) = (made.cloned(), self.once_in(3)) {
            let one = |resource| Resources::from_list([resource]).expect("one resource");
            let mut other = made.clone();
            if let Some(last) = other.reservations.last_mut() {
                last.principal = Some("other".into());
            }
            (name, change) = match self.once_in(2) {
                true => ("UNRESERVE", Change::Unreserve { resources: one(made) }),
                false => (EXCHANGE, Change::Reserve { source: one(made), resources: one(other) }),
            };
        }
        if let (Some(growth), true) = (growth(&has), self.once_in(3)) {
            (name, change) = (growth.kind().name(), growth);
        } else if let (Some(volume), true) =
            (has.iter().find(|resource| resource.is_volume()), self.once_in(6))
        {
            let volume = Box::new(volume.clone());
            (name, change) = ("SHRINK_VOLUME", Change::ShrinkVolume { volume, subtract: Milli(1) });
        }
        let is_done = self.world.operator(OperatorCall::Change { agent, change, principal: None }).is_ok();
        let mut tally = self.tally.borrow_mut();
        let (done, refused) = tally.operators.entry(name).or_default();
        *(if is_done { done } else { refused }) += 1;
    }

    /// An agent on which there is a volume, in most cases in which there is one.
    fn agent_with_volume(&mut self) -> AgentId {
        let any = self.agent_id();
        let books = self.world.books();
        let with_volume: Vec<AgentId> = books
            .agents
            .values()
            .filter(|agent| agent.total.iter().any(Resource::is_volume))
            .map(|agent| agent.id.clone())
            .collect();
        self.pick(&with_volume, any)
    }
}

/// A volume grown by all the disk of its kind that is there.
pub(super) fn growth(has: &[Resource]) -> Option<Change> {
    let of_kind = |volume: &Resource| {
        let plain = volume.without_volume();
        has.iter().find(|other| plain == Resource { value: plain.value.clone(), ..(*other).clone() })
    };
    let volumes = has.iter().filter(|resource| resource.is_volume());
    let (volume, addition) = volumes.filter_map(|volume| Some((volume, of_kind(volume)?))).next()?;
    Some(Change::GrowVolume { volume: Box::new(volume.clone()), addition: Box::new(addition.clone()) })
}

/// Every operation was done, and some were refused.
pub(super) fn check_tally(operators: &BTreeMap<&'static str, (u32, u32)>) {
    for name in OperationKind::ALL.iter().map(|kind| kind.name()).chain([EXCHANGE]) {
        let done = operators.get(name).map_or(0, |(done, _)| *done);
        assert!(done > 0, "no operator ever had {name} done: {operators:?}");
    }
    assert!(operators.values().any(|(_, refused)| *refused > 0), "{operators:?}");
}
