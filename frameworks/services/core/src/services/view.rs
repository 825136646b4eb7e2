//! What others may see.

use std::ops::Bound;
use std::time::Duration;

use chapada_model::Now;

use super::{AppState, Services};
use crate::deployment::Deployment;
use crate::id::{AppId, DeploymentId};
use crate::timestamp::Timestamp;

/// How many tasks of an app are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Launched and not yet running.
    pub staged: u32,
    /// Running.
    pub running: u32,
    /// Running, and a health check says it is well.
    pub healthy: u32,
    /// Running, and a health check says it is not.
    pub unhealthy: u32,
}

/// An app that waits for offers.
#[derive(Clone, Debug)]
pub struct Waiting<'a> {
    /// Which.
    pub state: &'a AppState,
    /// How many instances wait.
    pub count: usize,
    /// Since when the first of them does.
    pub since: Timestamp,
    /// How long it still waits before it takes offers, after failures.
    pub delay: Duration,
    /// How many of them wait until others are gone, because there may not be more at once.
    pub held_back: usize,
}

impl Services {
    /// The apps clients see.
    pub fn apps(&self) -> impl Iterator<Item = &AppState> {
        self.specs().filter(|state| !state.app.is_pod())
    }

    /// The apps clients see from a place in the order of their ids on.
    pub fn apps_from(&self, from: Bound<&AppId>) -> impl Iterator<Item = &AppState> {
        let apps = self.apps.range::<AppId, _>((from, Bound::Unbounded)).map(|(_, state)| state);
        apps.filter(|state| !state.deleting && !state.app.is_pod())
    }

    /// An app clients see.
    pub fn app(&self, id: &AppId) -> Option<&AppState> {
        self.spec(id).filter(|state| !state.app.is_pod())
    }

    /// The pods clients see.
    pub fn pods(&self) -> impl Iterator<Item = &AppState> {
        self.specs().filter(|state| state.app.is_pod())
    }

    /// A pod clients see.
    pub fn pod(&self, id: &AppId) -> Option<&AppState> {
        self.spec(id).filter(|state| state.app.is_pod())
    }

    /// The apps and pods clients see.
    pub fn specs(&self) -> impl Iterator<Item = &AppState> {
        self.apps.values().filter(|state| !state.deleting)
    }

    /// An app or pod clients see.
    pub fn spec(&self, id: &AppId) -> Option<&AppState> {
        self.apps.get(id).filter(|state| !state.deleting)
    }

    /// An app or pod, even one that is going away.
    pub fn even_ending(&self, id: &AppId) -> Option<&AppState> {
        self.apps.get(id)
    }

    /// Every app with tasks, those going away included.
    pub fn all_apps(&self) -> impl Iterator<Item = &AppState> {
        self.apps.values()
    }

    /// The same from a place in the order of their ids on.
    pub fn all_from(&self, from: Bound<&AppId>) -> impl Iterator<Item = &AppState> {
        self.apps.range::<AppId, _>((from, Bound::Unbounded)).map(|(_, state)| state)
    }

    /// The deployments on their way.
    pub fn deployments(&self) -> impl Iterator<Item = &Deployment> {
        self.deployments.values()
    }

    /// A deployment on its way.
    pub fn deployment(&self, id: DeploymentId) -> Option<&Deployment> {
        self.deployments.get(&id)
    }

    /// Whether the master takes our calls.
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// The version of the last change of any app.
    pub fn version(&self) -> Timestamp {
        self.version
    }

    /// The apps that wait for offers.
    pub fn queue(&self, now: Now) -> impl Iterator<Item = Waiting<'_>> {
        self.specs().filter_map(move |state| self.waiting(now, state))
    }

    /// How an app waits for offers, if it does.
    pub fn waiting<'a>(&self, now: Now, state: &'a AppState) -> Option<Waiting<'a>> {
        let (since, _) = state.instances.first_waiting()?;
        let count = state.instances.waiting();
        let room = self.most_at_once(state).saturating_sub(state.alive(now.mono));
        Some(Waiting {
            state,
            count,
            since,
            delay: state.delay.map_or(Duration::ZERO, |delay| delay.left(now.mono)),
            held_back: count.saturating_sub(room),
        })
    }
}

impl AppState {
    /// How many tasks are in which state.
    pub fn counts_by_state(&self) -> Counts {
        self.instances.counts()
    }
}
