//! Instances of resident apps: each has a home on one agent, made with its first task, kept while others come and go, and given
//! back only when somebody says so or the app is no more. Nothing ever makes a second home for an instance whose first one is
//! out of reach.

use std::collections::BTreeMap;
use std::time::Duration;

use chapada_model::{Mono, Now, Resource, Resources, Role};
use chapada_sdk_core::{MismatchKind, Placement, place};

use super::offers::{Bid, Start, launch};
use super::roles::role_of;
use super::sentence::{Sentence, Told};
use super::{AppState, Services};
use crate::app::App;
use crate::event::{Effect, HomeOperation, Refusal, Which};
use crate::id::{AppId, InstanceId};
use crate::instance::Instance;
use crate::records::Key;
use crate::resident::{Founding, Home, home_of};
use crate::timestamp::Timestamp;

/// How long a home may be asked for and not seen before it is given up.
///
/// Source: Marathon's `task_reservation_timeout`.
const RESERVE_WITHIN: Duration = Duration::from_secs(20);
/// For how long offers are wanted after something was left that is to be given back. What comes later is given back whenever it
/// is offered.
const SWEEP: Duration = Duration::from_secs(120);

impl Services {
    /// Gives back what offers hold for homes that are no more.
    pub(super) fn sweep(&mut self, bids: &mut [Bid]) {
        for bid in bids {
            let (mut garbage, mut seen) = (Vec::new(), BTreeMap::new());
            for resource in bid.offer.resources.iter() {
                let Some((instance, uuid)) = home_of(resource, &self.framework) else { continue };
                let state = self.apps.get(instance.app());
                let home = state.and_then(|state| state.homes.get(&instance));
                match home.filter(|home| home.uuid == uuid && home.agent == bid.offer.agent) {
                    Some(home) if home.confirmed => {}
                    Some(_) => {
                        seen.insert(instance, ());
                    }
                    None => garbage.push(resource.clone()),
                }
            }
            for instance in seen.into_keys() {
                garbage.extend(self.look_at_home(&instance, bid));
            }
            bid.release(garbage);
        }
    }

    /// A home that was asked for is offered: it can be lived in, or only a part of it is there, which is given back. An offer is the
    /// master's word, who counts what it asks of an agent at once; that its agent keeps it is known when a task has begun there.
    fn look_at_home(&mut self, instance: &InstanceId, bid: &Bid) -> Vec<Resource> {
        let Some(state) = self.apps.get_mut(instance.app()) else { return Vec::new() };
        let Some(home) = state.homes.get(instance) else { return Vec::new() };
        if home.found(&state.app.definition, &bid.offer).is_some() {
            return Vec::new();
        }
        let part = bid.offer.resources.filter(|resource| home.is_of(resource));
        state.homes.remove(instance);
        self.save(Key::Home(instance.clone()));
        part.iter().cloned().collect()
    }

    /// Places instances of a resident app: those with a home in it, others where a home can be made.
    pub(super) fn place_residents(&mut self, now: Now, id: &AppId, count: usize, bids: &mut [Bid]) {
        let Some(state) = self.apps.get(id) else { return };
        let waits = |instance: &&Instance| instance.task().is_none();
        let waiting: Vec<InstanceId> =
            state.instances.values().filter(waits).map(|instance| instance.id.clone()).collect();
        let mut placed = 0;
        for instance in waiting {
            if placed == count {
                break;
            }
            placed += usize::from(match self.home(&instance).is_some() {
                true => self.come_home(now, &instance, bids),
                false => self.found_home(now, &instance, bids),
            });
        }
    }

    fn home(&self, instance: &InstanceId) -> Option<&Home> {
        self.apps.get(instance.app())?.homes.get(instance)
    }

    /// The app in the version that the instance's next task shall have.
    fn app_of(&self, instance: &InstanceId) -> Option<App> {
        let state = self.apps.get(instance.app())?;
        let pinned = state.instances.get(instance)?.pinned;
        Some(pinned.and_then(|version| state.versions.get(&version)).unwrap_or(&state.app).clone())
    }

    fn come_home(&mut self, now: Now, instance: &InstanceId, bids: &mut [Bid]) -> bool {
        let (Some(app), Some(home)) = (self.app_of(instance), self.home(instance)) else { return false };
        let role = app.definition.role.as_str();
        let here = |bid: &&mut Bid| bid.offer.agent == home.agent && bid.offer.role.as_str() == role;
        let found = bids.iter_mut().filter(|bid| !bid.is_full()).find(here);
        let share = found.and_then(|bid| Some((home.found(&app.definition, &bid.offer)?, bid)));
        let Some((share, bid)) = share else {
            let late = !home.confirmed && now.mono >= home.since + RESERVE_WITHIN;
            if late {
                self.lose_home(now.mono, instance);
            }
            return false;
        };
        if bid.offer.take(&share.resources).is_err() {
            return false;
        }
        self.begin(now, instance, &app, share, bid)
    }

    fn found_home(&mut self, now: Now, instance: &InstanceId, bids: &mut [Bid]) -> bool {
        let (draw, uuid) = (self.seed.number(), self.seed.uuid());
        let Some(app) = self.app_of(instance) else { return false };
        let request = self.settings.request(&app.definition);
        let framework = self.framework.clone();
        let Some(state) = self.apps.get_mut(instance.app()) else { return false };
        let open = |bid: &&mut Bid| !bid.is_full() && bid.offer.role.as_str() == app.definition.role;
        for bid in bids.iter_mut().filter(open) {
            let share = place(&bid.offer, &request, state.instances.placed(), now.wall, draw);
            let home = Home::new(&app.definition, instance.clone(), uuid, &bid.offer, now);
            let founding = share.map_err(|why| why.kind()).and_then(|share| {
                home.found_on(&bid.offer.role, share, &framework).ok_or(MismatchKind::InsufficientDisk)
            });
            match founding {
                Ok(Founding { taken, reserved, volumes, placement }) => {
                    state.funnel.note_fitting(now);
                    if bid.offer.take(&taken).is_err() {
                        continue;
                    }
                    bid.operations.push(HomeOperation::Reserve(reserved.unallocated()));
                    bid.operations.push(HomeOperation::Create(volumes.unallocated()));
                    state.homes.insert(instance.clone(), home);
                    return self.begin(now, instance, &app, placement, bid);
                }
                Err(why) => state.funnel.note_unused(now, &[why]),
            }
        }
        false
    }

    /// Launches the next task of an instance in its home.
    fn begin(&mut self, now: Now, instance: &InstanceId, app: &App, share: Placement, bid: &mut Bid) -> bool {
        let Some(state) = self.apps.get_mut(instance.app()) else { return false };
        let ready = state.deployment.is_none() || app.definition.readiness_checks.is_empty();
        let Some(mut place) = state.instances.get_mut(instance) else { return false };
        place.pinned = None;
        match launch(app, &mut place, &bid.offer, share, (ready, &self.settings), now) {
            Some(Start::Task(launch)) => bid.launches.push(*launch),
            Some(Start::Group(group)) => bid.groups.push(*group),
            None => return false,
        }
        if let Some(home) = state.homes.get_mut(instance) {
            home.incarnation = place.incarnation;
            if let Some(task) = place.task_mut() {
                task.volumes.clone_from(&home.volumes);
            }
        }
        drop(place);
        state.funnel.note_used(now);
        self.announce_now(instance);
        self.save(Key::Instance(instance.clone()));
        self.save(Key::Home(instance.clone()));
        self.touched.insert(instance.app().clone());
        true
    }

    /// Its agent has begun a task, so its home was made.
    pub(super) fn confirm_home(&mut self, instance: &InstanceId) {
        let home = self.apps.get_mut(instance.app()).and_then(|state| state.homes.get_mut(instance));
        if let Some(home) = home.filter(|home| !home.confirmed) {
            home.confirmed = true;
            self.save(Key::Home(instance.clone()));
        }
    }

    /// The next place of an app: in a home that nobody is in, else a new one. `None` when every home there may be is taken: one
    /// has to become free first.
    pub(super) fn next_place(&mut self, id: &AppId, since: Timestamp) -> Option<Instance> {
        let state = self.apps.get(id)?;
        if state.app.definition.is_resident() {
            if let Some(home) =
                state.homes.values().find(|home| !state.instances.contains_key(&home.instance))
            {
                let waiting = Instance::waiting(home.instance.clone(), since);
                return Some(Instance { incarnation: home.incarnation.saturating_add(1), ..waiting });
            }
            let homeless = |instance: &&Instance| !state.homes.contains_key(&instance.id);
            let homes = state.homes.len() + state.instances.values().filter(homeless).count();
            if homes >= state.app.definition.instances as usize {
                return None;
            }
        }
        Some(Instance::waiting(InstanceId::new(id.clone(), self.seed.uuid()), since))
    }

    /// Forgets the home of an instance: what is kept for it is given back when it is offered.
    pub(super) fn lose_home(&mut self, now: Mono, instance: &InstanceId) {
        let Some(state) = self.apps.get_mut(instance.app()) else { return };
        if state.homes.remove(instance).is_some() {
            let role = role_of(&state.app.definition);
            self.save(Key::Home(instance.clone()));
            self.expect_leftovers(now, role);
        }
    }

    /// What ran in an instance has ended. If its home was given up meanwhile, what was kept for it is free to be given back now.
    pub(super) fn note_left(&mut self, now: Mono, instance: &InstanceId) {
        let Some(state) = self.apps.get(instance.app()) else { return };
        if state.app.definition.is_resident() && !state.homes.contains_key(instance) {
            let role = role_of(&state.app.definition);
            self.expect_leftovers(now, role);
        }
    }

    /// Something in this role is to be given back when it is offered, so offers in it are wanted for a while.
    pub(super) fn expect_leftovers(&mut self, now: Mono, role: Option<Role>) {
        let Some(role) = role else { return };
        self.demand.sweep(role.clone(), now + SWEEP);
        self.roles.changed = true;
        self.save(Key::Sweep(role));
    }

    /// The app is gone, and so are its homes.
    pub(super) fn lose_homes(&mut self, now: Mono, state: &mut AppState) {
        for (instance, _) in std::mem::take(&mut state.homes) {
            self.save(Key::Home(instance));
            self.expect_leftovers(now, role_of(&state.app.definition));
        }
    }

    /// The tasks that are killed and the homes that are given back, the data with them. Others take their places, with new homes.
    pub(super) fn to_wipe(&self, which: Which) -> Result<Sentence, Refusal> {
        let mut chosen = self.chosen_to_wipe(which)?;
        chosen.dedup();
        Ok(Sentence { instances: chosen.into(), wipe: true, told: Told::Tasks(Vec::new()) })
    }

    fn chosen_to_wipe(&self, which: Which) -> Result<Vec<InstanceId>, Refusal> {
        let homes = |state: &AppState, suits: &dyn Fn(&Home) -> bool| -> Vec<InstanceId> {
            state.homes.values().filter(|home| suits(home)).map(|home| home.instance.clone()).collect()
        };
        let named = |text: &str| {
            let id = InstanceId::of_task(text).or_else(|| text.parse().ok())?;
            self.home(&id).map(|home| home.instance.clone())
        };
        let mut chosen = match &which {
            Which::Of { app, host } => {
                let here = |home: &Home| host.as_ref().is_none_or(|host| *host == home.hostname);
                self.app(app).map(|state| homes(state, &here)).unwrap_or_default()
            }
            Which::One { app, task } => named(task).filter(|id| id.app() == app).into_iter().collect(),
            Which::Any(ids) => ids.iter().filter_map(|id| named(id)).collect(),
        };
        // One that waits has no task, and is there nevertheless.
        match self.chosen(which) {
            Ok(more) => chosen.extend(more),
            Err(Refusal::NoTask(_)) if !chosen.is_empty() => {}
            Err(why) => return Err(why),
        }
        chosen.sort();
        Ok(chosen)
    }

    /// Keeps `Effect::Launch` for offers that are used for tasks alone.
    pub(super) fn accepting(bid: Bid, refuse: Duration) -> Effect {
        let Bid { offer, launches, groups, operations, .. } = bid;
        match operations.is_empty() {
            true => Effect::Launch { offer: offer.id, tasks: launches, groups, refuse },
            false => Effect::Accept { offer: offer.id, operations, tasks: launches, groups, refuse },
        }
    }
}

impl Bid {
    /// Gives back what is reserved, and destroys the volumes among it.
    fn release(&mut self, garbage: Vec<Resource>) {
        let list = |some: Vec<Resource>| Resources::from_list(some).map(|some| some.unallocated());
        let volumes = garbage.iter().filter(|resource| resource.is_volume()).cloned().collect();
        let plain = garbage.iter().map(Resource::without_volume).collect();
        let (Ok(all), Ok(volumes), Ok(plain)) = (Resources::from_list(garbage), list(volumes), list(plain))
        else {
            return;
        };
        if all.is_empty() || self.offer.take(&all).is_err() {
            return;
        }
        if !volumes.is_empty() {
            self.operations.push(HomeOperation::Destroy(volumes));
        }
        self.operations.push(HomeOperation::Unreserve(plain));
    }
}
