//! What operators ask for, at random: quotas, also nested ones, weights, reservations and volumes, the end of a framework, and agents
//! and machines taken out of service, one or many, for a while or for good.

mod machines;

use std::time::Duration;

use chapada_master_core::{
    AgentCall, AgentState, Change, DrainOrder, OperatorCall, Quota, RoleCall, Selection, Standing,
};
use chapada_model::{
    AgentId, Milli, Quantities, Reservation, ReservationKind, Resource, ResourceValue, Resources, Role,
};

use crate::Manner;
use crate::actors::{one, volume_of};
use crate::queue::Happening;
use crate::sim::Sim;

/// Roles of frameworks, roles above and beside them, and one of nobody.
const ROLES: [&str; 8] =
    ["services", "services/own", "services/other", "ops", "ops/db", "hoard", "many/r3", "nobody"];

/// Drains of many have one of so many names.
const DRAINS: u64 = 4;

/// Operators keep so many reservations on an agent at most: others need room, too.
const MAX_MADE: usize = 2;

impl Sim {
    /// An operator does something, if it is time for it; once it is calm, quotas, drains and maintenance are taken away, so that all
    /// can be satisfied.
    pub(crate) fn on_operator(&mut self) {
        let mut again = Duration::from_secs(1);
        if self.stormy {
            self.operate_at_random();
            again = self.rng.between(Duration::from_millis(50), self.plan.operate_every);
        } else if self.end_quotas() & self.end_drains() & self.end_maintenance() {
            return;
        }
        self.queue.put(self.now + again, Happening::Operator);
    }

    fn operate_at_random(&mut self) {
        let Some(leader) = self.leader() else { return };
        match self.rng.below(29) {
            0..8 => {
                let call = self.role_call();
                // What a master refuses is in the history.
                drop(self.call_about_roles(leader, call));
            }
            8..19 => {
                if let Some((agent, change)) = self.change() {
                    self.operate(leader, OperatorCall::Change { agent, change, principal: None });
                }
            }
            19 => self.tear_down(leader),
            20..23 => self.about_machines(leader),
            _ => {
                if let Some(call) = self.agent_call() {
                    self.call_about_agents(leader, call);
                }
            }
        }
    }

    /// Whether there are none any more.
    fn end_quotas(&mut self) -> bool {
        let (Some(leader), Some(books)) = (self.leader(), self.books()) else { return false };
        let quotas: Vec<(Role, Quota)> =
            books.quotas.keys().map(|role| (role.clone(), Quota::default())).collect();
        if quotas.is_empty() {
            return self.registry.state.quotas.is_empty();
        }
        drop(self.call_about_roles(leader, RoleCall::UpdateQuota { quotas, force: true }));
        false
    }

    /// Whether all agents are in service, apart from those that are given up. What is still silent is broken and not cut off: it is
    /// given up now.
    fn end_drains(&mut self) -> bool {
        let (Some(leader), Some(books)) = (self.leader(), self.books()) else { return false };
        if books.brake.held > 0 {
            self.call_about_agents(leader, AgentCall::AllowRemovals { time: Duration::from_secs(60) });
        }
        let waits = |state: &AgentState| {
            matches!(state, AgentState::Disconnected { .. } | AgentState::Recovered { .. })
        };
        let is_one_silent = books.agents.values().any(|agent| waits(&agent.state));
        let drains = &self.registry.state.drains;
        let open = drains.iter().filter(|(_, plan)| plan.ended.is_none()).map(|(name, _)| name.clone());
        let mut calls: Vec<AgentCall> = open.map(|name| AgentCall::CancelMany { name }).collect();
        for (agent, record) in &self.registry.state.agents {
            let agent = agent.clone();
            match &record.drain {
                _ if matches!(record.standing, Standing::Gone { .. }) => {}
                Some(drain) if !drain.is_drained => calls.push(AgentCall::CancelDrain { agent }),
                _ if record.deactivated => calls.push(AgentCall::Reactivate { agent }),
                _ => {}
            }
        }
        let is_done = calls.is_empty() && !is_one_silent;
        calls.into_iter().for_each(|call| self.call_about_agents(leader, call));
        is_done
    }

    /// Something about agents.
    fn agent_call(&mut self) -> Option<AgentCall> {
        let agents: Vec<AgentId> = self.books()?.agents.keys().cloned().collect();
        let agent = self.rng.pick(&agents)?.clone();
        let name = format!("drain-{}", self.rng.below(DRAINS)).into();
        Some(match self.rng.below(11) {
            0 => AgentCall::Deactivate { agent },
            1 | 2 => AgentCall::Reactivate { agent },
            3..=5 => AgentCall::Drain { agent, order: self.drain_order() },
            6 => AgentCall::CancelDrain { agent },
            7 | 8 => {
                let some = agents.into_iter().filter(|_| !self.rng.once_in(3)).collect();
                let (selection, at_once) = (Selection::Agents(some), 1 + self.rng.below(2) as u32);
                AgentCall::DrainMany { name, selection, at_once, order: self.drain_order() }
            }
            9 => AgentCall::CancelMany { name },
            _ => AgentCall::AllowRemovals { time: Duration::from_secs(self.rng.below(60)) },
        })
    }

    fn drain_order(&mut self) -> DrainOrder {
        let notice = self.rng.once_in(2).then(|| Duration::from_secs(1 + self.rng.below(30)));
        let max_grace = self.rng.once_in(2).then(|| Duration::from_secs(self.rng.below(10)));
        DrainOrder { notice, max_grace, mark_gone: false }
    }

    fn role_call(&mut self) -> RoleCall {
        let role = self.some_role();
        let force = !self.rng.once_in(3);
        match self.rng.below(8) {
            0 => RoleCall::SetQuota { role, guarantee: self.amounts().into_iter().collect(), force },
            1 => RoleCall::RemoveQuota { role },
            2 | 3 => RoleCall::UpdateWeights { weights: vec![(role, Milli(500 * self.rng.below(6)))] },
            _ => {
                let mut quotas = vec![(role, self.quota())];
                for _ in 0..self.rng.below(3) {
                    quotas.push((self.some_role(), self.quota()));
                }
                RoleCall::UpdateQuota { quotas, force }
            }
        }
    }

    fn quota(&mut self) -> Quota {
        let guarantee: Quantities = match self.rng.once_in(2) {
            true => self.amounts().into_iter().collect(),
            false => Quantities::default(),
        };
        let mut limit = Quantities::default();
        if !self.rng.once_in(4) {
            for (name, amount) in self.amounts() {
                limit.add(&name.into(), Milli(guarantee.get(name).0 + amount.0));
            }
        }
        Quota { guarantee, limit: limit.0 }
    }

    fn amounts(&mut self) -> Vec<(&'static str, Milli)> {
        let cpus = ("cpus", Milli([100, 500, 1_000, 3_000, 20_000][self.rng.place(5)]));
        match self.rng.once_in(3) {
            true => vec![cpus, ("mem", Milli::whole(self.rng.below(2_000)))],
            false => vec![cpus],
        }
    }

    fn some_role(&mut self) -> Role {
        Role::new(ROLES[self.rng.place(ROLES.len())]).expect("a valid role")
    }

    /// Something that could be done with what some agent has, used or not.
    fn change(&mut self) -> Option<(AgentId, Change)> {
        let books = self.books()?;
        let agents: Vec<&AgentId> = books.agents.keys().collect();
        let agent = (**self.rng.pick(&agents)?).clone();
        let all = &books.agents.get(&agent)?.total;
        // What the services framework keeps for its instances has labels; an app of which it is taken waits until it is wiped.
        let is_free =
            |one: &&Resource| one.reservations.iter().all(|reservation| reservation.labels.is_empty());
        let volume = all.iter().filter(is_free).find(|resource| resource.is_volume());
        let reserved: Vec<&Resource> = all
            .iter()
            .filter(|one| one.is_dynamically_reserved() && !one.is_volume())
            .filter(is_free)
            .collect();
        let (made, reserved) = (reserved.len(), self.rng.pick(&reserved).copied());
        let disk = reserved.filter(|one| &*one.name == "disk");
        let change = match (self.rng.below(7), volume, reserved) {
            (0, Some(volume), _) => Change::Destroy { volumes: one(volume.clone()) },
            (1, Some(volume), _) => {
                let volume = Box::new(volume.clone());
                Change::ShrinkVolume { volume, subtract: Milli::whole(1) }
            }
            (2, Some(volume), _) => {
                let addition =
                    Resource { value: ResourceValue::Scalar(Milli::whole(1)), ..volume.without_volume() };
                Change::GrowVolume { volume: Box::new(volume.clone()), addition: Box::new(addition) }
            }
            (3, _, Some(reserved)) => Change::Unreserve { resources: one(reserved.clone()) },
            (4 | 5, ..) if let Some(disk) = disk => {
                let id = format!("vo-{}", self.rng.below(1_000));
                Change::Create { volumes: one(volume_of(disk, &id)) }
            }
            _ if made < MAX_MADE => {
                let role = self.some_role();
                Change::Reserve { source: Resources::EMPTY, resources: one(self.reservation(all, role)?) }
            }
            _ => return None,
        };
        Some((agent, change))
    }

    /// A little of what is kept for nobody, as it is to be kept.
    fn reservation(&mut self, all: &Resources, role: Role) -> Option<Resource> {
        let (name, amount) =
            if self.rng.once_in(2) { ("disk", Milli::whole(5)) } else { ("cpus", Milli(200)) };
        let plain = all.iter().find(|one| &*one.name == name && one.reservations.is_empty())?;
        let kind = ReservationKind::Dynamic;
        let reservations = vec![Reservation { kind, role, principal: None, labels: Vec::new() }];
        Some(Resource { value: ResourceValue::Scalar(amount), reservations, ..plain.clone() })
    }

    /// Ends a framework of which nothing else is expected.
    fn tear_down(&mut self, leader: usize) {
        let framework = self.rng.place(self.frameworks.len());
        let node = &self.frameworks[framework];
        let may_go =
            matches!(node.manner, Manner::Moody | Manner::Executing | Manner::Reserver | Manner::Greedy);
        if let Some(id) = node.id.clone().filter(|_| may_go) {
            self.frameworks[framework].torn_down = true;
            self.operate(leader, OperatorCall::Teardown { framework: id });
        }
    }
}
