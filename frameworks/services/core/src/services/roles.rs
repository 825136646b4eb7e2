//! The roles that apps are offered resources in. The framework takes part in all of them, and in no others.

use std::collections::{BTreeMap, BTreeSet};

use chapada_model::Role;

use super::Services;
use crate::definition::AppDefinition;
use crate::event::Effect;

/// Which roles are in use.
#[derive(Debug, Default)]
pub(super) struct Roles {
    /// Each role with how many apps and pods are in it.
    held: BTreeMap<Role, usize>,
    /// What the master was last told, or will be when the subscription begins.
    told: BTreeSet<Role>,
    /// Whether other roles may be in use now.
    pub(super) changed: bool,
}

/// The role of a definition; one that is no role's name is no role at all, and such a definition is refused.
pub(super) fn role_of(app: &AppDefinition) -> Option<Role> {
    Role::new(app.role.as_str()).ok()
}

impl Services {
    /// The roles to take offers in: this framework's own, those of its apps, and those in which something is to be given back.
    pub fn roles(&self) -> BTreeSet<Role> {
        let held = self.roles.held.keys().chain([&self.role]);
        held.chain(self.demand.swept()).cloned().collect()
    }

    pub(super) fn hold_role(&mut self, app: &AppDefinition) {
        if let Some(role) = role_of(app) {
            let held = self.roles.held.entry(role).or_default();
            self.roles.changed |= *held == 0;
            *held += 1;
        }
    }

    pub(super) fn free_role(&mut self, app: &AppDefinition) {
        let Some(role) = role_of(app) else { return };
        match self.roles.held.get_mut(&role) {
            Some(holders) if *holders > 1 => *holders -= 1,
            Some(_) => {
                self.roles.held.remove(&role);
                self.roles.changed = true;
            }
            None => {}
        }
    }

    /// As the subscription will begin.
    pub(super) fn begin_roles(&mut self) {
        self.roles.told = self.roles();
    }

    /// Tells the master when other roles are in use than it knows of.
    pub(super) fn tell_roles(&mut self) {
        if !std::mem::take(&mut self.roles.changed) {
            return;
        }
        let used = self.roles();
        if used != self.roles.told {
            self.roles.told = used;
            self.outbox.push(Effect::Roles(self.roles.told.clone()));
            self.demand.on_roles();
        }
    }

    /// Whether wishes must name roles.
    pub(super) fn has_several_roles(&self) -> bool {
        self.roles.told.len() > 1
    }

    /// The roles the master knows of.
    pub(super) fn told_roles(&self) -> impl Iterator<Item = &Role> {
        self.roles.told.iter()
    }
}
