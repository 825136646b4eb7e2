//! What an operator asks for about roles, and is answered when it is durable: quotas and weights.

use chapada_model::{Milli, Now, Quantities, Role};

use crate::{Effect, Master, OperatorRefused, Quota, Ticket};

/// A call about roles, already parsed.
#[derive(Clone, Debug, PartialEq)]
pub enum RoleCall {
    /// These roles have these quotas from now on; the default ends a quota. All of it or nothing.
    UpdateQuota {
        /// Each role once.
        quotas: Vec<(Role, Quota)>,
        /// Whether limits may be below what is consumed, and guarantees above what there is.
        force: bool,
    },
    /// A role that has no quota gets one whose limit is the guarantee.
    SetQuota {
        /// Which.
        role: Role,
        /// How much.
        guarantee: Quantities,
        /// Whether guarantees may be above what there is.
        force: bool,
    },
    /// A role's quota ends.
    RemoveQuota {
        /// Which.
        role: Role,
    },
    /// These roles have these weights from now on. All of it or nothing.
    UpdateWeights {
        /// Each role once, with its weight in thousandths.
        weights: Vec<(Role, Milli)>,
    },
}

impl Master {
    /// Takes a call about roles. It is in force, and its caller may be answered, once the ticket is recorded; at once when
    /// there is none, for then nothing was asked for.
    ///
    /// # Errors
    /// [`OperatorRefused`] says why; nothing has changed then, apart from what time alone has changed.
    pub fn apply_role_call(
        &mut self,
        now: Now,
        call: RoleCall,
    ) -> Result<(Vec<Effect>, Option<Ticket>), OperatorRefused> {
        self.begin(now);
        let ticket = match call {
            RoleCall::UpdateQuota { quotas, force } => self.update_quota(quotas, force),
            RoleCall::SetQuota { role, guarantee, force } => self.set_quota(role, guarantee, force),
            RoleCall::RemoveQuota { role } => self.remove_quota(role),
            RoleCall::UpdateWeights { weights } => self.update_weights(weights),
        }?;
        Ok((self.finish(), ticket))
    }
}
