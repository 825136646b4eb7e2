//! Operations on resources in random histories, most of them of what is offered.

use chapada_master_core::{AgentState, Call, Change, Event, EventKind};
use chapada_model::{
    AgentId, Disk, DiskVolume, FrameworkId, Milli, OfferId, OperationId, Persistence, Reservation,
    ReservationKind, Resource, ResourceValue, Resources, Role, UpdateUuid,
};

use super::Run;
use super::operators::growth;

fn one(resource: Resource) -> Resources {
    Resources::from_list([resource]).expect("one resource")
}

fn is_reserved_disk(resource: &Resource) -> bool {
    &*resource.name == "disk" && !resource.reservations.is_empty() && !resource.is_volume()
}

impl Run<'_> {
    /// A change of something that is offered, with its name.
    pub(super) fn change(&mut self, offer: &OfferId) -> (&'static str, Change) {
        let offer = self.world.books().offers.get(offer).cloned();
        let role = offer.as_ref().map_or_else(Role::star, |offer| offer.role.clone());
        let offered: Vec<Resource> = offer.iter().flat_map(|offer| offer.resources.iter().cloned()).collect();
        self.change_of(&role, offered)
    }

    /// A change of some of these, with its name.
    pub(super) fn change_of(&mut self, role: &Role, offered: Vec<Resource>) -> (&'static str, Change) {
        let made_up = Resource::scalar("disk", Milli::whole(7));
        let has = |fits: fn(&Resource) -> bool| offered.iter().any(fits);
        let kind = match self.draw() % 4 {
            0 => self.draw() % 6,
            _ if has(Resource::is_volume) => [3, 3, 4, 5, 5][self.draw() % 5],
            _ if has(is_reserved_disk) => [1, 2, 2, 2][self.draw() % 4],
            _ => 0,
        };
        let change = match kind {
            0 => {
                let resource = match self.once_in(2) {
                    true => self.pick_where(&offered, made_up, |r| &*r.name == "disk"),
                    false => self.pick(&offered, made_up),
                };
                Change::Reserve { source: Resources::EMPTY, resources: one(self.reserved(resource, role)) }
            }
            1 => Change::Unreserve {
                resources: one(self.pick_where(&offered, made_up, Resource::is_dynamically_reserved)),
            },
            2 => {
                let disk = self.pick_where(&offered, made_up, is_reserved_disk);
                Change::Create { volumes: one(self.volume(disk)) }
            }
            3 => Change::Destroy { volumes: one(self.pick_where(&offered, made_up, Resource::is_volume)) },
            4 => match growth(&offered).filter(|_| !self.once_in(4)) {
                Some(growth) => growth,
                None => {
                    let volume = self.pick_where(&offered, made_up, Resource::is_volume);
                    let addition = Resource { value: self.amount(), ..volume.without_volume() };
                    Change::GrowVolume { volume: Box::new(volume), addition: Box::new(addition) }
                }
            },
            _ => {
                let volume = self.pick_where(&offered, made_up, Resource::is_volume);
                Change::ShrinkVolume {
                    volume: Box::new(volume),
                    subtract: Milli::whole((self.draw() % 4) as u64),
                }
            }
        };
        (change.kind().name(), change)
    }

    pub(super) fn operation_id(&mut self) -> Option<OperationId> {
        let id = format!("o{}", self.draw() % 60);
        (!self.once_in(3)).then(|| OperationId::new(id).expect("valid"))
    }

    /// An agent answers its oldest operation, or somebody says nonsense.
    pub(super) fn operation_answered(&mut self) {
        *self.tally.borrow_mut().events.entry(EventKind::OperationUpdate).or_default() += 1;
        for index in 0..self.world.agents.len() {
            let agent = &self.world.agents[index];
            let (Some(link), Some(id)) = (agent.link, agent.description.id.clone()) else { continue };
            let Some(status) = agent.operations.first().cloned().filter(|_| agent.is_welcome) else {
                continue;
            };
            let again = self.once_in(4);
            if !again {
                // The next answer is about another one; this one is repeated when its turn comes again.
                self.world.agents[index].operations.rotate_left(1);
            }
            self.world.apply(Event::OperationUpdate { link, agent: id, status });
        }
    }

    pub(super) fn operation_call(&mut self, framework: &FrameworkId) -> (&'static str, Call) {
        let own: Vec<_> = self
            .world
            .books()
            .operations
            .values()
            .filter(|operation| {
                operation.framework.as_ref() == Some(framework) && operation.status.operation.is_some()
            })
            .cloned()
            .collect();
        let (agent, other) = (self.agent_id(), OperationId::new("none").expect("valid"));
        let chosen = (!own.is_empty()).then(|| own[self.draw() % own.len()].clone());
        let operation = chosen.as_ref().and_then(|o| o.status.operation.clone()).unwrap_or(other);
        let agent = chosen.as_ref().map_or(agent, |operation| operation.agent.clone());
        match self.draw() % 3 {
            0 => {
                let operations = if self.once_in(2) { Vec::new() } else { vec![(operation, Some(agent))] };
                ("RECONCILE_OPERATIONS", Call::ReconcileOperations { operations })
            }
            _ => {
                let uuid = chosen.and_then(|o| o.status.uuid).unwrap_or(UpdateUuid([3; 16]));
                ("ACKNOWLEDGE_OPERATION", Call::AcknowledgeOperation { agent, operation, uuid })
            }
        }
    }

    /// What is sent to the agent from now on is lost with its link.
    pub(super) fn goes_deaf(&mut self, index: usize) {
        let is_active = |agent: &std::sync::Arc<chapada_master_core::Agent>| match agent.state {
            AgentState::Active { .. } => true,
            AgentState::Recovered { .. }
            | AgentState::Admitting { .. }
            | AgentState::Disconnected { .. }
            | AgentState::Leaving
            | AgentState::Unreachable { .. }
            | AgentState::Gone { .. } => false,
        };
        let id = self.world.agents[index].description.id.clone();
        if id.is_some_and(|id| self.world.books().agents.get(&id).is_some_and(is_active)) {
            self.world.agents[index].is_deaf = true;
        }
    }

    /// Something offered that a task may use beside the usual.
    pub(super) fn offered_piece(&mut self, agent: &AgentId) -> Option<Resources> {
        let books = self.world.books();
        let offers = books.offers.values().filter(|offer| offer.agent == *agent);
        let made: Vec<Resource> =
            offers.flat_map(|offer| offer.resources.made().iter().cloned().collect::<Vec<_>>()).collect();
        (!made.is_empty()).then(|| one(made[self.draw() % made.len()].clone()))
    }

    fn pick_where(
        &mut self,
        offered: &[Resource],
        made_up: Resource,
        fits: impl Fn(&Resource) -> bool,
    ) -> Resource {
        let fitting: Vec<Resource> = offered.iter().filter(|resource| fits(resource)).cloned().collect();
        self.pick(&fitting, made_up)
    }

    fn amount(&mut self) -> ResourceValue {
        ResourceValue::Scalar(Milli::whole(1 + (self.draw() % 5) as u64))
    }

    /// All or part of it, reserved once more.
    fn reserved(&mut self, mut resource: Resource, role: &Role) -> Resource {
        if let ResourceValue::Scalar(amount) = &resource.value
            && self.once_in(2)
        {
            resource.value = ResourceValue::Scalar(Milli((amount.0 / 2).max(1)));
        }
        let role = if self.once_in(10) { Role::new("web").expect("valid") } else { role.clone() };
        let principal = self.once_in(12).then(|| "somebody".into());
        let kind = ReservationKind::Dynamic;
        resource.reservations.push(Reservation { kind, role, principal, labels: Vec::new() });
        resource
    }

    fn volume(&mut self, mut disk: Resource) -> Resource {
        if self.once_in(2)
            && let ResourceValue::Scalar(amount) = &disk.value
        {
            disk.value = ResourceValue::Scalar(Milli((amount.0 / 2).max(1)));
        }
        let id = format!("v{}", self.draw() % 12);
        let path = if self.once_in(12) { "a/b" } else { "data" };
        disk.disk = Some(Disk {
            persistence: Some(Persistence { id: id.as_str().into(), principal: None }),
            volume: Some(DiskVolume { container_path: path.into(), host_path: None, read_only: false }),
            source: None,
        });
        disk.shared = self.once_in(3);
        disk
    }
}
