//! Agents that are to be left, because they are drained or their machines will be away: what runs there is replaced elsewhere and
//! then ended, within the app's upgrade strategy, before somebody else ends it.
//!
//! The master says which by inverse offers. It asks again for as long as something of ours is there, so that what was asked is
//! forgotten when it is not repeated; an offer of the agent that says nothing of its going ends it at once.

use std::sync::Arc;
use std::time::Duration;

use chapada_model::{AgentId, Mono, Now, Unavailability};
use chapada_sdk_core::Offer;

use super::{AppState, Services};

/// What was asked and not repeated holds for so long. The shell answers so that it is repeated three times as often.
const HOLDS: Duration = Duration::from_secs(100);

/// An agent that will be away for a while is left so long before. One that will not come back is left at once.
const AHEAD: Duration = Duration::from_secs(60 * 60);

impl Services {
    /// The master asks us to leave agents.
    pub(super) fn on_asked_to_leave(&mut self, now: Now, agents: Vec<(AgentId, Unavailability)>) {
        let is_time = |away: &Unavailability| {
            let left = Duration::from_nanos(away.start.0.saturating_sub(now.wall.0));
            away.duration.is_none() || left <= AHEAD
        };
        let mut news = false;
        for (agent, _) in agents.into_iter().filter(|(_, away)| is_time(away)) {
            news |= self.leaving.insert(agent, now.mono + HOLDS).is_none();
        }
        if news {
            self.on_leaving_changed();
        }
    }

    /// These are offered as if nothing were to come.
    fn on_may_stay(&mut self, agents: &[AgentId]) {
        let before = self.leaving.len();
        self.leaving.retain(|agent, _| !agents.contains(agent));
        if self.leaving.len() != before {
            self.on_leaving_changed();
        }
    }

    /// Forgets what was asked and not repeated.
    pub(super) fn forget_asked(&mut self, now: Now) {
        let before = self.leaving.len();
        self.leaving.retain(|_, until| *until > now.mono);
        if self.leaving.len() != before {
            self.on_leaving_changed();
        }
    }

    /// When something asked is forgotten.
    pub(super) fn next_forgotten(&self) -> Option<Mono> {
        self.leaving.values().min().copied()
    }

    /// Those of these offers that may be used: nothing is started on an agent that is to be left. The second are the others.
    pub(super) fn usable(&mut self, offers: Vec<Offer>) -> (Vec<Offer>, Vec<Offer>) {
        if self.leaving.is_empty() {
            return (offers, Vec::new());
        }
        let stays = offers.iter().filter(|offer| offer.unavailability.is_none());
        let stays: Vec<AgentId> = stays.map(|offer| offer.agent.clone()).collect();
        self.on_may_stay(&stays);
        offers.into_iter().partition(|offer| !self.leaving.contains_key(&offer.agent))
    }

    /// Counts the instances anew of the apps that this is about.
    fn on_leaving_changed(&mut self) {
        for (id, state) in &mut self.apps {
            let here = self.leaving.keys().filter(|agent| state.instances.on_agent(agent) > 0);
            if state.instances.set_leaving(here.cloned().collect()) {
                self.touched.insert(id.clone());
            }
        }
    }
}

impl AppState {
    /// Whether instances are to be moved. Those of a resident app have their volumes where they are.
    pub fn is_moving(&self) -> bool {
        !self.deleting && !self.app.definition.is_resident() && self.instances.is_leaving()
    }
}

/// Agents that an app's instances are to leave, shared by all that is counted of them.
pub(super) type Leaving = Arc<std::collections::BTreeSet<AgentId>>;
