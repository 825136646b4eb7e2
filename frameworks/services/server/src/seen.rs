//! What one caller may see of everything. Handlers read through this and through nothing else.

use std::ops::Bound;

use chapada_listener::{Action, Caller};
use chapada_model::Now;
use chapada_services_core::{
    AppId, AppState, Command, Deployment, DeploymentId, Group, GroupChange, GroupPlan, Inquired, Inquiring,
    PathId, Proposal, Refusal, Services, Snapshot, Timestamp, Update, Waiting,
};
use serde_json::{Map, Value};

use crate::access;

/// The apps, pods, groups and deployments that a caller may see, as if there were no others.
pub(crate) struct Seen<'a> {
    all: &'a Services,
    caller: &'a Caller,
}

impl<'a> Seen<'a> {
    pub(crate) fn new(all: &'a Services, caller: &'a Caller) -> Self {
        Self { all, caller }
    }

    /// Everything, for totals that name nothing.
    pub(crate) fn everything(&self) -> &'a Services {
        self.all
    }

    fn sees(&self, path: &str) -> bool {
        self.caller.may(Action::ViewApps, "app", path)
    }

    fn sees_state(&self, state: &AppState) -> bool {
        self.sees(state.app.definition.id.as_str())
    }

    pub(crate) fn apps(&self) -> impl Iterator<Item = &'a AppState> {
        self.all.apps().filter(|state| self.sees_state(state))
    }

    pub(crate) fn apps_from(&self, from: Bound<&AppId>) -> impl Iterator<Item = &'a AppState> {
        self.all.apps_from(from)
    }

    /// Every app and pod from a place on, those going away included, also what the caller may not see.
    pub(crate) fn all_from(&self, from: Bound<&AppId>) -> impl Iterator<Item = &'a AppState> {
        self.all.all_from(from)
    }

    pub(crate) fn may_see(&self, state: &AppState) -> bool {
        self.sees_state(state)
    }

    pub(crate) fn app(&self, id: &AppId) -> Option<&'a AppState> {
        self.all.app(id).filter(|state| self.sees_state(state))
    }

    pub(crate) fn pod(&self, id: &AppId) -> Option<&'a AppState> {
        self.all.pod(id).filter(|state| self.sees_state(state))
    }

    /// Also one that is going away.
    pub(crate) fn even_ending(&self, id: &AppId) -> Option<&'a AppState> {
        self.all.even_ending(id).filter(|state| self.sees_state(state))
    }

    /// Also those that the caller may not see: what they touch is to be held against [`Seen::may_see_app`].
    pub(crate) fn all_deployments(&self) -> impl Iterator<Item = &'a Deployment> {
        self.all.deployments()
    }

    /// As [`Seen::all_deployments`].
    pub(crate) fn deployment(&self, id: DeploymentId) -> Option<&'a Deployment> {
        self.all.deployment(id)
    }

    pub(crate) fn may_see_app(&self, id: &AppId) -> bool {
        self.sees(id.as_str())
    }

    /// How an app or pod waits for offers, if it does and the caller may see it.
    pub(crate) fn waiting(&self, now: Now, state: &'a AppState) -> Option<Waiting<'a>> {
        let state = Some(state).filter(|state| !state.deleting && self.sees_state(state))?;
        self.all.waiting(now, state)
    }

    /// A part of what an explanation of an app or pod rests on.
    pub(crate) fn inquire_on(&self, now: Now, inquiring: Inquiring, most: usize) -> Inquired {
        match self.may_see_app(inquiring.id()) {
            true => self.all.inquire_on(now, inquiring, most),
            false => Inquired::Nothing,
        }
    }

    /// What updates would do, for who may do them.
    pub(crate) fn propose(&self, now: Now, updates: Vec<Update>, force: bool) -> Result<Proposal, Refusal> {
        let command = Command::Update { updates: updates.clone(), force };
        match self.denied(&command) {
            Some(why) => Err(Refusal::Denied(why)),
            None => self.all.propose(now, updates, force),
        }
    }

    /// Why the caller may not have the command carried out, if it may not.
    pub(crate) fn denied(&self, command: &Command) -> Option<String> {
        access::denied(self.caller, self.all, command)
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.all.is_connected()
    }

    pub(crate) fn version(&self) -> Timestamp {
        self.all.version()
    }

    pub(crate) fn specs_below(&self, group: &PathId) -> impl Iterator<Item = &'a AppState> {
        self.all.specs_below(group).filter(|state| self.sees_state(state))
    }

    /// A group that the caller may see, or that holds something it may see.
    pub(crate) fn has_group(&self, group: &PathId) -> bool {
        let seen = || self.sees(group.as_str()) || self.specs_below(group).next().is_some();
        self.all.has_group(group) && (group.is_root() || seen())
    }

    pub(crate) fn groups(&self) -> impl Iterator<Item = (&'a PathId, &'a Group)> {
        self.all.groups().filter(|(path, _)| self.sees(path.as_str()))
    }

    /// What a change of a group would do, for who may do it.
    pub(crate) fn plan_group(
        &self,
        now: Now,
        group: &PathId,
        fields: Map<String, Value>,
    ) -> Result<GroupPlan, Refusal> {
        let command =
            Command::Group { group: group.clone(), change: GroupChange::Put(fields.clone()), force: false };
        match self.denied(&command) {
            Some(why) => Err(Refusal::Denied(why)),
            None => self.all.plan_group(now, group, fields),
        }
    }

    pub(crate) fn group_versions(&self, group: &PathId) -> Vec<Timestamp> {
        if self.has_group(group) { self.all.group_versions(group) } else { Vec::new() }
    }

    pub(crate) fn group_at(&self, group: &PathId, version: Timestamp) -> Option<Snapshot> {
        let mut snapshot = self.all.group_at(group, version).filter(|_| self.has_group(group))?;
        snapshot.apps.retain(|id, _| self.sees(id.as_str()));
        snapshot.groups.retain(|path, _| self.sees(path.as_str()));
        Some(snapshot)
    }
}
