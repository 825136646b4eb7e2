//! Names of resources that nobody has any more are forgotten: agents come and go, and each may bring names of its own.

use std::collections::BTreeSet;

use crate::{Allocator, Amounts, NameSlot};

impl Allocator {
    /// Forgets names that are in no use, when there are many more than after the last time. To be called only while all
    /// amounts are where the books have them: the slot of a name that is forgotten is given to another.
    pub(crate) fn forget_names(&mut self) {
        if !self.names.has_many() {
            return;
        }
        let in_use = self.names_in_use();
        self.names.keep(&in_use);
        self.read_minimums_again(|minimum| minimum.iter().any(|(name, _)| !in_use.contains(&name)));
    }

    /// The names that an agent has, a framework holds something of, or the operator has said. What frameworks ask for keeps
    /// no name.
    fn names_in_use(&self) -> BTreeSet<NameSlot> {
        let agents = self.agents.iter().flat_map(|(.., agent)| [&agent.total, &agent.counted.all]);
        let clients = self.clients.iter().map(|(.., client)| &client.charged);
        let amounts = agents.chain(clients).chain(&self.minimum);
        let said = self
            .quotas()
            .flat_map(|(_, quota)| quota.guarantee.iter().map(|(name, _)| name).chain(quota.limit.keys()));
        let said = said.filter_map(|name| self.names.slot(name));
        amounts.flat_map(Amounts::iter).map(|(name, _)| name).chain(said).collect()
    }
}
