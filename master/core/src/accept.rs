//! ACCEPT: offers used for operations, in order, against what is left of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use chapada_allocator::Refusal;
use chapada_model::{
    AgentId, ExecutorDescription, ExecutorKey, FrameworkId, OfferId, OperationState, Reason, Resources, Role,
    Source, TaskDescription, TaskState, TaskStatus, Text,
};

use crate::books::{add, subtract};
use crate::planted::Bug;
use crate::{
    Accept, AgentCommand, Executor, Master, Offer, Operation, OperatorEvent, Proposal, SchedulerEvent, Task,
    TaskGroup,
};

/// Offers of one agent and role in the middle of being used.
pub(crate) struct Hand {
    pub(crate) framework: FrameworkId,
    pub(crate) agent: AgentId,
    pub(crate) role: Role,
    /// What is left, allocated to nobody in form.
    pub(crate) left: Resources,
    /// When the newest of the offers was made.
    pub(crate) newest_offer: chapada_model::Mono,
}

impl Hand {
    /// Puts what an offer has to what is left. What is shared is there once, whatever comes of it.
    fn take(&mut self, offered: &Resources) {
        crate::books::add(&mut self.left, &offered.unshared());
        let shared = self.left.share(offered);
        debug_assert!(shared.is_ok(), "{shared:?}");
    }
}

impl Master {
    pub(crate) fn accept(&mut self, framework: &FrameworkId, accept: Accept) {
        self.note_answer(framework, &accept.offers);
        let offers = match self.check_offers(framework, &accept.offers) {
            Ok(offers) => offers,
            Err(error) => return self.refuse_offers(framework, accept, &error),
        };
        let Some(first) = offers.first() else { return };
        let mut hand = Hand {
            framework: framework.clone(),
            agent: first.agent.clone(),
            role: first.role.clone(),
            left: Resources::EMPTY,
            newest_offer: offers.iter().map(|offer| offer.since.mono).max().unwrap_or(first.since.mono),
        };
        for offer in &offers {
            self.take_offer(&offer.id);
            hand.take(&offer.resources.unallocated());
        }
        let mut is_used = false;
        for operation in accept.operations {
            is_used |= self.operate(&mut hand, operation);
        }
        let refusal = match is_used {
            true => Refusal::Leftover(accept.filters.refuse),
            false => Refusal::Declined(accept.filters.refuse),
        };
        let count = u64::try_from(offers.len()).unwrap_or(u64::MAX);
        match is_used {
            true => self.books.counters.offers_accepted += count,
            false => self.books.counters.offers_declined += count,
        }
        let left = match self.has(Bug::OfferUsedTwice) {
            true => first.resources.unallocated(),
            false => hand.left,
        };
        self.give_back(first, &left, Some(refusal));
    }

    /// All offers must be valid, different, and of one agent and role. Source: Mesos' messages.
    fn check_offers(&self, framework: &FrameworkId, ids: &[OfferId]) -> Result<Vec<Arc<Offer>>, String> {
        let mut seen = BTreeSet::new();
        let mut offers: Vec<Arc<Offer>> = Vec::with_capacity(ids.len());
        for id in ids {
            let offer = self.books.offers.get(id).ok_or_else(|| format!("Offer {id} is no longer valid"))?;
            if !seen.insert(id) {
                return Err(format!("Duplicate offer {id} in offer list"));
            }
            if offer.framework != *framework {
                return Err(format!(
                    "Offer {id} has invalid framework {} while framework {framework} is expected",
                    offer.framework
                ));
            }
            if let Some(first) = offers.first() {
                if first.agent != offer.agent {
                    return Err(format!(
                        "Aggregated offers must belong to one single agent. Offer {id} uses agent {} and agent {}",
                        offer.agent, first.agent
                    ));
                }
                if first.role != offer.role {
                    return Err(format!(
                        "Aggregated offers must be allocated to the same role. Offer {id} uses role {} but another is using role {}",
                        offer.role, first.role
                    ));
                }
            }
            offers.push(offer.clone());
        }
        match offers.is_empty() {
            true => Err("No offers specified".to_owned()),
            false => Ok(offers),
        }
    }

    /// The offers cannot be used: those that exist are given back, and each task is told.
    fn refuse_offers(&mut self, framework: &FrameworkId, accept: Accept, error: &str) {
        for id in &accept.offers {
            if self.books.offers.get(id).is_some_and(|offer| offer.framework == *framework) {
                self.discard(id);
            }
        }
        let state = self.or_lost(framework, TaskState::Dropped);
        let message = format!("Task launched with invalid offers: {error}");
        for operation in accept.operations {
            match operation {
                Operation::Launch { tasks } | Operation::LaunchGroup(TaskGroup { tasks, .. }) => {
                    for task in &tasks {
                        self.refuse_task(framework, task, state, Reason::InvalidOffers, &message);
                    }
                }
                Operation::Change { id, .. }
                | Operation::Refused { id, .. }
                | Operation::Unsupported { id, .. } => {
                    let message = format!("Operation attempted with invalid offers: {error}");
                    self.refuse_operation(framework, None, id, OperationState::Error, &message);
                }
                Operation::Misnamed { id, .. } => {
                    let message = format!("Operation attempted with invalid offers: {error}");
                    self.refuse_misnamed(framework, id, &message);
                }
            }
        }
    }

    /// Does one operation. True when it has used the offers, well or not.
    fn operate(&mut self, hand: &mut Hand, operation: Operation) -> bool {
        let framework = hand.framework.clone();
        if let Operation::LaunchGroup(group) = &operation
            && self.kill_early(hand, &group.tasks)
        {
            return true;
        }
        match operation {
            Operation::Launch { tasks } => {
                let is_used = !tasks.is_empty();
                for proposal in tasks {
                    if !self.kill_early(hand, std::slice::from_ref(&proposal)) {
                        self.launch(hand, proposal);
                    }
                }
                is_used
            }
            Operation::LaunchGroup(group) => self.launch_group(hand, group),
            Operation::Change { id, change } => {
                self.change(hand, id, &change);
                true
            }
            Operation::Refused { name, id, message } => {
                let (agent, message) = (hand.agent.clone(), format!("Invalid {name} operation: {message}"));
                self.refuse_operation(&framework, Some(agent), id, OperationState::Error, &message);
                true
            }
            Operation::Misnamed { name, id, message } => {
                self.refuse_misnamed(&framework, id, &format!("Invalid {name} operation: {message}"));
                true
            }
            Operation::Unsupported { name, id, message } => {
                let (agent, message) = (hand.agent.clone(), format!("{name} is not supported: {message}"));
                self.refuse_operation(&framework, Some(agent), id, OperationState::Unsupported, &message);
                true
            }
        }
    }

    fn launch(&mut self, hand: &mut Hand, proposal: Proposal) {
        let message = match &proposal {
            Proposal::Valid(task) => self.check_task(hand, task).err(),
            Proposal::Malformed(task) => Some(task.message.to_string()),
        };
        match (message, proposal) {
            (None, Proposal::Valid(task)) => self.start(hand, *task),
            (message, proposal) => {
                let message = message.unwrap_or_default();
                let framework = hand.framework.clone();
                self.refuse_task(&framework, &proposal, TaskState::Error, Reason::TaskInvalid, &message);
            }
        }
    }

    /// The task fits: it is in the books and on its way.
    fn start(&mut self, hand: &mut Hand, description: TaskDescription) {
        let is_first =
            description.executor.as_ref().is_some_and(|executor| self.start_executor(hand, executor));
        let task = self.place(hand, description);
        if let Some(framework) = self.books.frameworks.get(&hand.framework) {
            let (framework, role) = (framework.description.clone(), hand.role.clone());
            self.tell_agent(&hand.agent, AgentCommand::Launch { framework, task, role, is_first });
        }
    }

    /// The task is in the books.
    pub(crate) fn place(&mut self, hand: &mut Hand, description: TaskDescription) -> Arc<TaskDescription> {
        let now = self.now.wall;
        // The id that the books have, so that it is stored once.
        let resources = self.interned.share(description.resources);
        let agent = hand.agent.clone();
        let description = Arc::new(TaskDescription { agent, resources, ..description });
        let task = Task::new(
            hand.framework.clone(),
            description.clone(),
            description.resources.unallocated(),
            hand.agent.clone(),
            hand.role.clone(),
            now,
        );
        // What is shared is left for the next task, too.
        subtract(&mut hand.left, &task.resources.unshared());
        if let Some(agent) = self.agent_mut(&hand.agent) {
            add(&mut agent.used, &task.resources.allocated_to(&hand.role));
            agent.tasks = agent.tasks.saturating_add(1);
        }
        self.books.counters.launched += 1;
        let task = self.insert_task(task);
        self.tell_operators(OperatorEvent::TaskAdded(task));
        self.ask_to_leave(&hand.agent);
        description
    }

    /// An executor that does not run yet takes its own share of the offers; true when it does.
    pub(crate) fn start_executor(&mut self, hand: &mut Hand, executor: &ExecutorDescription) -> bool {
        let key = ExecutorKey { framework: hand.framework.clone(), executor: executor.id.clone() };
        if self.books.agents.get(&hand.agent).is_none_or(|agent| agent.executors.contains_key(&key)) {
            return false;
        }
        let resources = executor.resources.unallocated();
        subtract(&mut hand.left, &resources);
        self.use_offered(&hand.agent, &hand.role, &resources);
        self.index.executors_by_framework.insert(&hand.framework, hand.agent.clone());
        let executor =
            Executor { description: Arc::new(executor.clone()), role: hand.role.clone(), resources };
        if let Some(agent) = self.agent_mut(&hand.agent) {
            agent.executors.insert(key, executor);
        }
        true
    }

    /// Says that a task was not started, and why.
    pub(crate) fn refuse_task(
        &mut self,
        framework: &FrameworkId,
        proposal: &Proposal,
        state: TaskState,
        reason: Reason,
        message: &str,
    ) {
        let (message, timestamp): (Text, _) = (message.into(), self.now.wall);
        *self.books.counters.ended.entry(state).or_default() += 1;
        let event = match proposal {
            Proposal::Malformed(task) => SchedulerEvent::UpdateMalformed {
                task_id: task.task_id.clone(),
                agent_id: task.agent_id.clone(),
                state,
                reason,
                message,
                timestamp,
            },
            Proposal::Valid(task) => SchedulerEvent::Update(Arc::new(TaskStatus {
                source: Some(Source::Master),
                reason: Some(reason),
                message: Some(message),
                agent: Some(task.agent.clone()),
                timestamp: Some(timestamp),
                ..TaskStatus::new(task.id.clone(), state)
            })),
        };
        self.tell_framework(framework, event);
    }
}
