//! Who is served first: the part of the allocator that can be exchanged.

use chapada_model::{Milli, Role};

use crate::{Amounts, ClientSlot, Drf, FrameworkSlot, Pack, RandomOrder, RoleSlot};

type Make = fn(u64) -> Box<dyn Policy>;

/// All policies by name. One more is a file of its own and a line here.
const POLICIES: &[(&str, Make)] = &[
    ("drf", |_| Box::new(Drf::default())),
    ("random", |seed| Box::new(RandomOrder::seeded(seed))),
    ("pack", |_| Box::new(Pack::default())),
];

/// The name of a policy that exists: its place in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PolicyName(usize);

/// There is no policy of a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no policy '{0}'; choose one of: {known}", known = PolicyName::all().map(PolicyName::as_str).collect::<Vec<_>>().join(", "))]
pub struct UnknownPolicy(String);

impl PolicyName {
    /// The names of all policies.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..POLICIES.len()).map(Self)
    }

    /// The policy. Whatever chance it uses comes from `seed`.
    pub fn make(self, seed: u64) -> Box<dyn Policy> {
        POLICIES[self.0].1(seed)
    }

    /// The name as text.
    pub fn as_str(self) -> &'static str {
        POLICIES[self.0].0
    }
}

impl Default for PolicyName {
    /// The first of the list: `drf`.
    fn default() -> Self {
        Self(0)
    }
}

impl std::str::FromStr for PolicyName {
    type Err = UnknownPolicy;
    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        Self::all().find(|name| name.as_str() == text).ok_or_else(|| UnknownPolicy(text.to_owned()))
    }
}

impl TryFrom<String> for PolicyName {
    type Error = UnknownPolicy;
    fn try_from(text: String) -> Result<Self, UnknownPolicy> {
        text.parse()
    }
}

impl From<PolicyName> for String {
    fn from(name: PolicyName) -> String {
        name.as_str().to_owned()
    }
}

impl std::fmt::Display for PolicyName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A framework in one of its roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Client {
    /// The role.
    pub role: RoleSlot,
    /// The framework.
    pub framework: FrameworkSlot,
    /// Stands for the two together.
    pub slot: ClientSlot,
}

/// Decides the order in which clients are served. What they may be given, and whether they want it, is decided by the
/// [`Allocator`](crate::Allocator); a policy never sees an agent or a filter.
///
/// Duties:
/// - it keeps its order up to date as it hears of changes and sorts nothing anew for each plan, except when
///   [`refresh`](Self::refresh) finds that what all shares are measured against has changed;
/// - it counts what clients hold also while they want nothing, and forgets a client only by [`forget`](Self::forget);
/// - its order is a function of what it was told: no clock, no chance that is not given to it;
/// - it never panics, also when told to leave who has not joined.
pub trait Policy: std::fmt::Debug + Send {
    /// The name an operator chooses it by.
    fn name(&self) -> &'static str;

    /// Whether agents of which most is in use are to be served before emptier ones, so that work is packed together.
    fn serves_fullest_first(&self) -> bool {
        false
    }

    /// All that active agents have together is now this. A name that is not there counts toward no share.
    fn set_total(&mut self, total: &Amounts);

    /// The role, used by anyone yet or not, has this weight, in thousandths. Zero, and a role that was never told, means 1.
    fn set_weight(&mut self, role: &Role, weight: Milli);

    /// A role exists; told before any client of it.
    fn add_role(&mut self, slot: RoleSlot, role: &Role);

    /// The role has no clients any more.
    fn remove_role(&mut self, slot: RoleSlot);

    /// The client wants offers. It may have joined already.
    fn join(&mut self, client: Client);

    /// The client wants no offers for now, but what it holds still counts. It may have left already.
    fn leave(&mut self, client: Client);

    /// The client holds or is offered this much more. `offers` says how many offers it was made with it.
    fn charge(&mut self, client: Client, amounts: &Amounts, offers: u64);

    /// The client holds this much less.
    fn discharge(&mut self, client: Client, amounts: &Amounts);

    /// The client is gone and holds nothing.
    fn forget(&mut self, client: Client);

    /// Called before a plan, to catch up with changed totals and weights.
    fn refresh(&mut self);

    /// The clients that want offers, first to be served first.
    fn order(&self) -> Box<dyn Iterator<Item = Client> + '_>;

    /// The part of the cluster that the role holds, in its scarcest resource: from 0 to 1, weight not counted.
    fn share(&self, role: RoleSlot) -> f64;
}
