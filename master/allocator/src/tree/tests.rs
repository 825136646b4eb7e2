//! An order that is kept up by changes is the order that sorting everything anew would give.

use std::collections::BTreeMap;

use chapada_model::{Milli, Role};
use proptest::prelude::*;

use crate::{Amounts, Client, ClientSlot, Drf, FrameworkSlot, NameSlot, Policy, RoleSlot};

const ROLES: [&str; 6] = ["*", "eng", "eng/db", "eng/db/test", "eng/web", "ops"];

#[derive(Clone, Debug)]
enum Change {
    Join(Client),
    Leave(Client),
    Charge(Client, u64, u64),
    DischargeAll(Client),
    Weight(usize, u64),
    Total(u64),
}

fn client() -> impl Strategy<Value = Client> {
    (0..ROLES.len(), 0_u32..5).prop_map(|(role, framework)| Client {
        role: RoleSlot(role as u32),
        framework: FrameworkSlot(framework),
        slot: ClientSlot(role as u32 * 5 + framework),
    })
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => client().prop_map(Change::Join),
        1 => client().prop_map(Change::Leave),
        4 => (client(), 0_u64..5_000, 0_u64..3).prop_map(|(client, cpus, offers)| Change::Charge(client, cpus, offers)),
        2 => client().prop_map(Change::DischargeAll),
        1 => (0..ROLES.len(), 0_u64..5_000).prop_map(|(role, weight)| Change::Weight(role, weight)),
        1 => (1_u64..100_000).prop_map(Change::Total),
    ]
}

const CPUS: NameSlot = NameSlot(0);
const MEM: NameSlot = NameSlot(1);

fn cpus(amount: u64) -> Amounts {
    [(CPUS, Milli(amount)), (MEM, Milli(amount / 3))].into_iter().collect()
}

fn role(index: usize) -> Role {
    Role::new(ROLES[index]).expect("a valid role")
}

fn empty() -> Drf {
    let mut drf = Drf::default();
    for index in 0..ROLES.len() {
        drf.add_role(RoleSlot(index as u32), &role(index));
    }
    drf
}

/// What the changes come to in the end.
#[derive(Default)]
struct Outcome {
    joined: BTreeMap<Client, bool>,
    held: BTreeMap<Client, (u64, u64)>,
    memory: BTreeMap<Client, u64>,
    weights: BTreeMap<usize, u64>,
    total: u64,
}

proptest! {
    #[test]
    fn kept_order_is_sorted_order(changes in prop::collection::vec(change(), 0..80)) {
        let (mut kept, mut outcome) = (empty(), Outcome::default());
        for change in changes {
            match change {
                Change::Join(client) => {
                    kept.join(client);
                    outcome.joined.insert(client, true);
                }
                Change::Leave(client) => {
                    kept.leave(client);
                    outcome.joined.insert(client, false);
                }
                Change::Charge(client, amount, offers) => {
                    kept.charge(client, &cpus(amount), offers);
                    let (held, made) = outcome.held.entry(client).or_default();
                    *held += amount;
                    *made += offers;
                    *outcome.memory.entry(client).or_default() += amount / 3;
                }
                Change::DischargeAll(client) => {
                    let held = outcome.held.entry(client).or_default();
                    let memory = outcome.memory.entry(client).or_default();
                    let all = [(CPUS, Milli(held.0)), (MEM, Milli(*memory))].into_iter().collect();
                    kept.discharge(client, &all);
                    held.0 = 0;
                    *memory = 0;
                }
                Change::Weight(index, weight) => {
                    kept.set_weight(&role(index), Milli(weight));
                    outcome.weights.insert(index, weight);
                }
                Change::Total(total) => {
                    kept.set_total(&cpus(total));
                    // Now, not in the end: what comes after must keep the order by itself.
                    kept.refresh();
                    outcome.total = total;
                }
            }
        }
        kept.refresh();
        let mut fresh = empty();
        if outcome.total > 0 {
            fresh.set_total(&cpus(outcome.total));
        }
        for (index, weight) in &outcome.weights {
            fresh.set_weight(&role(*index), Milli(*weight));
        }
        for (client, (held, offers)) in &outcome.held {
            let memory = outcome.memory.get(client).copied().unwrap_or_default();
            let all = [(CPUS, Milli(*held)), (MEM, Milli(memory))].into_iter().collect();
            fresh.charge(*client, &all, *offers);
        }
        for (client, joined) in &outcome.joined {
            if *joined {
                fresh.join(*client);
            }
        }
        fresh.refresh();
        let order: Vec<Client> = kept.order().collect();
        prop_assert_eq!(order.len(), outcome.joined.values().filter(|joined| **joined).count());
        prop_assert_eq!(order, fresh.order().collect::<Vec<_>>());
    }
}

#[test]
fn roles_that_come_and_go_leave_nothing() {
    let mut tree = empty();
    let before = tree.nodes.len();
    for n in 0..100 {
        let slot = RoleSlot(1_000);
        tree.add_role(slot, &Role::new(format!("eng/team-{n}/a")).expect("a valid role"));
        tree.remove_role(slot);
    }
    assert!(tree.nodes.len() <= before + 2, "{} roles are kept of {before}", tree.nodes.len());
    assert_eq!((tree.by_name.len(), tree.by_slot.len()), (ROLES.len(), ROLES.len()));
}
