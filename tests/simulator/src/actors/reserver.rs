//! Reserves resources, makes volumes of them, and undoes both, in any order.

use std::sync::Arc;
use std::time::Duration;

use chapada_master_core::{Accept, Call, Change, Offer, Operation, SchedulerEvent};
use chapada_model::{
    Disk, DiskVolume, Filters, Milli, OperationId, OperationStatus, Persistence, Reservation,
    ReservationKind, Resource, ResourceValue, Resources,
};

use super::{Actor, News, Turn, ids};

/// So many operations over its whole life.
const MAX_OPERATIONS: u64 = 60;
/// So many reservations at once: others need room, too.
const MAX_MADE: u64 = 4;

/// What it has stored.
#[derive(Debug)]
pub(crate) struct Reserver {
    index: usize,
    /// Names operations and volumes.
    done: u64,
    /// Reservations asked for and not given back.
    made: u64,
}

impl Actor for Reserver {
    fn on(&mut self, turn: &mut Turn<'_>, news: News) {
        match news {
            News::Subscribed => turn.calls.push(Call::ReconcileOperations { operations: Vec::new() }),
            News::Event(SchedulerEvent::Offers(offers)) => self.on_offers(turn, &offers),
            News::Event(SchedulerEvent::Update(status)) => turn.acknowledge(&status),
            News::Event(SchedulerEvent::UpdateOperation(status)) => acknowledge(turn, &status),
            News::Started | News::Command(_) | News::Event(_) | News::Disconnected | News::Woken => {}
        }
    }
}

impl Reserver {
    pub(crate) fn new(index: usize) -> Self {
        Self { index, done: 0, made: 0 }
    }

    fn on_offers(&mut self, turn: &mut Turn<'_>, offers: &[Arc<Offer>]) {
        for offer in offers {
            let refuse = Duration::from_millis(turn.rng.below(8_000));
            let may = turn.stormy && self.done < MAX_OPERATIONS;
            let change = if may { self.change(turn, offer) } else { None };
            let Some(change) = change else {
                turn.decline(ids(std::slice::from_ref(offer)), refuse);
                continue;
            };
            self.done += 1;
            let name = OperationId::new(format!("o{}-{}", self.index, self.done)).expect("a valid id");
            turn.calls.push(Call::Accept(Accept {
                offers: vec![offer.id.clone()],
                operations: vec![Operation::Change { id: Some(name), change }],
                filters: Filters { refuse },
            }));
        }
    }

    /// Something that can be done with an offer.
    fn change(&mut self, turn: &mut Turn<'_>, offer: &Offer) -> Option<Change> {
        let all = offer.resources.unallocated();
        let volume = all.iter().find(|resource| resource.is_volume());
        let reserved = all.iter().find(|r| r.is_dynamically_reserved() && !r.is_volume());
        match (turn.rng.below(4), volume, reserved) {
            (0, Some(volume), _) => Some(Change::Destroy { volumes: one(volume.clone()) }),
            (1, _, Some(reserved)) => {
                self.made = self.made.saturating_sub(1);
                Some(Change::Unreserve { resources: one(reserved.clone()) })
            }
            (2, _, Some(disk)) if &*disk.name == "disk" => {
                Some(Change::Create { volumes: one(self.volume(disk)) })
            }
            (3, ..) if self.made < MAX_MADE => {
                let kept = kept(turn, offer, &all)?;
                self.made += 1;
                Some(Change::Reserve { source: Resources::EMPTY, resources: one(kept) })
            }
            _ => None,
        }
    }

    fn volume(&self, disk: &Resource) -> Resource {
        volume_of(disk, &format!("v{}-{}", self.index, self.done))
    }
}

/// A volume of reserved disk.
pub(crate) fn volume_of(disk: &Resource, id: &str) -> Resource {
    let disk_info = Disk {
        persistence: Some(Persistence { id: id.into(), principal: None }),
        volume: Some(DiskVolume { container_path: "data".into(), host_path: None, read_only: false }),
        source: None,
    };
    Resource { disk: Some(disk_info), ..disk.clone() }
}

/// A little of what is offered and kept for nobody, as it is to be kept.
fn kept(turn: &mut Turn<'_>, offer: &Offer, all: &Resources) -> Option<Resource> {
    let (name, least) = if turn.rng.once_in(2) { ("disk", Milli::whole(10)) } else { ("cpus", Milli(200)) };
    let plain = all.iter().find(|resource| &*resource.name == name && resource.reservations.is_empty())?;
    let mut kept = plain.clone();
    kept.value = ResourceValue::Scalar(least);
    if !all.contains(&one(kept.clone())) {
        return None;
    }
    let (kind, role) = (ReservationKind::Dynamic, offer.role.clone());
    kept.reservations.push(Reservation { kind, role, principal: None, labels: Vec::new() });
    Some(kept)
}

pub(crate) fn one(resource: Resource) -> Resources {
    Resources::from_list([resource]).expect("one resource is no contradiction")
}

fn acknowledge(turn: &mut Turn<'_>, status: &OperationStatus) {
    if let (Some(uuid), Some(agent), Some(operation)) =
        (status.uuid, status.agent.clone(), status.operation.clone())
    {
        turn.calls.push(Call::AcknowledgeOperation { agent, operation, uuid });
    }
}
