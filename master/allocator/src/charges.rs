//! Who holds how much. A framework or role of which nothing is left is forgotten.

use chapada_model::{FrameworkId, Quantities, Resources, Role};

use crate::amounts::Counted;
use crate::framework::Framework;
use crate::quota::QuotaSlot;
use crate::{AgentSlot, Allocator, Amounts, Client};

/// How many agents are looked at again when quota makes room. Most often one has what may now be offered; when offers come
/// of it, more agents follow.
const MAX_RETRIES: usize = 64;

impl Allocator {
    /// The framework holds this much more, in this role. What is shared counts for nobody.
    pub fn charge(&mut self, framework: &FrameworkId, role: &Role, resources: &Resources) {
        let slot = self.frameworks.ensure(framework, Framework::default);
        let client = self.use_client(slot, role);
        let counted = self.names.charged(resources);
        self.charge_client(client, counted, 0);
        // What is held counts toward a guarantee: less may be owed now, and kept from others.
        self.retry_kept_back();
        self.forget_client_if_idle(client.slot);
        self.forget_framework_if_idle(slot);
    }

    /// The framework holds this much less, in this role.
    pub fn discharge(&mut self, framework: &FrameworkId, role: &Role, resources: &Resources) {
        let Some(slot) = self.frameworks.slot(framework) else { return };
        let Some(client) = self.find_client(slot, role) else { return };
        let Counted { all, open } = self.names.charged(resources);
        self.policy.discharge(client, &all);
        if let Some(record) = self.clients.get_mut(client.slot) {
            record.charged.sub(&all);
            record.open.sub(&open);
        }
        self.consume_in(client, &open, false);
        self.forget_client_if_idle(client.slot);
        self.forget_framework_if_idle(slot);
    }

    /// What each framework is charged with, by role.
    pub fn charges(&self) -> impl Iterator<Item = (&FrameworkId, &Role, Quantities)> {
        self.clients.iter().filter(|(.., record)| !record.charged.is_empty()).filter_map(|(_, _, record)| {
            let (framework, role) = (self.frameworks.key(record.framework)?, self.roles.key(record.role)?);
            Some((framework, role, self.names.quantities(&record.charged)))
        })
    }

    pub(crate) fn charge_client(&mut self, client: Client, counted: Counted, offers: u64) {
        let Counted { all, open } = counted;
        self.policy.charge(client, &all, offers);
        if let Some(record) = self.clients.get_mut(client.slot) {
            record.charged.add(&all);
            record.open.add(&open);
        }
        if offers > 0
            && let Some(role) = self.roles.get(client.role)
        {
            self.quotas.note_offer(&role.path, &open);
        }
        self.consume_in(client, &open, true);
    }

    fn consume_in(&mut self, client: Client, open: &Amounts, plus: bool) {
        let path = match self.roles.get(client.role) {
            Some(record) if !record.path.is_empty() => record.path.clone(),
            Some(_) | None => return,
        };
        self.consume(&path, open, plus);
    }

    /// Counts for these quotas. When room is made below a limit, agents of which something was kept back are worth a look.
    pub(crate) fn consume(&mut self, path: &[QuotaSlot], amounts: &Amounts, plus: bool) {
        if path.is_empty() || amounts.is_empty() {
            return;
        }
        self.quotas.consume(path, amounts, plus);
        if !plus {
            self.retry_kept_back();
        }
    }

    /// Marks some of the agents of which something was kept back, in turn.
    pub(crate) fn retry_kept_back(&mut self) {
        for _ in 0..MAX_RETRIES {
            let next = self.kept_back.range(self.retried..).next().or_else(|| self.kept_back.first());
            let Some(agent) = next.copied() else { return };
            self.kept_back.remove(&agent);
            self.retried = AgentSlot(agent.0.saturating_add(1));
            self.mark(agent);
        }
    }
}
