//! I7: once nothing breaks any more, everything that can be satisfied is.

use chapada_master_core::{AgentState, FrameworkState, Master, Snapshot};

use crate::sim::Sim;

impl Sim {
    /// What is not yet as it should be; nothing once everything is.
    pub fn unsettled(&self) -> Vec<String> {
        let Some(leader) = self.leader() else { return vec!["nobody leads".to_owned()] };
        let Some(core) = &self.masters[leader].core else { return vec!["the leader is down".to_owned()] };
        let books = core.snapshot();
        let mut found = Vec::new();
        if self.is_suspended() {
            found.push("the leader is suspended".to_owned());
        }
        if core.unrecorded() > 0 {
            found.push(format!("{} changes wait for the registry", Master::unrecorded(core)));
        }
        self.unsettled_agents(&books, &mut found);
        self.unsettled_groups(&mut found);
        self.unsettled_frameworks(&books, &mut found);
        found
    }

    fn unsettled_agents(&self, books: &Snapshot, found: &mut Vec<String>) {
        for (index, agent) in self.agents.iter().enumerate() {
            let id = agent.core.as_ref().and_then(chapada_agent_core::Agent::id);
            let known = id.and_then(|id| books.agents.get(id));
            let Some(known) = known.filter(|known| matches!(known.state, AgentState::Active { .. })) else {
                found.push(format!("a{index} is not registered: {:?}", known.map(|known| &known.state)));
                continue;
            };
            let has = agent.core.as_ref().map(chapada_agent_core::Agent::resources);
            if has.is_some_and(|has| *has != known.total) {
                found.push(format!("a{index} has {has:?}, and the books say {}", known.total));
            }
            let volumes = has.into_iter().flat_map(|has| has.iter()).filter_map(crate::nodes::volume_id);
            let volumes: std::collections::BTreeSet<String> = volumes.collect();
            if volumes != agent.disk.volumes {
                found.push(format!(
                    "a{index} has directories {:?} for volumes {volumes:?}",
                    agent.disk.volumes
                ));
            }
            let runs = self.running_on(index);
            if known.used.unallocated() != runs {
                found.push(format!("a{index} runs {runs}, and the books say {}", known.used.unallocated()));
            }
            for container in agent.kernel.containers.values().filter(|container| container.is_live()) {
                if !books.frameworks.contains_key(container.framework()) {
                    found.push(format!("something of {} runs on a{index} for nobody", container.framework()));
                }
            }
        }
    }

    fn unsettled_frameworks(&self, books: &Snapshot, found: &mut Vec<String>) {
        for (index, framework) in self.frameworks.iter().enumerate() {
            if let Some(why) = &framework.refused {
                if framework.manner != crate::Manner::Vanisher && !framework.torn_down {
                    found.push(format!("f{index} was refused: {why}"));
                }
                continue;
            }
            if framework.manner == crate::Manner::SlowReader {
                continue;
            }
            if !framework.alive && framework.actor.services().is_some() {
                found.push(format!("f{index} does not run"));
            }
            if !framework.alive {
                let is_known = framework.id.as_ref().is_some_and(|id| books.frameworks.contains_key(id));
                if is_known && !framework.manner.has_long_tasks() {
                    found.push(format!("f{index} is gone and not removed"));
                }
                continue;
            }
            let known = framework.id.as_ref().and_then(|id| books.frameworks.get(id));
            if !known.is_some_and(|known| matches!(known.state, FrameworkState::Active { .. })) {
                found.push(format!("f{index} is not subscribed: {:?}", known.map(|known| &known.state)));
            }
            self.unsettled_apps(index, found);
            if let Some(keeper) = framework.actor.keeper()
                && keeper.running() != keeper.wanted()
            {
                let of = keeper.wanted();
                found.push(format!(
                    "f{index} has {} of {of} running: {:?}",
                    keeper.running(),
                    keeper.intents()
                ));
            }
        }
    }
}
