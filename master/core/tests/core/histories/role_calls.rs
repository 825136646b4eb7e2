//! Quotas and weights in random histories, most of them of roles in use.

use chapada_master_core::{Quota, RoleCall};
use chapada_model::{Milli, Quantities, Role};

use super::{ROLES, Run};

/// Roles above, below and beside those of frameworks.
const OTHERS: [&str; 3] = ["ops/db/left", "web/front", "nobody"];

impl Run<'_> {
    pub(super) fn about_roles(&mut self) {
        let (name, call) = self.role_call();
        let is_taken = self.world.role_call(call).is_ok();
        let (taken, refused) = *self.tally.borrow().roles.get(name).unwrap_or(&(0, 0));
        let counts = if is_taken { (taken + 1, refused) } else { (taken, refused + 1) };
        self.tally.borrow_mut().roles.insert(name, counts);
    }

    fn role_call(&mut self) -> (&'static str, RoleCall) {
        let role = self.some_role();
        match self.draw() % 8 {
            0 => {
                let guarantee = self.amounts().into_iter().collect();
                ("SET_QUOTA", RoleCall::SetQuota { role, guarantee, force: self.once_in(3) })
            }
            1 | 2 => {
                let with_quota: Vec<Role> =
                    self.world.books().quotas.iter().map(|(role, _)| role.clone()).collect();
                ("REMOVE_QUOTA", RoleCall::RemoveQuota { role: self.pick(&with_quota, role) })
            }
            3 => {
                let weight = Milli((self.draw() % 3) as u64 * 500);
                ("UPDATE_WEIGHTS", RoleCall::UpdateWeights { weights: vec![(role, weight)] })
            }
            _ => {
                let count = self.draw() % 3;
                let mut quotas = vec![(role, self.quota())];
                for _ in 0..count {
                    quotas.push((self.some_role(), self.quota()));
                }
                ("UPDATE_QUOTA", RoleCall::UpdateQuota { quotas, force: !self.once_in(3) })
            }
        }
    }

    fn quota(&mut self) -> Quota {
        let guarantee: Quantities = match self.once_in(2) {
            true => self.amounts().into_iter().collect(),
            false => Quantities::default(),
        };
        let mut limit = Quantities::default();
        for (name, amount) in self.amounts() {
            limit.add(&name.into(), Milli(guarantee.get(name).0 + amount.0));
        }
        Quota { guarantee, limit: if self.once_in(4) { Default::default() } else { limit.0 } }
    }

    fn amounts(&mut self) -> Vec<(&'static str, Milli)> {
        let cpus = ("cpus", Milli([0, 100, 500, 1_000, 3_000][self.draw() % 5]));
        match self.once_in(3) {
            true => vec![cpus, ("mem", Milli::whole((self.draw() % 300) as u64))],
            false => vec![cpus],
        }
    }

    fn some_role(&mut self) -> Role {
        let name = match self.once_in(5) {
            true => OTHERS[self.draw() % OTHERS.len()],
            false => ROLES[self.draw() % ROLES.len()],
        };
        Role::new(name).expect("valid")
    }
}
