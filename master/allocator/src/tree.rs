//! The tree of roles and the frameworks within each, kept in order by a score: what all policies here share.
//!
//! The tree is as in Mesos: at each role children are served by their score, and a role with both frameworks and child roles
//! counts its own frameworks as one more child.

mod node;
mod order;
mod share;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use chapada_model::{Milli, Role};

use crate::{Amounts, Client, ClientSlot, FrameworkSlot, Policy, RoleSlot};
use node::{Child, Holding, Node, NodeSlot, ROOT, place};
use order::Order;
pub(crate) use share::{Rank, share};

/// The weight of a role of which nobody said anything.
const DEFAULT_WEIGHT: Milli = Milli(1_000);

/// What gives someone a place among those beside it.
pub trait Score: std::fmt::Debug + Send {
    /// The name an operator chooses the policy by.
    const NAME: &'static str;

    /// Whether agents of which most is in use are to be served before emptier ones.
    const FULLEST_FIRST: bool = false;

    /// The smaller, the earlier it is served. Of equals the one that was made fewer offers comes first.
    fn score(&mut self, standing: Standing<'_>) -> u64;
}

/// A role or framework that is given a place.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// What it holds.
    pub held: &'a Amounts,
    /// What there is in all.
    pub total: &'a Amounts,
    /// Its weight, in thousandths; 1 for a framework.
    pub weight: Milli,
    /// Its score so far.
    pub before: u64,
    /// What has happened.
    pub occasion: Occasion,
}

/// Why someone is given a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// What it holds, or what there is in all, may have changed.
    Changed,
    /// It was made an offer.
    Served,
    /// It wants offers from now on; the first of those beside it has this score.
    Entered(u64),
}

/// A policy that serves roles and frameworks by score.
#[derive(Clone, Debug)]
pub struct RoleTree<S> {
    score: S,
    nodes: Vec<Node>,
    unused: Vec<NodeSlot>,
    by_name: BTreeMap<Role, NodeSlot>,
    by_slot: BTreeMap<RoleSlot, NodeSlot>,
    clients: Vec<Option<Member>>,
    /// Weights that differ from 1.
    weights: BTreeMap<Role, Milli>,
    total: Amounts,
    stale: bool,
}

/// A client and what it holds.
#[derive(Clone, Debug)]
struct Member {
    node: NodeSlot,
    framework: FrameworkSlot,
    holding: Holding,
}

impl<S: Score + Default> Default for RoleTree<S> {
    fn default() -> Self {
        Self::new(S::default())
    }
}

impl<S: Score> RoleTree<S> {
    /// An empty one.
    pub(crate) fn new(score: S) -> Self {
        Self {
            score,
            nodes: vec![Node::new(None, None)],
            unused: Vec::new(),
            by_name: BTreeMap::new(),
            by_slot: BTreeMap::new(),
            clients: Vec::new(),
            weights: BTreeMap::new(),
            total: Amounts::default(),
            stale: false,
        }
    }

    fn member(&mut self, client: Client) -> Option<&mut Member> {
        let node = *self.by_slot.get(&client.role)?;
        let index = client.slot.0 as usize;
        if self.clients.len() <= index {
            self.clients.resize(index + 1, None);
        }
        let new = || Member { node, framework: client.framework, holding: Holding::default() };
        Some(self.clients[index].get_or_insert_with(new))
    }

    /// Gives a client its place in its role; then the role and all above it theirs.
    fn place_client(&mut self, slot: ClientSlot, stands: bool, served: bool) {
        let Some(Some(member)) = self.clients.get_mut(slot.0 as usize) else { return };
        let Some(node) = self.nodes.get_mut(member.node) else { return };
        let (at, holding) = (member.node, &mut member.holding);
        let occasion = occasion(holding, stands, served, node.frameworks.first().map(|first| first.0));
        let score = self.score.score(Standing {
            held: &holding.amounts,
            total: &self.total,
            weight: DEFAULT_WEIGHT,
            before: holding.rank.score,
            occasion,
        });
        let rank = Rank { score, offers: holding.offers };
        place(&mut node.frameworks, holding, (rank, stands), (member.framework, slot));
        self.place_own(at, served);
        self.place_role(at, served);
    }

    /// Gives the frameworks of a role their place among the role's children.
    fn place_own(&mut self, at: NodeSlot, served: bool) {
        let Some(node) = self.nodes.get_mut(at) else { return };
        let stands = !node.frameworks.is_empty();
        let occasion = occasion(&node.own, stands, served, node.children.first().map(|first| first.0));
        let score = self.score.score(Standing {
            held: &node.own.amounts,
            total: &self.total,
            weight: DEFAULT_WEIGHT,
            before: node.own.rank.score,
            occasion,
        });
        let rank = Rank { score, offers: node.own.offers };
        place(&mut node.children, &mut node.own, (rank, stands), Child::Own);
    }

    /// Gives a role its place among its siblings, and so on to the top.
    fn place_role(&mut self, at: NodeSlot, served: bool) {
        let mut at = at;
        while let Some(parent) = self.nodes.get(at).and_then(|node| node.parent) {
            let Ok([node, above]) = self.nodes.get_disjoint_mut([at, parent]) else { return };
            let Some(role) = &node.role else { return };
            let stands = !node.children.is_empty();
            let occasion =
                occasion(&node.subtree, stands, served, above.children.first().map(|first| first.0));
            let score = self.score.score(Standing {
                held: &node.subtree.amounts,
                total: &self.total,
                weight: node.weight,
                before: node.subtree.rank.score,
                occasion,
            });
            let rank = Rank { score, offers: node.subtree.offers };
            let key = Child::Role(role.clone(), at);
            place(&mut above.children, &mut node.subtree, (rank, stands), key);
            at = parent;
        }
    }

    /// Changes what a client holds, and with it all roles above.
    fn change(&mut self, client: Client, offers: u64, change: impl Fn(&mut Amounts)) {
        let Some(member) = self.member(client) else { return };
        let mut at = Some(member.node);
        let stands = member.holding.stands;
        change(&mut member.holding.amounts);
        member.holding.offers += offers;
        if let Some(node) = at.and_then(|at| self.nodes.get_mut(at)) {
            change(&mut node.own.amounts);
            node.own.offers += offers;
        }
        while let Some(node) = at.and_then(|at| self.nodes.get_mut(at)) {
            change(&mut node.subtree.amounts);
            node.subtree.offers += offers;
            at = node.parent;
        }
        self.place_client(client.slot, stands, offers > 0);
    }

    fn ensure_node(&mut self, role: &Role) -> NodeSlot {
        if let Some(slot) = self.by_name.get(role) {
            return *slot;
        }
        let parent = role.parent().map_or(ROOT, |parent| self.ensure_node(&parent));
        let mut node = Node::new(Some(role.clone()), Some(parent));
        node.weight = self.weights.get(role).copied().unwrap_or(DEFAULT_WEIGHT);
        let slot = match self.unused.pop() {
            Some(slot) => {
                self.nodes[slot] = node;
                slot
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() - 1
            }
        };
        self.by_name.insert(role.clone(), slot);
        slot
    }

    /// Counts one used role more or less here and above; forgets those where none is left.
    fn count_roles(&mut self, at: NodeSlot, plus: bool) {
        let mut at = Some(at);
        while let Some(slot) = at {
            let Some(node) = self.nodes.get_mut(slot) else { return };
            node.roles = if plus { node.roles + 1 } else { node.roles.saturating_sub(1) };
            at = node.parent;
            if node.roles == 0
                && let (Some(parent), Some(role)) = (node.parent, node.role.take())
            {
                let rank = node.subtree.rank;
                *node = Node::new(None, None);
                self.by_name.remove(&role);
                self.unused.push(slot);
                if let Some(above) = self.nodes.get_mut(parent) {
                    above.children.remove(&(rank, Child::Role(role, slot)));
                }
            }
        }
    }
}

/// What the place is given for.
fn occasion(holding: &Holding, stands: bool, served: bool, first: Option<Rank>) -> Occasion {
    match (stands && !holding.stands, served) {
        (true, _) => Occasion::Entered(first.unwrap_or(holding.rank).score),
        (false, true) => Occasion::Served,
        (false, false) => Occasion::Changed,
    }
}

impl<S: Score> Policy for RoleTree<S> {
    fn name(&self) -> &'static str {
        S::NAME
    }

    fn serves_fullest_first(&self) -> bool {
        S::FULLEST_FIRST
    }

    fn set_total(&mut self, total: &Amounts) {
        if self.total != *total {
            self.total = total.clone();
            self.stale = true;
        }
    }

    fn set_weight(&mut self, role: &Role, weight: Milli) {
        match weight.is_zero() || weight == DEFAULT_WEIGHT {
            true => self.weights.remove(role),
            false => self.weights.insert(role.clone(), weight),
        };
        if let Some(at) = self.by_name.get(role).copied() {
            self.nodes[at].weight = self.weights.get(role).copied().unwrap_or(DEFAULT_WEIGHT);
            self.place_role(at, false);
        }
    }

    fn add_role(&mut self, slot: RoleSlot, role: &Role) {
        if self.by_slot.contains_key(&slot) {
            return;
        }
        let at = self.ensure_node(role);
        self.by_slot.insert(slot, at);
        self.nodes[at].slot = Some(slot);
        self.count_roles(at, true);
    }

    fn remove_role(&mut self, slot: RoleSlot) {
        if let Some(at) = self.by_slot.remove(&slot) {
            self.nodes[at].slot = None;
            self.count_roles(at, false);
        }
    }

    fn join(&mut self, client: Client) {
        if self.member(client).is_some_and(|member| !member.holding.stands) {
            self.place_client(client.slot, true, false);
        }
    }

    fn leave(&mut self, client: Client) {
        if self.member(client).is_some_and(|member| member.holding.stands) {
            self.place_client(client.slot, false, false);
        }
    }

    fn charge(&mut self, client: Client, amounts: &Amounts, offers: u64) {
        self.change(client, offers, |held| held.add(amounts));
    }

    fn discharge(&mut self, client: Client, amounts: &Amounts) {
        self.change(client, 0, |held| held.sub(amounts));
    }

    fn forget(&mut self, client: Client) {
        self.leave(client);
        if let Some(member) = self.clients.get_mut(client.slot.0 as usize) {
            *member = None;
        }
    }

    fn refresh(&mut self) {
        if !std::mem::take(&mut self.stale) {
            return;
        }
        for index in 0..self.clients.len() {
            if let Some(member) = &self.clients[index] {
                let stands = member.holding.stands;
                let slot = ClientSlot(u32::try_from(index).unwrap_or(u32::MAX));
                self.place_client(slot, stands, false);
            }
        }
    }

    fn order(&self) -> Box<dyn Iterator<Item = Client> + '_> {
        Box::new(Order::new(self))
    }

    fn share(&self, role: RoleSlot) -> f64 {
        let node = self.by_slot.get(&role).and_then(|at| self.nodes.get(*at));
        node.map_or(0.0, |node| share::as_part(share(&node.subtree.amounts, &self.total, DEFAULT_WEIGHT)))
    }
}
