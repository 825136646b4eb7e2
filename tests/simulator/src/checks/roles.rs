//! I3 for what operators say of roles: what they were answered is durable.

use std::collections::BTreeMap;

use chapada_master_core::{Quota, RoleCall, Ticket};
use chapada_model::{Milli, Role};

use crate::sim::Sim;

/// What is said of a role.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Said {
    quota: Option<Quota>,
    weight: Option<Milli>,
}

/// What operators asked for, and what they were told is done.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    asked: u64,
    /// The last call about each role.
    last: BTreeMap<Role, u64>,
    /// Calls that wait for their answer.
    open: BTreeMap<(usize, Ticket), (u64, Vec<Role>)>,
    /// What stands, where nothing was asked since.
    known: BTreeMap<Role, Said>,
}

impl Sim {
    /// Something was asked of a master and is answered with this ticket.
    pub(crate) fn note_asked(&mut self, master: usize, roles: Vec<Role>, ticket: Option<Ticket>) {
        let answers = &mut self.checks.answers;
        answers.asked += 1;
        for role in &roles {
            answers.last.insert(role.clone(), answers.asked);
            answers.known.remove(role);
        }
        if let Some(ticket) = ticket {
            answers.open.insert((master, ticket), (answers.asked, roles));
        }
    }

    /// What was asked with this ticket is answered.
    pub(crate) fn note_answered(&mut self, master: usize, ticket: Ticket) {
        let Some((asked, roles)) = self.checks.answers.open.remove(&(master, ticket)) else { return };
        for role in roles {
            if self.checks.answers.last.get(&role) == Some(&asked)
                && let Some(said) = self.said_of(master, &role)
            {
                self.checks.answers.known.insert(role, said);
            }
        }
        self.check_roles(master);
    }

    fn said_of(&self, master: usize, role: &Role) -> Option<Said> {
        let books = self.masters[master].core.as_ref()?.snapshot();
        Some(Said { quota: books.quotas.get(role).cloned(), weight: books.weights.get(role).copied() })
    }

    /// What was answered is in the registry, and this master knows.
    pub(crate) fn check_roles(&mut self, master: usize) {
        let (stored, leads) = (&self.registry.state, self.leader() == Some(master));
        let wrong = self.checks.answers.known.iter().find(|(role, said)| {
            let stands =
                Said { quota: stored.quotas.get(*role).cloned(), weight: stored.weights.get(*role).copied() };
            stands != **said || leads && self.said_of(master, role).is_some_and(|known| known != **said)
        });
        if let Some((role, said)) = wrong.map(|(role, said)| (role.clone(), said.clone())) {
            self.fail(|| format!("I3: an operator was answered {said:?} of {role}, and it does not stand"));
        }
    }
}

/// The roles that a call is about.
pub(crate) fn roles_of(call: &RoleCall) -> Vec<Role> {
    match call {
        RoleCall::UpdateQuota { quotas, .. } => quotas.iter().map(|(role, _)| role.clone()).collect(),
        RoleCall::SetQuota { role, .. } | RoleCall::RemoveQuota { role } => vec![role.clone()],
        RoleCall::UpdateWeights { weights } => weights.iter().map(|(role, _)| role.clone()).collect(),
    }
}
