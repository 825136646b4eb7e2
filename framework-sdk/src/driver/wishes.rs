//! Whether the framework wants offers.

use chapada_model::Role;
use chapada_wire::v1::FrameworkInfo;
use chapada_wire::v1::scheduler::call::{Revive, Suppress, Type, UpdateFramework};

use super::{CallError, Driver};

impl Driver {
    /// Wants no offers until [`Driver::revive`]; for all roles of the framework.
    ///
    /// # Errors
    /// When not subscribed.
    pub async fn suppress(&self) -> Result<(), CallError> {
        self.call(Type::Suppress, |call| call.suppress = Some(Default::default())).await
    }

    /// Wants offers again, those that were declined included.
    ///
    /// # Errors
    /// When not subscribed.
    pub async fn revive(&self) -> Result<(), CallError> {
        self.call(Type::Revive, |call| call.revive = Some(Default::default())).await
    }

    /// As [`Driver::suppress`], for these of the framework's roles only. No roles: nothing is sent.
    ///
    /// # Errors
    /// When not subscribed.
    pub async fn suppress_in(&self, roles: impl IntoIterator<Item = Role>) -> Result<(), CallError> {
        let roles = names(roles);
        if roles.is_empty() {
            return Ok(());
        }
        self.call(Type::Suppress, |call| call.suppress = Some(Suppress { roles })).await
    }

    /// As [`Driver::revive`], for these of the framework's roles only. No roles: nothing is sent.
    ///
    /// # Errors
    /// When not subscribed.
    pub async fn revive_in(&self, roles: impl IntoIterator<Item = Role>) -> Result<(), CallError> {
        let roles = names(roles);
        if roles.is_empty() {
            return Ok(());
        }
        self.call(Type::Revive, |call| call.revive = Some(Revive { roles })).await
    }

    /// Takes offers in these roles from now on and in no others. What runs in a role that was left runs on; its offers are taken
    /// back. Wishes told by
    /// [`Driver::suppress`] are forgotten.
    ///
    /// # Errors
    /// When not subscribed; the next subscription is in these roles nevertheless.
    pub async fn set_roles(&self, roles: impl IntoIterator<Item = Role>) -> Result<(), CallError> {
        let update = {
            let mut config = self.shared.config();
            config.roles = roles.into_iter().collect();
            let roles = config.roles.clone();
            config.suppressed_roles.retain(|role| roles.contains(role));
            let id = self.shared.framework().ok_or(CallError::Disconnected)?;
            UpdateFramework {
                framework_info: Some(FrameworkInfo::from(&config.description(Some(id)))),
                suppressed_roles: names(config.suppressed_roles.iter().cloned()),
                offer_constraints: config.offer_constraints.clone(),
            }
        };
        self.call(Type::UpdateFramework, |call| call.update_framework = Some(update)).await
    }
}

fn names(roles: impl IntoIterator<Item = Role>) -> Vec<String> {
    roles.into_iter().map(|role| role.to_string()).collect()
}
