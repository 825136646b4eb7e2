//! One resource: how much of what, kept for whom, allocated to whom.

use std::cmp::Ordering;

use crate::{Disk, Milli, Ranges, Reservation, ResourceValue, Role, Text};

/// So much of one thing. Two resources that differ in anything but the value are different things.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Resource {
    /// What it is: `cpus`, `mem` (MiB), `disk` (MiB), `gpus`, `ports`, or anything an operator names.
    pub name: Text,
    /// How much of it.
    pub value: ResourceValue,
    /// For whom it is kept, each entry refining the one before; empty when for nobody.
    pub reservations: Vec<Reservation>,
    /// The role it is offered or allocated to; absent while it is neither.
    pub allocation_role: Option<Role>,
    /// What makes this disk special.
    pub disk: Option<Disk>,
    /// The resource provider it belongs to, when not the agent itself.
    pub provider: Option<Text>,
    /// Whether it may be taken back at any time.
    pub revocable: bool,
    /// Whether several tasks may use it at once.
    pub shared: bool,
}

/// The usual names, of which there is one text each.
static NAMES: std::sync::LazyLock<[Text; 5]> =
    std::sync::LazyLock::new(|| ["cpus", "mem", "disk", "ports", "gpus"].map(Text::from));

/// The name as shared text: the usual names are not stored once for each resource.
pub fn resource_name(name: &str) -> Text {
    NAMES.iter().find(|known| known.as_ref() == name).cloned().unwrap_or_else(|| name.into())
}

impl Resource {
    /// A plain resource: reserved for nobody, allocated to nobody.
    pub fn new(name: impl Into<Text>, value: ResourceValue) -> Self {
        Self {
            name: name.into(),
            value,
            reservations: Vec::new(),
            allocation_role: None,
            disk: None,
            provider: None,
            revocable: false,
            shared: false,
        }
    }

    /// An amount of something.
    pub fn scalar(name: impl Into<Text>, milli: Milli) -> Self {
        Self::new(name, ResourceValue::Scalar(milli))
    }

    /// Numbers of something.
    pub fn ranges(name: impl Into<Text>, ranges: Ranges) -> Self {
        Self::new(name, ResourceValue::Ranges(ranges))
    }

    /// The role it is kept for; `None` when for nobody.
    pub fn reserved_role(&self) -> Option<&Role> {
        self.reservations.last().map(|reservation| &reservation.role)
    }

    /// Whether frameworks of this role may be offered it: it is kept for nobody, or for the role or one above it.
    pub fn is_for(&self, role: &Role) -> bool {
        self.reserved_role().is_none_or(|reserved| reserved.is_star() || role.is_within(reserved))
    }

    /// Orders by everything but the value and the allocation; resources that compare equal and have one allocation are of one kind.
    pub(crate) fn compare_kind(&self, other: &Self) -> Ordering {
        let key = |r: &Self| (r.revocable, r.shared);
        let by_name = match Text::ptr_eq(&self.name, &other.name) {
            true => Ordering::Equal,
            false => self.name.cmp(&other.name),
        };
        by_name
            .then_with(|| self.reservations.cmp(&other.reservations))
            .then_with(|| self.allocation_role.cmp(&other.allocation_role))
            .then_with(|| self.disk.cmp(&other.disk))
            .then_with(|| self.provider.cmp(&other.provider))
            .then_with(|| key(self).cmp(&key(other)))
    }

    /// Whether it is one thing that is taken as a whole or not at all.
    pub fn is_whole(&self) -> bool {
        self.shared || self.disk.as_ref().is_some_and(Disk::is_whole)
    }
}

impl std::fmt::Display for Resource {
    /// As Mesos prints it: `cpus(allocated: *)(reservations: [(STATIC,ops)]):1.5`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)?;
        if let Some(role) = &self.allocation_role {
            write!(f, "(allocated: {role})")?;
        }
        if !self.reservations.is_empty() {
            let kinds: Vec<String> = self
                .reservations
                .iter()
                .map(|r| format!("({},{})", format!("{:?}", r.kind).to_uppercase(), r.role))
                .collect();
            write!(f, "(reservations: [{}])", kinds.join(","))?;
        }
        if let Some(persistence) = self.disk.as_ref().and_then(|disk| disk.persistence.as_ref()) {
            write!(f, "[{}]", persistence.id)?;
        }
        if self.revocable {
            f.write_str("{REV}")?;
        }
        if self.shared {
            f.write_str("<SHARED>")?;
        }
        write!(f, ":{}", self.value)
    }
}
