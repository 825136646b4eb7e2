//! DESTROY: ends persistent volumes, with all that is in them.

use chapada_model::{AgentId, Conversion, OfferId, Resources};

use super::Ground;
use crate::Master;

pub(super) fn check(ground: &Ground<'_>, volumes: &Resources) -> Result<Conversion, String> {
    let consumed = ground.plain("DESTROY", volumes)?;
    let mut converted = Resources::EMPTY;
    let used = ground.agent.used.unallocated();
    for volume in &consumed {
        if !volume.is_volume() {
            return Err(format!("Resource {volume} is not a persistent volume, so it cannot be destroyed"));
        }
        let one = Resources::from_list([volume.clone()]).map_err(|error| error.to_string())?;
        if used.contains(&one) {
            return Err(format!("Persistent volume {volume} is in use"));
        }
        let plain = Resources::from_list([volume.without_volume()]).map_err(|error| error.to_string())?;
        converted.add(&plain).map_err(|error| error.to_string())?;
    }
    Ok(Conversion { consumed, converted })
}

impl Master {
    /// Takes the offers back that have what is shared and about to end: it is offered to others than who ends it.
    pub(crate) fn take_back_shared(&mut self, agent: &AgentId, ended: &Resources) {
        let ended = ended.shared();
        if ended.is_empty() {
            return;
        }
        let has_it = |id: &OfferId| {
            let offer = self.books.offers.get(id);
            offer.is_some_and(|offer| {
                let offered = offer.resources.unallocated();
                ended.iter().any(|volume| offered.iter().any(|other| other == volume))
            })
        };
        let offers: Vec<OfferId> =
            self.index.offers_by_agent.iter(agent).filter(|id| has_it(id)).cloned().collect();
        for offer in offers {
            self.rescind(&offer);
        }
    }
}
