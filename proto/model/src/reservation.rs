//! For whom a resource is kept.

use crate::{Labels, Role, Text};

/// How a reservation came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum ReservationKind {
    /// By the agent's configuration; nobody can undo it at run time.
    Static,
    /// By a framework or an operator, at run time.
    Dynamic,
}

/// One entry of the stack: each refines the one below it, so its role lies within that one's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Reservation {
    /// How it came about.
    pub kind: ReservationKind,
    /// For whom.
    pub role: Role,
    /// Who made it.
    pub principal: Option<Text>,
    /// Labels that keep otherwise equal reservations apart.
    pub labels: Labels,
}

impl Reservation {
    /// A reservation by configuration.
    pub fn fixed(role: Role) -> Self {
        Self { kind: ReservationKind::Static, role, principal: None, labels: Vec::new() }
    }
}
