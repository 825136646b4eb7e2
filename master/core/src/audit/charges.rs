//! I1 for frameworks and roles: the allocator charges each with what it holds and is offered.

use std::collections::BTreeMap;

use chapada_model::{FrameworkId, Quantities, Resources, Role};

use crate::{Master, Violation};

type Charges = BTreeMap<(FrameworkId, Role), Quantities>;

pub(super) fn check(master: &Master, found: &mut Vec<Violation>) {
    let mut held = Charges::new();
    for task in master.books.tasks.values().filter(|task| task.is_live()) {
        charge(&mut held, &task.framework, &task.role, &task.resources);
    }
    for agent in master.books.agents.values() {
        for (key, executor) in &agent.executors {
            charge(&mut held, &key.framework, &executor.role, &executor.resources);
        }
        for (key, stray) in &agent.strays {
            charge(&mut held, &key.framework, &stray.role, &stray.resources);
        }
    }
    for operation in master.books.operations.values() {
        if let Some(framework) = &operation.framework {
            charge(&mut held, framework, &operation.role, &operation.holds);
        }
    }
    for offer in master.books.offers.values() {
        charge(&mut held, &offer.framework, &offer.role, &offer.resources);
    }
    let mut charged = Charges::new();
    for (framework, role, amounts) in master.allocator.charges() {
        charged.insert((framework.clone(), role.clone()), amounts);
    }
    let keys: std::collections::BTreeSet<_> = held.keys().chain(charged.keys()).cloned().collect();
    for key in keys {
        let (held, charged) =
            (held.remove(&key).unwrap_or_default(), charged.remove(&key).unwrap_or_default());
        if !(held.contains(&charged) && charged.contains(&held)) {
            let client = format!("{} {}", key.0, key.1);
            found.push(Violation::Charge {
                client,
                held: format!("{held:?}"),
                charged: format!("{charged:?}"),
            });
        }
    }
}

fn charge(sums: &mut Charges, framework: &FrameworkId, role: &Role, resources: &Resources) {
    let sum = sums.entry((framework.clone(), role.clone())).or_default();
    // What is shared counts for nobody.
    for (name, amount) in Quantities::from(&*resources.unshared()).iter() {
        sum.add(name, amount);
    }
}
