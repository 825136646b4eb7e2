//! What is said of drains that are not done is true after every event.

use chapada_master_core::{DrainWait, RegistryChange, Standing};

use super::World;

impl World {
    /// A draining agent always says what it waits for; it is for the registry alone only when that has been asked.
    pub(super) fn check_drain_waits(&self, what: &str) {
        let books = self.books();
        let draining: Vec<_> = books.agents.values().filter(|agent| agent.open_drain().is_some()).collect();
        let waits = books.drain_waits(draining.iter().map(|agent| &agent.id).collect());
        for agent in draining {
            let is_end = |change: &RegistryChange| match change {
                RegistryChange::PutAgent(id, record) if *id == agent.id => {
                    matches!(record.standing, Standing::Gone { .. })
                        || record.drain.as_ref().is_none_or(|drain| drain.is_drained)
                }
                RegistryChange::DeleteAgent(id) => *id == agent.id,
                _ => false,
            };
            let said = waits.get(&agent.id).map_or(&[][..], Vec::as_slice);
            let is_asked = self.tickets.iter().any(|(_, change)| is_end(change));
            assert!(!said.is_empty(), "{} is draining and says nothing, after {what}", agent.id);
            assert!(
                is_asked || *said != [DrainWait::Record],
                "nothing holds {} up, and it is not drained, after {what}",
                agent.id
            );
        }
    }
}
