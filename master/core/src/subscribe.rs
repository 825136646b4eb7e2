//! How a framework comes: new, again, or in place of its former self.

use std::collections::BTreeSet;
use std::sync::Arc;

use chapada_model::{FrameworkDescription, FrameworkId, Role};

use crate::pending::Pending;
use crate::timers::Timer;
use crate::{
    AgentCommand, Effect, ErrorCode, Framework, FrameworkState, Master, OfferConstraints, OperatorEvent,
    RegistryChange, SchedulerEvent, StreamId,
};

/// What a framework wants of offers, beside what stands in its description.
pub(crate) struct Wishes {
    /// The roles in which it wants none.
    pub(crate) suppressed: BTreeSet<Role>,
    /// Which agents it wants.
    pub(crate) constraints: Arc<OfferConstraints>,
}

impl Wishes {
    pub(crate) fn new(suppressed: Vec<Role>, constraints: Arc<OfferConstraints>) -> Self {
        Self { suppressed: suppressed.into_iter().collect(), constraints }
    }
}

impl Master {
    pub(crate) fn subscribe(&mut self, stream: StreamId, description: FrameworkDescription, wishes: Wishes) {
        let invalid = |message| (ErrorCode::InvalidSubscription, message);
        let refusal = check_roles(&description, &wishes).err().map(invalid);
        if let (None, Some(id)) = (&refusal, description.id.as_ref().filter(|id| self.is_removed(id))) {
            return self.refuse_as_removed(id, stream);
        }
        if let Some((code, message)) = refusal.or_else(|| self.why_not_again(&description)) {
            return self.effects.push(Effect::RefuseStream { stream, code, message: message.into() });
        }
        let description = self.with_what_stays(description);
        if let Err(why) = self.check_framework_fits(&description) {
            let (code, message) = invalid(format!("FrameworkInfo is too large: {why}"));
            return self.effects.push(Effect::RefuseStream { stream, code, message: message.into() });
        }
        match description.id.clone().filter(|id| self.books.frameworks.contains_key(id)) {
            Some(id) => self.subscribe_again(&id, stream, description, wishes),
            None => self.subscribe_new(stream, description, wishes),
        }
    }

    /// Why a framework with this id may not come back; nothing when it may, or has none.
    fn why_not_again(&self, description: &FrameworkDescription) -> Option<(ErrorCode, String)> {
        let id = description.id.as_ref()?;
        let known = self.books.frameworks.get(id)?;
        (known.description.principal != description.principal).then(|| {
            let name = |d: &FrameworkDescription| d.principal.as_deref().unwrap_or("").to_owned();
            let message = format!(
                "Changing framework's principal is not supported; attempted to change it from '{}' to '{}'",
                name(&known.description),
                name(description)
            );
            (ErrorCode::InvalidSubscription, message)
        })
    }

    /// A framework that is known stays the same in two things. Source: Mesos, without a word (MESOS-703).
    fn with_what_stays(&self, mut description: FrameworkDescription) -> FrameworkDescription {
        if let Some(known) = description.id.as_ref().and_then(|id| self.books.frameworks.get(id)) {
            description.user = known.description.user.clone();
            description.checkpoint = known.description.checkpoint;
        }
        description
    }

    /// Whether a framework was removed, as far as anyone remembers.
    pub(crate) fn is_removed(&self, id: &FrameworkId) -> bool {
        self.registry.frameworks.get(id).is_some_and(|record| record.removed.is_some())
            || self.books.completed_frameworks.iter().any(|framework| framework.id == *id)
    }

    fn subscribe_new(&mut self, stream: StreamId, mut description: FrameworkDescription, wishes: Wishes) {
        // An id that this master never gave is taken: it may be from before a registry was lost.
        let Some(id) = description.id.clone().or_else(|| self.new_framework_id()) else { return };
        description.id = Some(id.clone());
        let framework = Framework {
            id: id.clone(),
            description: Arc::new(description),
            state: FrameworkState::Subscribing { stream: stream.clone() },
            registered: self.now.wall,
            reregistered: None,
            disconnected: None,
            recovered: false,
            suppressed: wishes.suppressed,
            constraints: wishes.constraints,
        };
        let change = RegistryChange::PutFramework(id.clone(), Self::framework_record(&framework));
        self.books.frameworks.insert(id.clone(), Arc::new(framework));
        self.record_then(change, Pending::Subscribe { framework: id, stream, is_new: true });
    }

    fn subscribe_again(
        &mut self,
        id: &FrameworkId,
        stream: StreamId,
        description: FrameworkDescription,
        wishes: Wishes,
    ) {
        self.cut_stream(id);
        let now = self.now.wall;
        let Some(framework) = self.framework_mut(id) else { return };
        if *framework.description != description {
            framework.description = Arc::new(description);
        }
        let until = match framework.state {
            FrameworkState::Disconnected { until } => Some(until),
            FrameworkState::Subscribing { .. }
            | FrameworkState::Active { .. }
            | FrameworkState::Completed { .. } => None,
        };
        framework.state = FrameworkState::Subscribing { stream: stream.clone() };
        framework.suppressed = wishes.suppressed;
        framework.constraints = wishes.constraints;
        framework.reregistered = Some(now);
        let away_since = framework.disconnected.take();
        let is_new = std::mem::take(&mut framework.recovered);
        let record = Self::framework_record(framework);
        if let Some(until) = until {
            self.timers.clear(until, Timer::Framework(id.clone()));
        }
        self.note_no_longer_idle(id, away_since);
        let is_recorded = self.registry.frameworks.get(id) == Some(&record);
        let waits = self.pending.has_subscription_of(id);
        match is_recorded && !waits {
            true => self.welcome(id, &stream, is_new),
            false => {
                let then = Pending::Subscribe { framework: id.clone(), stream, is_new };
                self.record_then(RegistryChange::PutFramework(id.clone(), record), then);
            }
        }
    }

    /// Ends the stream that a framework has, if it has one, because another takes its place.
    fn cut_stream(&mut self, id: &FrameworkId) {
        let Some(framework) = self.books.frameworks.get(id) else { return };
        let stream = match &framework.state {
            FrameworkState::Active { stream } | FrameworkState::Subscribing { stream } => stream.clone(),
            FrameworkState::Disconnected { .. } | FrameworkState::Completed { .. } => return,
        };
        self.own_ends.doubt(id, self.now.mono);
        let (code, message) = (ErrorCode::FrameworkFailedOver, "Framework failed over".into());
        let event = SchedulerEvent::Error { code, message };
        self.effects.push(Effect::ToFramework { framework: id.clone(), stream: stream.clone(), event });
        self.effects.push(Effect::CloseStream { stream });
        self.discard_offers(id);
        self.patience.forget_subscription(id);
        self.allocator.deactivate_framework(id);
    }

    /// The framework is in the registry: it is subscribed from now on.
    pub(crate) fn welcome(&mut self, id: &FrameworkId, stream: &StreamId, is_new: bool) {
        let Some(framework) = self.framework_mut(id) else { return };
        if framework.state != (FrameworkState::Subscribing { stream: stream.clone() }) {
            return;
        }
        framework.state = FrameworkState::Active { stream: stream.clone() };
        let input = framework.allocator_input();
        let description = framework.description.clone();
        let shared = Arc::new(framework.clone());
        self.tell_framework(id, SchedulerEvent::Subscribed);
        self.repeat_own_ends(id);
        self.repeat_unacknowledged(id);
        self.repeat_operations(id);
        self.tell_agents_of(id, &AgentCommand::UpdateFramework { framework: description });
        self.allocator.set_framework(id, input);
        self.note_wishes(id, true);
        self.ask_to_leave_all(id);
        self.tell_operators(match is_new {
            true => OperatorEvent::FrameworkAdded(shared),
            false => OperatorEvent::FrameworkUpdated(shared),
        });
    }

    /// Sends what its former self may not have seen, in order. The agents repeat the same, only later.
    fn repeat_unacknowledged(&mut self, id: &FrameworkId) {
        let mut statuses = Vec::new();
        for task in self.books.tasks_of(id) {
            let open = |uuid| task.unacknowledged.contains(&uuid);
            statuses.extend(task.statuses.iter().filter(|s| s.uuid.is_some_and(open)).cloned());
        }
        for status in statuses {
            self.tell_framework(id, SchedulerEvent::Update(status));
        }
    }

    fn new_framework_id(&mut self) -> Option<FrameworkId> {
        let id = format!("{}-{:04}", self.settings.master_id, self.next_framework);
        self.next_framework += 1;
        FrameworkId::new(id).ok()
    }
}

/// Checks what a framework says about its roles. Source: Mesos' messages.
pub(crate) fn check_roles(description: &FrameworkDescription, wishes: &Wishes) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    let twice: BTreeSet<&str> =
        description.roles.iter().filter(|role| !seen.insert(*role)).map(Role::as_str).collect();
    if !twice.is_empty() {
        let twice: Vec<&str> = twice.into_iter().collect();
        return Err(format!("'FrameworkInfo.roles' contains duplicate items: {{ {} }}", twice.join(", ")));
    }
    if let Some(role) = wishes.suppressed.iter().find(|role| !seen.contains(role)) {
        return Err(format!("Suppressed role '{role}' is not in the framework's roles"));
    }
    match wishes.constraints.said().keys().find(|role| !seen.contains(role)) {
        Some(role) => Err(format!(
            "Offer constraints are given for role '{role}', which is not in the framework's roles"
        )),
        None => Ok(()),
    }
}
