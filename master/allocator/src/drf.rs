//! Weighted dominant-resource fairness over a tree of roles, then over the frameworks within a role.
//!
//! Source: Ghodsi et al., NSDI 2011; the tree as in Mesos: at each node children are served by share divided by weight, and
//! a role with both frameworks and child roles counts its own frameworks as one more child.

mod node;
mod order;
mod share;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use chapada_model::{Milli, Quantities, Role};

use crate::{Client, FrameworkSlot, Policy, RoleSlot};
use node::{Child, Node};
use order::Order;
use share::{Rank, share};

/// The weight of a role of which nobody said anything.
const DEFAULT_WEIGHT: Milli = Milli(1_000);

/// The policy `drf`.
#[derive(Clone, Debug, Default)]
pub struct Drf {
    /// Every role and every role above one, by name.
    nodes: BTreeMap<Role, Node>,
    /// The children at the top, in order.
    top: BTreeSet<(Rank, Child)>,
    names: BTreeMap<RoleSlot, Role>,
    clients: BTreeMap<Client, Holding>,
    /// Weights that differ from 1.
    weights: BTreeMap<Role, Milli>,
    total: Quantities,
    stale: bool,
}

/// What a client holds.
#[derive(Clone, Debug, Default)]
struct Holding {
    amounts: Quantities,
    offers: u64,
    rank: Rank,
    joined: bool,
}

impl Drf {
    /// Brings a client's place in its role up to date, and the places of all roles above.
    fn replace(&mut self, client: Client) {
        let Some(role) = self.names.get(&client.role).cloned() else { return };
        let Some(node) = self.nodes.get_mut(&role) else { return };
        if let Some(holding) = self.clients.get_mut(&client) {
            node.frameworks.remove(&(holding.rank, client.framework));
            holding.rank = Rank::new(share(&holding.amounts, &self.total, DEFAULT_WEIGHT), holding.offers);
            if holding.joined {
                node.frameworks.insert((holding.rank, client.framework));
            }
        }
        self.replace_roles(&role);
    }

    /// Brings the place of a role and of all above it up to date.
    fn replace_roles(&mut self, role: &Role) {
        let mut at = Some(role.clone());
        while let Some(role) = at {
            at = role.parent();
            let Some(node) = self.nodes.get_mut(&role) else { continue };
            let own = Rank::new(share(&node.own, &self.total, DEFAULT_WEIGHT), node.own_offers);
            node.place_own(own);
            let rank = Rank::new(share(&node.subtree, &self.total, node.weight), node.subtree_offers);
            let (before, wants) = (std::mem::replace(&mut node.rank, rank), node.wants());
            let siblings = self.siblings(at.as_ref());
            siblings.remove(&(before, Child::Role(role.clone())));
            if wants {
                siblings.insert((rank, Child::Role(role)));
            }
        }
    }

    /// The children of a role in order; those at the top when there is none.
    fn siblings(&mut self, parent: Option<&Role>) -> &mut BTreeSet<(Rank, Child)> {
        match parent.and_then(|parent| self.nodes.get_mut(parent)) {
            Some(parent) => &mut parent.children,
            None => &mut self.top,
        }
    }

    /// Changes what a client holds, and with it all roles above.
    fn change(&mut self, client: Client, offers: u64, change: impl Fn(&mut Quantities)) {
        let Some(role) = self.names.get(&client.role).cloned() else { return };
        let holding = self.clients.entry(client).or_default();
        change(&mut holding.amounts);
        holding.offers += offers;
        if let Some(node) = self.nodes.get_mut(&role) {
            change(&mut node.own);
            node.own_offers += offers;
        }
        let mut at = Some(role);
        while let Some(role) = at {
            if let Some(node) = self.nodes.get_mut(&role) {
                change(&mut node.subtree);
                node.subtree_offers += offers;
            }
            at = role.parent();
        }
        self.replace(client);
    }

    fn set_joined(&mut self, client: Client, joined: bool) {
        let holding = self.clients.entry(client).or_default();
        if holding.joined != joined {
            holding.joined = joined;
            self.replace(client);
        }
    }
}

impl Policy for Drf {
    fn name(&self) -> &'static str {
        "drf"
    }

    fn set_total(&mut self, total: &Quantities) {
        self.total = total.clone();
        self.stale = true;
    }

    fn set_weight(&mut self, role: &Role, weight: Milli) {
        match weight.is_zero() || weight == DEFAULT_WEIGHT {
            true => self.weights.remove(role),
            false => self.weights.insert(role.clone(), weight),
        };
        if let Some(node) = self.nodes.get_mut(role) {
            node.weight = self.weights.get(role).copied().unwrap_or(DEFAULT_WEIGHT);
            self.replace_roles(role);
        }
    }

    fn add_role(&mut self, slot: RoleSlot, role: &Role) {
        if self.names.insert(slot, role.clone()).is_some() {
            return;
        }
        let mut at = Some(role.clone());
        while let Some(name) = at {
            at = name.parent();
            let weight = self.weights.get(&name).copied().unwrap_or(DEFAULT_WEIGHT);
            let node = self.nodes.entry(name).or_insert_with(|| Node::new(weight));
            node.roles += 1;
        }
        if let Some(node) = self.nodes.get_mut(role) {
            node.slot = Some(slot);
        }
    }

    fn remove_role(&mut self, slot: RoleSlot) {
        let Some(role) = self.names.remove(&slot) else { return };
        if let Some(node) = self.nodes.get_mut(&role) {
            node.slot = None;
        }
        let mut at = Some(role);
        while let Some(role) = at {
            at = role.parent();
            let Some(node) = self.nodes.get_mut(&role) else { continue };
            node.roles = node.roles.saturating_sub(1);
            if node.roles == 0 {
                let rank = node.rank;
                self.nodes.remove(&role);
                self.siblings(at.as_ref()).remove(&(rank, Child::Role(role)));
            }
        }
    }

    fn join(&mut self, client: Client) {
        self.set_joined(client, true);
    }

    fn leave(&mut self, client: Client) {
        self.set_joined(client, false);
    }

    fn charge(&mut self, client: Client, amounts: &Quantities, offers: u64) {
        self.change(client, offers, |held| {
            for (name, amount) in amounts.iter() {
                held.add(name, amount);
            }
        });
    }

    fn discharge(&mut self, client: Client, amounts: &Quantities) {
        self.change(client, 0, |held| {
            for (name, amount) in amounts.iter() {
                let left = held.get(name).checked_sub(amount).unwrap_or_default();
                held.0.insert(name.clone(), left);
            }
        });
    }

    fn forget(&mut self, client: Client) {
        self.leave(client);
        self.clients.remove(&client);
    }

    fn refresh(&mut self) {
        if std::mem::take(&mut self.stale) {
            let clients: Vec<Client> = self.clients.keys().copied().collect();
            for client in clients {
                self.replace(client);
            }
        }
    }

    fn order(&self) -> Box<dyn Iterator<Item = Client> + '_> {
        Box::new(Order::new(self))
    }

    fn share(&self, role: RoleSlot) -> f64 {
        let node = self.names.get(&role).and_then(|role| self.nodes.get(role));
        node.map_or(0.0, |node| share(&node.subtree, &self.total, DEFAULT_WEIGHT).as_f64())
    }
}

/// Frameworks of one role in order.
type Frameworks = BTreeSet<(Rank, FrameworkSlot)>;
