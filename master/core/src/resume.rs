//! A leader that could take nothing for a while, because it did not know whether it still led, goes on.

use chapada_model::{AgentId, FrameworkId, Now};

use crate::timers::Timer;
use crate::{AgentState, Effect, FrameworkState, Master};

impl Master {
    /// Nobody could come back to a suspended leader, and what it would have heard came late: whoever is away has its whole time
    /// once more, as with a new leader. To be called before anything that has waited.
    pub fn resume(&mut self, now: Now) -> Vec<Effect> {
        self.begin(now);
        self.resumed = self.now.mono;
        let agents: Vec<(AgentId, AgentState)> =
            self.books.agents.iter().map(|(id, agent)| (id.clone(), agent.state.clone())).collect();
        for (id, state) in agents {
            let until = self.now.mono + self.settings.agent_timeout;
            match state {
                AgentState::Recovered { until: before } if before < until => {
                    self.set_agent_state(&id, AgentState::Recovered { until });
                    self.timers.set(until, Timer::Agent(id));
                }
                AgentState::Disconnected { until: before } if before < until => {
                    self.set_agent_state(&id, AgentState::Disconnected { until });
                }
                _ => {}
            }
        }
        let frameworks: Vec<FrameworkId> = self.books.frameworks.keys().cloned().collect();
        for id in frameworks {
            self.give_framework_time(&id);
        }
        self.finish()
    }

    fn give_framework_time(&mut self, id: &FrameworkId) {
        let Some(framework) = self.books.frameworks.get(id) else { return };
        let FrameworkState::Disconnected { until: before } = framework.state else { return };
        let until = self.return_until(&framework.description.clone(), framework.recovered);
        self.timers.clear(before, Timer::Framework(id.clone()));
        self.timers.set(until, Timer::Framework(id.clone()));
        if let Some(framework) = self.framework_mut(id) {
            framework.state = FrameworkState::Disconnected { until };
        }
    }
}
