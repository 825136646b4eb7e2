//! What the simulated master makes of a call.

use std::time::Duration;

use chapada_model::{
    AgentId, FrameworkId, OfferId, Reason, Resources, TaskId, TaskState, TaskStatus, UpdateUuid,
};
use chapada_sdk::wire;
use chapada_sdk::wire::scheduler as api;
use chapada_sdk::wire::scheduler::call::Type;
use chapada_sdk::wire::scheduler::event::Type as EventType;
use chapada_wire::convert::resources_from_wire;

use crate::agent::Standing;
use crate::rule::Rule;
use crate::world::{Fate, World, said};

/// How often a subscription is told that the master lives, in seconds.
const HEARTBEAT_SECONDS: f64 = 15.0;
/// How long declined resources stay away when the call does not say. Source: the v1 API.
const USUAL_REFUSAL: Duration = Duration::from_secs(5);

/// The tasks that a call launches.
pub(crate) fn launched(call: &api::Call) -> Vec<&wire::TaskInfo> {
    let operations = call.accept.iter().flat_map(|accept| &accept.operations);
    operations.flat_map(tasks_of).collect()
}

fn tasks_of(operation: &wire::offer::Operation) -> Vec<&wire::TaskInfo> {
    let single = operation.launch.iter().flat_map(|launch| &launch.task_infos);
    let groups = operation.launch_group.iter().filter_map(|launch| launch.task_group.as_ref());
    single.chain(groups.flat_map(|group| &group.tasks)).collect()
}

fn id<'a, W, M: TryFrom<&'a W>>(wire: Option<&'a W>) -> Option<M> {
    M::try_from(wire?).ok()
}

impl World {
    pub(crate) fn on_call(&mut self, call: &api::Call) {
        match call.r#type() {
            Type::Subscribe => self.on_subscribe(call),
            Type::Accept => self.on_accept(call),
            Type::Decline => {
                let decline = call.decline.clone().unwrap_or_default();
                for offer in &decline.offer_ids {
                    self.answer(offer, decline.filters.as_ref());
                }
            }
            Type::Revive => {
                self.suppressed = false;
                self.refused_until.clear();
            }
            Type::Suppress => self.suppressed = true,
            Type::Kill => self.on_kill(&call.kill.clone().unwrap_or_default()),
            Type::Acknowledge => self.on_acknowledge(&call.acknowledge.clone().unwrap_or_default()),
            Type::Reconcile => self.on_reconcile(&call.reconcile.clone().unwrap_or_default()),
            Type::Teardown => {
                self.agents.values_mut().for_each(|agent| agent.tasks.clear());
                self.framework = None;
                self.hang_up();
            }
            _ => {}
        }
    }

    fn on_subscribe(&mut self, call: &api::Call) {
        let said: Option<FrameworkId> = id(call.framework_id.as_ref());
        match (&self.framework, &said) {
            (Some(known), said) if said.as_ref() != Some(known) => {
                let what = format!("{known} came back as {said:?}");
                self.break_rule(Rule::KeepTheFrameworkId, what);
            }
            (Some(_) | None, _) => {}
        }
        let framework =
            said.or_else(|| self.framework.clone()).or_else(|| FrameworkId::new("framework-1").ok());
        self.framework.clone_from(&framework);
        self.subscribed = true;
        self.suppressed = false;
        let subscribed = api::event::Subscribed {
            framework_id: framework.as_ref().map(Into::into),
            heartbeat_interval_seconds: Some(HEARTBEAT_SECONDS),
            master_info: None,
        };
        self.say(EventType::Subscribed, |event| event.subscribed = Some(subscribed));
    }

    /// What of an offer may be used; none when it may not.
    fn answer(
        &mut self,
        wire: &wire::OfferId,
        filters: Option<&wire::Filters>,
    ) -> Option<(AgentId, Resources)> {
        let now = self.now;
        let refuse = filters.and_then(|filters| filters.refuse_seconds);
        let refuse =
            refuse.map_or(USUAL_REFUSAL, |seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default());
        let offer: Option<OfferId> = id(Some(wire));
        match offer.as_ref().and_then(|offer| self.offers.get_mut(offer)) {
            Some(offer) if offer.fate == Fate::Open => {
                offer.fate = Fate::Answered;
                self.refused_until.insert(offer.agent.clone(), now + refuse);
                Some((offer.agent.clone(), offer.resources.clone()))
            }
            Some(offer) if offer.fate == Fate::Void => None,
            Some(_) => {
                self.break_rule(Rule::AnswerAnOfferOnce, format!("offer {} is answered again", wire.value()));
                None
            }
            None => {
                self.break_rule(Rule::AnswerAnOfferOnce, format!("offer {} was never made", wire.value()));
                None
            }
        }
    }

    fn on_accept(&mut self, call: &api::Call) {
        let accept = call.accept.clone().unwrap_or_default();
        let (mut agent, mut left) = (None, Some(Resources::EMPTY));
        for wire in &accept.offer_ids {
            let part = self.answer(wire, accept.filters.as_ref());
            agent = part.as_ref().map(|(agent, _)| agent.clone()).or(agent);
            left = left.zip(part).and_then(|(sum, (_, part))| sum.checked_add(&part).ok());
        }
        for info in launched(call) {
            let Some(task) = id::<_, TaskId>(info.task_id.as_ref()) else { continue };
            let fresh = self.used_ids.insert(task.clone());
            let Some((agent, free)) = agent.clone().zip(left.clone()) else {
                // What comes of an answer that crossed the offer's end.
                let status = TaskStatus {
                    reason: Some(Reason::InvalidOffers),
                    ..TaskStatus::new(task, TaskState::Dropped)
                };
                self.say_status(&status);
                continue;
            };
            let needs = resources_from_wire("resources", &info.resources).unwrap_or_default().unallocated();
            let rest = free.checked_sub(&needs).ok();
            match (fresh, rest) {
                (true, Some(rest)) => {
                    left = Some(rest);
                    let now = self.now;
                    if let Some(agent) = self.agents.get_mut(&agent) {
                        agent.launch(now, task, needs);
                    }
                }
                (false, _) => {
                    self.break_rule(Rule::UseATaskIdOnce, format!("{task} is launched again"));
                }
                (true, None) => {
                    self.break_rule(
                        Rule::StayWithinTheOffer,
                        format!("{task} needs {needs}, there is {free}"),
                    );
                    self.say_status(&said(&task, &agent, TaskState::Error, Reason::TaskInvalid));
                }
            }
        }
    }

    fn on_kill(&mut self, kill: &api::call::Kill) {
        let Some(task) = id::<_, TaskId>(kill.task_id.as_ref()) else { return };
        let now = self.now;
        let agents = self.agents.values_mut().filter(|agent| agent.standing == Standing::Registered);
        let mut ended = false;
        for agent in agents {
            ended |= agent.end(now, &task, TaskState::Killed);
        }
        if !ended {
            self.tell_state(&task, id(kill.agent_id.as_ref()).as_ref());
        }
    }

    fn on_acknowledge(&mut self, wire: &api::call::Acknowledge) {
        let (task, agent) =
            (id::<_, TaskId>(wire.task_id.as_ref()), id::<_, AgentId>(wire.agent_id.as_ref()));
        let uuid = wire.uuid.as_deref().and_then(UpdateUuid::from_slice);
        let (Some(task), Some(agent), Some(uuid)) = (task, agent, uuid) else {
            return self.break_rule(Rule::AcknowledgeEveryUpdate, format!("{wire:?} names no update"));
        };
        // One that was sent twice is rightly acknowledged twice, so what is not known is not held against anybody.
        if let Some(agent) = self.agents.get_mut(&agent) {
            agent.acknowledge(&task, uuid);
        }
    }

    fn on_reconcile(&mut self, wire: &api::call::Reconcile) {
        if wire.tasks.is_empty() {
            let known =
                self.agents.values().filter(|agent| !matches!(agent.standing, Standing::Returning(_)));
            let tasks: Vec<TaskId> = known.flat_map(|agent| agent.tasks.keys().cloned()).collect();
            tasks.iter().for_each(|task| self.tell_state(task, None));
        }
        for asked in &wire.tasks {
            if let Some(task) = id::<_, TaskId>(asked.task_id.as_ref()) {
                self.tell_state(&task, id(asked.agent_id.as_ref()).as_ref());
            }
        }
    }

    /// Silent about what an agent may have that has not come back yet.
    fn tell_state(&mut self, task: &TaskId, hint: Option<&AgentId>) {
        let is_away = |agent: &AgentId| {
            self.agents.get(agent).is_some_and(|agent| matches!(agent.standing, Standing::Returning(_)))
        };
        let status = match self.find(task) {
            Some((_, agent, _)) if matches!(agent.standing, Standing::Returning(_)) => return,
            Some((id, agent, _)) if agent.standing == Standing::Unreachable => {
                said(task, id, TaskState::Unreachable, Reason::Reconciliation)
            }
            Some((id, _, state)) => said(task, id, state, Reason::Reconciliation),
            None if hint.is_some_and(is_away) => return,
            None => TaskStatus {
                agent: hint.cloned(),
                reason: Some(Reason::Reconciliation),
                ..TaskStatus::new(task.clone(), TaskState::Unknown)
            },
        };
        self.say_status(&status);
    }
}
