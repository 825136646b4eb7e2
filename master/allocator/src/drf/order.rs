//! Walks the tree of roles in the order of service.

use std::collections::btree_set;

use super::{Child, Drf, Node, Rank};
use crate::{Client, FrameworkSlot, RoleSlot};

/// The clients of all roles, first to be served first.
pub(super) struct Order<'a> {
    drf: &'a Drf,
    /// Where the walk is in the roles, from the top down.
    path: Vec<Step<'a>>,
    frameworks: Option<(RoleSlot, btree_set::Iter<'a, (Rank, FrameworkSlot)>)>,
}

/// Where the walk is in the children of one role.
struct Step<'a> {
    /// Absent at the top.
    node: Option<&'a Node>,
    children: btree_set::Iter<'a, (Rank, Child)>,
}

impl<'a> Order<'a> {
    pub(super) fn new(drf: &'a Drf) -> Self {
        Self { drf, path: vec![Step { node: None, children: drf.top.iter() }], frameworks: None }
    }
}

impl Iterator for Order<'_> {
    type Item = Client;

    fn next(&mut self) -> Option<Client> {
        loop {
            if let Some((role, frameworks)) = &mut self.frameworks {
                match frameworks.next() {
                    Some((_, framework)) => return Some(Client { role: *role, framework: *framework }),
                    None => self.frameworks = None,
                }
            }
            let step = self.path.last_mut()?;
            match step.children.next() {
                None => drop(self.path.pop()),
                Some((_, Child::Role(role))) => {
                    if let Some(node) = self.drf.nodes.get(role) {
                        self.path.push(Step { node: Some(node), children: node.children.iter() });
                    }
                }
                Some((_, Child::Own)) => {
                    self.frameworks = step.node.and_then(|node| Some((node.slot?, node.frameworks.iter())));
                }
            }
        }
    }
}
