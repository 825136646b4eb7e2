//! Walks the tree of roles in the order of service.

use std::collections::btree_set;

use super::node::{Child, Node, ROOT};
use super::{Rank, RoleTree};
use crate::{Client, ClientSlot, FrameworkSlot, RoleSlot};

type FrameworksInOrder<'a> = btree_set::Iter<'a, (Rank, (FrameworkSlot, ClientSlot))>;

/// The clients of all roles, first to be served first.
pub(super) struct Order<'a, S> {
    tree: &'a RoleTree<S>,
    /// Where the walk is in the roles, from the top down.
    path: Vec<Step<'a>>,
    frameworks: Option<(RoleSlot, FrameworksInOrder<'a>)>,
}

/// Where the walk is in the children of one role.
struct Step<'a> {
    node: &'a Node,
    children: btree_set::Iter<'a, (Rank, Child)>,
}

impl<'a, S> Order<'a, S> {
    pub(super) fn new(tree: &'a RoleTree<S>) -> Self {
        let mut order = Self { tree, path: Vec::with_capacity(4), frameworks: None };
        order.descend(ROOT);
        order
    }

    fn descend(&mut self, slot: usize) {
        if let Some(node) = self.tree.nodes.get(slot) {
            self.path.push(Step { node, children: node.children.iter() });
        }
    }
}

impl<S> Iterator for Order<'_, S> {
    type Item = Client;

    fn next(&mut self) -> Option<Client> {
        loop {
            if let Some((role, frameworks)) = &mut self.frameworks {
                match frameworks.next() {
                    Some((_, (framework, slot))) => {
                        return Some(Client { role: *role, framework: *framework, slot: *slot });
                    }
                    None => self.frameworks = None,
                }
            }
            let step = self.path.last_mut()?;
            match step.children.next() {
                None => drop(self.path.pop()),
                Some((_, Child::Role(_, slot))) => self.descend(*slot),
                Some((_, Child::Own)) => {
                    self.frameworks = step.node.slot.map(|role| (role, step.node.frameworks.iter()));
                }
            }
        }
    }
}
