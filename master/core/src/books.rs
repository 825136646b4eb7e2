//! Changes of the records that keep the sums: what is free, offered and used at each agent, and who is charged for it.

use std::sync::Arc;

use chapada_allocator::Refusal;
use chapada_model::{AgentId, Conversion, FrameworkId, OfferId, Resources, Role, TaskKey};

use crate::timers::Timer;
use crate::{Agent, Effect, Framework, Master, Offer, OperatorEvent, SchedulerEvent, Task};

impl Master {
    pub(crate) fn agent_mut(&mut self, id: &AgentId) -> Option<&mut Agent> {
        self.books.agents.get_mut(id).map(Arc::make_mut)
    }

    pub(crate) fn framework_mut(&mut self, id: &FrameworkId) -> Option<&mut Framework> {
        self.books.frameworks.get_mut(id).map(Arc::make_mut)
    }

    pub(crate) fn task_mut(&mut self, key: &TaskKey) -> Option<&mut Task> {
        self.books.tasks.get_mut(key).map(Arc::make_mut)
    }

    pub(crate) fn insert_task(&mut self, mut task: Task) -> Arc<Task> {
        task.resources = self.interned.share(task.resources);
        let (key, task) = (task.key(), Arc::new(task));
        self.own_ends.take(&key.framework, &key.task);
        self.index.tasks_by_agent.insert(&task.agent, key.clone());
        self.books.tasks.insert(key, task.clone());
        task
    }

    /// Sends an event on a framework's stream; nothing when it has none.
    pub(crate) fn tell_framework(&mut self, id: &FrameworkId, event: SchedulerEvent) {
        let stream = self.books.frameworks.get(id).and_then(|framework| framework.stream()).cloned();
        if let Some(stream) = stream {
            self.effects.push(Effect::ToFramework { framework: id.clone(), stream, event });
        }
    }

    pub(crate) fn tell_operators(&mut self, event: OperatorEvent) {
        self.effects.push(Effect::Operator(event));
    }

    /// Takes an offer out of the books. Its resources are not free yet: the caller says what becomes of them.
    pub(crate) fn take_offer(&mut self, id: &OfferId) -> Option<Arc<Offer>> {
        let offer = self.books.offers.remove(id)?;
        self.index.offers_by_agent.remove(&offer.agent, id);
        self.index.offers_by_framework.remove(&offer.framework, id);
        self.timers.clear(offer.until, Timer::Offer(id.clone()));
        self.patience.forget_offer(&offer);
        if let Some(agent) = self.agent_mut(&offer.agent) {
            subtract(&mut agent.offered, &offer.resources);
        }
        self.allocator.unshare((&offer.framework, &offer.role, &offer.agent), &offer.resources);
        Some(offer)
    }

    /// What an offer had is free again, perhaps refused for some time.
    pub(crate) fn give_back(&mut self, offer: &Offer, resources: &Resources, refusal: Option<Refusal>) {
        if resources.is_empty() {
            return;
        }
        self.allocator.discharge(&offer.framework, &offer.role, resources);
        self.set_free(&offer.agent, resources);
        if let Some(refusal) = refusal {
            let at = (&offer.framework, &offer.role, &offer.agent);
            self.allocator.refuse(self.now.mono, at, resources, refusal);
        }
    }

    /// What a task or executor held is free again.
    pub(crate) fn release(
        &mut self,
        agent: &AgentId,
        framework: &FrameworkId,
        role: &Role,
        resources: &Resources,
    ) {
        self.allocator.discharge(framework, role, resources);
        let Some(record) = self.agent_mut(agent) else { return };
        subtract(&mut record.used, &resources.allocated_to(role));
        let free = record.free_again(resources);
        self.allocator.set_free(agent, free, true);
    }

    /// What an operation held has become something else, which is free.
    pub(crate) fn exchange(
        &mut self,
        agent: &AgentId,
        framework: &FrameworkId,
        role: &Role,
        conversion: &Conversion,
    ) {
        self.allocator.discharge(framework, role, &conversion.consumed);
        if let Some(record) = self.agent_mut(agent) {
            subtract(&mut record.used, &conversion.consumed.allocated_to(role));
        }
        self.set_free(agent, &conversion.converted);
    }

    /// Adds to what is free at an agent.
    pub(crate) fn set_free(&mut self, id: &AgentId, freed: &Resources) {
        let Some(agent) = self.agent_mut(id) else { return };
        let free = agent.free_again(freed);
        self.allocator.set_free(id, free, true);
    }

    /// The resources of an offer that are used now go from offered to used.
    pub(crate) fn use_offered(&mut self, agent: &AgentId, role: &Role, resources: &Resources) {
        if let Some(record) = self.agent_mut(agent) {
            add(&mut record.used, &resources.allocated_to(role));
        }
        self.ask_to_leave(agent);
    }
}

impl Agent {
    /// Adds to what is free, and gives all that is; what the agent has lost below what still ran is made up for first. What
    /// is shared was free all the time.
    fn free_again(&mut self, freed: &Resources) -> Resources {
        let mut freed = freed.unshared().into_owned();
        let missing = self.overcommit.intersection(&freed);
        subtract(&mut self.overcommit, &missing);
        self.forget_unused_shared();
        subtract(&mut freed, &missing);
        add(&mut self.free, &freed);
        self.free.clone()
    }
}

/// Adds what the books prove to be addable. Should they be wrong, nothing is added, and the audit says so.
pub(crate) fn add(sum: &mut Resources, more: &Resources) {
    let added = sum.add(more);
    debug_assert!(added.is_ok(), "{added:?}");
}

/// Takes away what the books prove to be there. Should they be wrong, nothing is taken, and the audit says so.
pub(crate) fn subtract(sum: &mut Resources, less: &Resources) {
    let taken = sum.sub(less);
    debug_assert!(taken.is_ok(), "{taken:?}");
}
