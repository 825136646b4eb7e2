//! What a change would do, asked without doing it.

use std::collections::BTreeMap;
use std::sync::Arc;

use chapada_model::{Now, Role};
use chapada_sdk_core::Placed;

use super::commands::invalid;
use super::known::{KnownOffer, taken};
use super::{AppState, Services};
use crate::deployment::{Change, Deployment};
use crate::event::{Refusal, Update};
use crate::id::{AppId, DeploymentId, Seed};
use crate::instance::Task;
use crate::matching::request;
use crate::plan::{Landing, Old, Proposal};
use crate::resident::Home;
use crate::timestamp::Timestamp;

/// So many apps are planned at once: each is matched with every agent.
const PLANNED_AT_ONCE: usize = 200;

/// What is offered to each role, copied once.
type Offered = BTreeMap<Role, Known>;

/// The offers to a role, how many agents were offered once and are not any more, and when the last offer was seen.
type Known = (Arc<[KnownOffer]>, usize, Option<Timestamp>);

impl Services {
    /// What these updates would do, by the same steps as the command. Where instances would land is [`Proposal::answer`].
    ///
    /// # Errors
    /// As the command itself, and [`Refusal::Invalid`] for more apps than are planned at once.
    pub fn propose(&self, now: Now, updates: Vec<Update>, force: bool) -> Result<Proposal, Refusal> {
        if updates.len() > PLANNED_AT_ONCE {
            let why =
                format!("{PLANNED_AT_ONCE} apps are planned at once at most; ask for some after the others");
            return Err(invalid("/", why));
        }
        let version = Timestamp::from(now.wall).max(self.version.next());
        let changes = self.changes(updates, version)?;
        let layers = self.layers(&changes, &BTreeMap::new())?;
        let cancels = self.conflicts(&changes, force)?;
        let id = DeploymentId(Seed::new(0, 0).uuid());
        let mut deployment = Deployment::plan(id, version, changes, &layers);
        deployment.carry_on(&self.replaced_by(&cancels));
        let mut offered = Offered::new();
        let landing = |(id, change): (&AppId, &Change)| {
            self.landing(now, id, change, deployment.replaces(id), &mut offered)
        };
        let landings = deployment.changes.iter().filter_map(landing).collect();
        Ok(Proposal { deployment, cancels, landings })
    }

    /// What is to be started of an app, and beside what.
    fn landing(
        &self,
        now: Now,
        id: &AppId,
        change: &Change,
        replaces: bool,
        offered: &mut Offered,
    ) -> Option<Landing> {
        let to = change.to.as_ref()?;
        let state = self.spec(id);
        let request = self.settings.request(&to.definition);
        let role = to.definition.role.parse().unwrap_or_else(|_| self.role.clone());
        let there = state.map_or(0, |state| state.alive(now.mono));
        let target = to.definition.instances as usize;
        let resident = to.definition.is_resident();
        let (known, absent, newest) = offered.entry(role.clone()).or_insert_with_key(|role| {
            let known = self.known.current(now.mono, role).cloned().collect();
            (known, self.known.absent(now.mono, role), self.known.newest(role))
        });
        Some(Landing {
            id: id.clone(),
            definition: to.definition.clone(),
            placed: match state.filter(|_| !replaces) {
                Some(state) => state.instances.placed().clone(),
                None => Placed::of::<Task>(&request.constraints, []),
            },
            request,
            homes: state.map_or_else(Vec::new, |state| free_homes(state, replaces)),
            starts: if replaces { target } else { target.saturating_sub(there) },
            // What tasks of a resident app have is its own and stays so.
            old: state.filter(|_| !resident).map_or_else(Vec::new, old),
            replaces: replaces && !resident,
            now: now.wall,
            known: known.clone(),
            absent: *absent,
            newest: *newest,
            role,
        })
    }
}

/// The homes that tasks would be started in: all, or those in which there is none.
fn free_homes(state: &AppState, all: bool) -> Vec<Home> {
    let has_task = |home: &&Home| state.instances.get(&home.instance).is_some_and(|one| one.task().is_some());
    state.homes.values().filter(|home| all || !has_task(home)).cloned().collect()
}

/// The tasks that run now, with what they take.
fn old(state: &AppState) -> Vec<Old> {
    let taken_by = |task: &Task| {
        let definition =
            state.versions.get(&task.version).map_or(&state.app.definition, |app| &app.definition);
        taken(&request(definition), &task.ports)
    };
    state.tasks().map(|task| Old { agent: task.agent.clone(), resources: taken_by(task) }).collect()
}
