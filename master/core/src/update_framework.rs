//! UPDATE_FRAMEWORK: all of it or nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use chapada_model::{FrameworkDescription, FrameworkId, OfferId, Role};

use crate::pending::Pending;
use crate::subscribe::{Wishes, check_roles};
use crate::{AgentCommand, CallRefused, Master, OperatorEvent, RegistryChange, Ticket};

impl Master {
    /// The ticket of what is to be durable before the framework is answered; none when nothing is.
    pub(crate) fn update_framework(
        &mut self,
        id: &FrameworkId,
        description: FrameworkDescription,
        wishes: Wishes,
    ) -> Result<Option<Ticket>, CallRefused> {
        let invalid = |why: String| CallRefused::Invalid(format!("FrameworkInfo update is not valid: {why}"));
        let known = self.books.frameworks.get(id).ok_or(CallRefused::UnknownFramework)?;
        check_roles(&description, &wishes).map_err(invalid)?;
        check_unchanged(&known.description, &description).map_err(invalid)?;
        let description = FrameworkDescription { id: Some(id.clone()), ..description };
        self.check_framework_fits(&description).map_err(invalid)?;
        let description = Arc::new(description);
        let is_changed = known.description != description;
        let Some(framework) = self.framework_mut(id) else { return Err(CallRefused::UnknownFramework) };
        framework.description = description.clone();
        let before = std::mem::replace(&mut framework.suppressed, wishes.suppressed);
        let revived: BTreeSet<Role> = before.difference(&framework.suppressed).cloned().collect();
        framework.constraints = wishes.constraints;
        let input = framework.allocator_input();
        let (record, shared) = (Self::framework_record(framework), Arc::new(framework.clone()));
        self.rescind_outside(id, &input.roles);
        self.allocator.set_framework(id, input);
        if !revived.is_empty() {
            // What was refused in a role before it was suppressed is offered again, as by REVIVE.
            self.allocator.revive(id, &revived);
        }
        self.note_wishes(id, false);
        if !is_changed {
            return Ok(self.pending.last_update_of(id));
        }
        let then = Pending::Update { framework: id.clone() };
        let ticket = self.record_then(RegistryChange::PutFramework(id.clone(), record), then);
        self.tell_agents_of(id, &AgentCommand::UpdateFramework { framework: description });
        self.tell_operators(OperatorEvent::FrameworkUpdated(shared));
        Ok(Some(ticket))
    }

    /// Takes back what was offered in roles that the framework no longer has.
    fn rescind_outside(&mut self, id: &FrameworkId, roles: &BTreeSet<Role>) {
        let offers = self.index.offers_by_framework.of(id).into_iter();
        let is_outside =
            |offer: &OfferId| self.books.offers.get(offer).is_some_and(|o| !roles.contains(&o.role));
        let outside: Vec<OfferId> = offers.filter(is_outside).collect();
        for offer in outside {
            self.rescind(&offer);
        }
    }
}

/// Three things stay as they are. Source: Mesos' messages.
fn check_unchanged(before: &FrameworkDescription, after: &FrameworkDescription) -> Result<(), String> {
    let text = |text: &Option<chapada_model::Text>| text.as_deref().unwrap_or("").to_owned();
    let fields = [
        ("user", before.user.to_string(), after.user.to_string()),
        ("checkpoint", before.checkpoint.to_string(), after.checkpoint.to_string()),
        ("principal", text(&before.principal), text(&after.principal)),
    ];
    match fields.into_iter().find(|(_, before, after)| before != after) {
        Some((name, before, after)) => Err(format!(
            "Updating 'FrameworkInfo.{name}' is unsupported; attempted to update from '{before}' to '{after}'"
        )),
        None => Ok(()),
    }
}
