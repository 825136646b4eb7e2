//! Uses offers for what waits, and asks the master for as many as are wanted.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use chapada_model::{Mono, Now, Role};
use chapada_sdk_core::{Delay, MismatchKind, Offer, Placement, Request, place};

use super::order::Order;
use super::refused::Refused;
use super::roles::role_of;
use super::{AppState, Services};
use crate::app::App;
use crate::event::{Effect, HomeOperation};
use crate::group::PathId;
use crate::health::CheckState;
use crate::id::{AppId, InstanceId};
use crate::instance::{Condition, Instance, Phase, Task};
use crate::launch::Launch;
use crate::matching::spread;
use crate::pod::{LaunchGroup, PodTask};
use crate::records::Key;
use crate::settings::Settings;
use crate::timestamp::Timestamp;

/// So many instances are placed in one go at most: who has something else to say does not wait for more.
const PLACED_AT_ONCE: usize = 2_048;
/// So often at most an app is held against an offer in one go, as long as it is one of the first [`FEW_OFFERS`].
const LOOKS_AT_ONCE: usize = 131_072;
/// So many offers are looked at in one go, however many apps wait: an app's instances are to be spread.
const FEW_OFFERS: usize = 64;
/// The least time between two calls that ask for offers again.
const REVIVE_EVERY: Duration = Duration::from_millis(100);

/// What an app wants of offers.
#[derive(Debug)]
struct Seeking {
    /// How many of its instances could be launched now; at least one.
    count: usize,
    /// Since when the first of them waits.
    since: Timestamp,
    /// The role it is offered resources in.
    role: Role,
}

/// What the master knows of our wish for offers.
#[derive(Debug, Default)]
pub(super) struct Demand {
    /// The apps that could launch.
    seeking: BTreeMap<AppId, Seeking>,
    /// The same, the one that waits longest first.
    order: BTreeSet<(Timestamp, AppId)>,
    /// How many apps seek in which role.
    roles: BTreeMap<Role, usize>,
    /// The roles in which something may be offered that is to be given back, and until when that is waited for.
    sweeps: BTreeMap<Role, Mono>,
    /// The roles in which the master makes no offers to us while it does in others.
    quiet: BTreeSet<Role>,
    /// Offers that were not looked at yet, the oldest first, and since when.
    offered: VecDeque<Offer>,
    offered_at: Mono,
    /// Whether the master makes offers to us.
    wanted: bool,
    /// Whether offers that were declined might be of use now.
    revive: bool,
    revived: Option<Mono>,
}

impl Demand {
    /// A new subscription gets offers until it says otherwise.
    pub(super) fn on_subscribed(&mut self) {
        self.offered.clear();
        self.quiet.clear();
        self.wanted = true;
        self.revive = !self.seeking.is_empty();
    }

    /// New roles begin with offers; so do all others then.
    pub(super) fn on_roles(&mut self) {
        self.quiet.clear();
        self.wanted = true;
        self.revive |= !self.seeking.is_empty();
    }

    /// Notes how many instances of an app could be launched now; says whether those are more than before.
    fn note(&mut self, id: &AppId, wanted: Option<Seeking>) -> bool {
        let before = self.seeking.remove(id);
        if let Some(before) = &before {
            self.order.remove(&(before.since, id.clone()));
            if let Some(seeking) = self.roles.get_mut(&before.role) {
                *seeking -= 1;
            }
        }
        let (was, is) = (before.as_ref().map(|before| before.count), wanted.as_ref().map(|now| now.count));
        if let Some(wanted) = wanted {
            *self.roles.entry(wanted.role.clone()).or_default() += 1;
            self.order.insert((wanted.since, id.clone()));
            self.seeking.insert(id.clone(), wanted);
        }
        if let Some(before) = before.filter(|before| self.roles.get(&before.role) == Some(&0)) {
            self.roles.remove(&before.role);
        }
        is > was
    }

    /// The app needs something else now: offers that were declined for it may be of use.
    pub(super) fn forget(&mut self, id: &AppId) {
        self.note(id, None);
    }

    /// Something in this role is to be given back when it is offered.
    pub(super) fn sweep(&mut self, role: Role, until: Mono) {
        self.sweeps.insert(role, until);
        self.revive = true;
    }

    /// Whether something in this role is waited for.
    pub(super) fn sweeps(&self, role: &Role) -> bool {
        self.sweeps.contains_key(role)
    }

    /// The roles in which something is to be given back.
    pub(super) fn swept(&self) -> impl Iterator<Item = &Role> {
        self.sweeps.keys()
    }

    /// Whether no offer is of any use.
    fn is_idle(&self) -> bool {
        self.seeking.is_empty() && self.sweeps.is_empty()
    }

    /// Whether the master makes offers to us.
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// When a call that was put off is due.
    pub(super) fn deadline(&self) -> Option<Mono> {
        let revive = self.revived.filter(|_| self.revive && !self.is_idle()).map(|at| at + REVIVE_EVERY);
        let offered = (!self.offered.is_empty()).then_some(self.offered_at);
        revive.into_iter().chain(offered).chain(self.sweeps.values().copied()).min()
    }

    /// The offers to look at next, and how many tasks may be launched with each, `most` at most. All of them unless that takes long; then as many
    /// as can be used or looked at in one go, and each takes no more than its share, so that all are filled alike.
    fn next_offers(&mut self, most: usize) -> (Vec<Offer>, usize) {
        let wanted: usize = self.seeking.values().map(|seeking| seeking.count).sum();
        let offers = self.offered.len();
        let mut each = most;
        let mut count = (LOOKS_AT_ONCE / self.seeking.len().max(1)).max(FEW_OFFERS).min(offers);
        if wanted > PLACED_AT_ONCE {
            each = wanted.div_ceil(offers.max(1)).min(most);
            count = count.min((PLACED_AT_ONCE / each).max(1));
        }
        if self.seeking.is_empty() {
            count = offers;
        }
        (self.offered.drain(..count).collect(), each)
    }
}

/// What is left of an offer and what is done with it.
pub(super) struct Bid {
    pub(super) offer: Offer,
    /// What becomes of reservations and volumes before anything is launched.
    pub(super) operations: Vec<HomeOperation>,
    pub(super) launches: Vec<Launch>,
    pub(super) groups: Vec<LaunchGroup>,
    /// How many tasks may be launched with it.
    limit: usize,
}

impl Bid {
    /// How many tasks are launched with it.
    fn tasks(&self) -> usize {
        self.launches.len() + self.groups.iter().map(|group| group.tasks.len()).sum::<usize>()
    }

    pub(super) fn is_full(&self) -> bool {
        self.tasks() >= self.limit
    }

    /// Whether it is not worth a look any more. What little may be left of one that is used comes back with the next offer.
    fn is_spent(&self) -> bool {
        let resources = &self.offer.resources;
        self.is_full() || (self.tasks() > 0 && (resources.cpus().is_zero() || resources.mem().is_zero()))
    }
}

impl Services {
    pub(super) fn on_offers(&mut self, now: Now, offers: Vec<Offer>) {
        if self.demand.offered.is_empty() {
            self.demand.offered_at = now.mono;
        }
        self.demand.offered.extend(offers);
        self.use_offers(now);
    }

    /// As time passes: goes on with what there was no time for.
    pub(super) fn use_offers_left(&mut self, now: Now) {
        if self.connected && !self.demand.offered.is_empty() {
            self.use_offers(now);
        }
    }

    /// Uses offers that were made before and not looked at yet; what is left then is due at once.
    pub(super) fn use_offers(&mut self, now: Now) {
        let (offers, limit) = self.demand.next_offers(self.settings.max_per_offer);
        let (offers, left) = self.usable(offers);
        let refuse = self.settings.decline_offer;
        for offer in left {
            self.outbox.push(Effect::Decline { offer: offer.id, refuse });
        }
        let bid = |offer: Offer| {
            let (operations, launches, groups) = (Vec::new(), Vec::new(), Vec::new());
            Bid { offer, operations, launches, groups, limit }
        };
        let mut bids: Vec<Bid> = offers.into_iter().map(bid).collect();
        self.sweep(&mut bids);
        // The one that waits longest first.
        let (order, mut refused) = (std::mem::take(&mut self.demand.order), Refused::default());
        for (_, app) in &order {
            if bids.iter().all(Bid::is_spent) {
                break;
            }
            self.place(now, app, &mut bids, &mut refused);
        }
        self.demand.order = order;
        // Whatever makes an offer useful asks for offers again.
        for mut bid in bids {
            let grouped = bid.groups.iter_mut().flat_map(|group| &mut group.tasks);
            self.tell_of_roles(bid.launches.iter_mut().chain(grouped.map(|task| &mut task.launch)));
            let (used, full) = (bid.tasks() > 0 || !bid.operations.is_empty(), bid.is_full());
            self.known.note(now, bid.offer.clone(), used);
            let grouped = bid.groups.iter().flat_map(|group| group.tasks.iter().map(|task| &task.launch));
            for launch in bid.launches.iter().chain(grouped) {
                self.reconciliation.launched(now.mono, launch.task.clone(), Some(launch.agent.clone()));
            }
            self.outbox.push(match used {
                false => Effect::Decline { offer: bid.offer.id, refuse },
                true => Self::accepting(bid, if full { Duration::ZERO } else { refuse }),
            });
        }
    }

    /// Tells tasks in groups that enforce their role that they are in one.
    fn tell_of_roles<'a>(&self, launches: impl Iterator<Item = &'a mut Launch>) {
        for launch in launches {
            let app = InstanceId::of_task(launch.task.as_str());
            let group = app.as_ref().map(|id| PathId::group_of(id.app()));
            if group.as_ref().and_then(PathId::top_level).is_some_and(|group| self.enforces_role(group)) {
                launch.in_enforcing_group();
            }
        }
    }

    /// Places as many instances of `app` as may be and fit, on the agents that have the fewest of them.
    fn place(&mut self, now: Now, id: &AppId, bids: &mut [Bid], refused: &mut Refused) {
        let Some(state) = self.apps.get(id) else { return };
        let count = self.launchable(now, state);
        if state.app.definition.is_resident() {
            return self.place_residents(now, id, count, bids);
        }
        let current = Kind::of(&state.app, &self.settings);
        let role = &state.app.definition.role;
        if let Some(reasons) = refused.of(role, &current.request).filter(|_| state.instances.pinned() == 0) {
            let Some(state) = self.apps.get_mut(id) else { return };
            return state.funnel.note_unused(now, reasons);
        }
        let mut order = order_for(state, bids);
        for _ in 0..count {
            let draw = self.seed.number();
            let Some(state) = self.apps.get_mut(id) else { return };
            let Some((instance, other)) = next_waiting(now, state, &self.settings) else { return };
            let Kind { app, request } = other.as_ref().unwrap_or(&current);
            let lasting = other.is_none() && request.constraints.is_empty();
            let (index, share) = match choose(state, request, (bids, &mut order), lasting, (draw, now)) {
                Ok(found) => found,
                Err(reasons) if lasting => return refused.note(&app.definition.role, request, reasons),
                Err(_) => return,
            };
            let bid = &mut bids[index];
            if bid.offer.take(&share.resources).is_err() {
                return;
            }
            let deploying = state.deployment.is_some() || state.is_moving();
            if let Some(mut instance) = state.instances.get_mut(&instance) {
                instance.pinned = None;
                let ready = !deploying || app.definition.readiness_checks.is_empty();
                match launch(app, &mut instance, &bid.offer, share, (ready, &self.settings), now) {
                    Some(Start::Task(launch)) => bid.launches.push(*launch),
                    Some(Start::Group(group)) => bid.groups.push(*group),
                    None => return,
                }
            }
            if bid.is_full() {
                order.close(index);
            }
            state.funnel.note_used(now);
            self.announce_now(&instance);
            self.save(Key::Instance(instance));
            self.touched.insert(id.clone());
        }
    }

    /// How many instances of an app could be launched now.
    pub(super) fn launchable(&self, now: Now, state: &AppState) -> usize {
        let unless = |delay: Option<Delay>, count: usize| if is_over(now, delay) { count } else { 0 };
        let waiting = unless(state.delay, state.instances.unpinned())
            + unless(state.delay_before, state.instances.pinned());
        if waiting == 0 {
            0
        } else {
            waiting.min(self.most_at_once(state).saturating_sub(state.alive(now.mono)))
        }
    }

    /// Notes whether the app needs offers, and whether more than when it last declined some.
    pub(super) fn note_demand(&mut self, now: Now, id: &AppId) {
        let seeking = self.apps.get(id).and_then(|state| {
            let count = self.launchable(now, state);
            let (since, _) = state.instances.first_waiting().filter(|_| count > 0)?;
            Some(Seeking { count, since, role: role_of(&state.app.definition)? })
        });
        let more = self.demand.note(id, seeking);
        self.demand.revive |= more;
    }

    /// Asks for offers when something waits, and for none when nothing does.
    pub(super) fn seek_offers(&mut self, now: Now) {
        if !self.connected {
            return;
        }
        let over = self.demand.sweeps.iter().filter(|(_, until)| now.mono >= **until);
        for role in over.map(|(role, _)| role.clone()).collect::<Vec<_>>() {
            self.demand.sweeps.remove(&role);
            self.roles.changed = true;
            self.save(Key::Sweep(role));
        }
        if self.demand.is_idle() {
            self.demand.revive = false;
            // One look at the agents first, for those who ask what would fit.
            if !self.known.is_empty() && std::mem::take(&mut self.demand.wanted) {
                self.outbox.push(Effect::Suppress);
            }
        } else if self.demand.revive && self.demand.revived.is_none_or(|at| now.mono >= at + REVIVE_EVERY) {
            self.demand.revive = false;
            self.demand.wanted = true;
            self.demand.revived = Some(now.mono);
            self.known.on_asked(now.mono, |role| self.demand.roles.contains_key(role));
            self.revive();
        }
        self.quieten();
    }
}

impl Services {
    /// Asks for offers in the roles that something waits in.
    fn revive(&mut self) {
        let roles: BTreeSet<Role> =
            self.demand.roles.keys().chain(self.demand.sweeps.keys()).cloned().collect();
        self.demand.quiet.retain(|role| !roles.contains(role));
        self.outbox.push(match self.has_several_roles() {
            true => Effect::ReviveIn(roles),
            false => Effect::Revive,
        });
    }

    /// Asks for no more offers in roles that nothing waits in, while something does in others.
    fn quieten(&mut self) {
        if !self.has_several_roles() || !self.demand.wanted || self.demand.is_idle() {
            return;
        }
        let demand = &self.demand;
        let used = |role: &Role| demand.roles.contains_key(role) || demand.sweeps.contains_key(role);
        let idle = |role: &&Role| !used(role) && !demand.quiet.contains(*role);
        let idle: BTreeSet<Role> = self.told_roles().filter(idle).cloned().collect();
        if !idle.is_empty() {
            self.demand.quiet.extend(idle.iter().cloned());
            self.outbox.push(Effect::SuppressIn(idle));
        }
    }
}

fn is_over(now: Now, delay: Option<Delay>) -> bool {
    delay.is_none_or(|delay| now.mono >= delay.until())
}

/// What instances of one version need.
struct Kind {
    app: App,
    request: Request,
}

impl Kind {
    fn of(app: &App, settings: &Settings) -> Self {
        Self { app: app.clone(), request: settings.request(&app.definition) }
    }
}

/// The place to fill next, and what with if not with the present version: first those that keep an earlier version up.
fn next_waiting(now: Now, state: &AppState, settings: &Settings) -> Option<(InstanceId, Option<Kind>)> {
    let pinned = state.instances.first_pinned().filter(|_| is_over(now, state.delay_before));
    let unpinned = || state.instances.first_unpinned().filter(|_| is_over(now, state.delay));
    let id = pinned.or_else(unpinned)?;
    let version = state.instances.get(&id)?.pinned;
    let other = version.filter(|version| *version != state.app.version);
    let version = other.and_then(|version| state.versions.get(&version));
    Some((id, version.map(|app| Kind::of(app, settings))))
}

fn order_for(state: &AppState, bids: &[Bid]) -> Order {
    let usable = |bid: &Bid| !bid.is_full() && bid.offer.role.as_str() == state.app.definition.role;
    let usable = bids.iter().enumerate().filter(|(_, bid)| usable(bid));
    Order::of(usable.map(|(index, bid)| (state.instances.on_agent(&bid.offer.agent), index)))
}

/// The offer for the next instance of an app and what it takes of it; notes why not when none fits.
fn choose(
    state: &mut AppState,
    request: &Request,
    (bids, order): (&[Bid], &mut Order),
    lasting: bool,
    (draw, now): (u64, Now),
) -> Result<(usize, Placement), Vec<MismatchKind>> {
    let take = |index: usize| {
        let offer = &bids[index].offer;
        place(offer, request, state.instances.placed(), now.wall, draw).map_err(|why| why.kind())
    };
    let found = order.first(lasting, take);
    match &found {
        Ok(_) => state.funnel.note_fitting(now),
        Err(reasons) => state.funnel.note_unused(now, reasons),
    }
    found
}

/// What begins in a place.
pub(super) enum Start {
    Task(Box<Launch>),
    Group(Box<LaunchGroup>),
}

/// Puts a task into a place that waits, and says how to launch it. `None` when the share is too small for all of a pod's
/// containers; nothing is changed then.
pub(super) fn launch(
    app: &App,
    instance: &mut Instance,
    offer: &Offer,
    share: Placement,
    (ready, settings): (bool, &Settings),
    now: Now,
) -> Option<Start> {
    let at = Timestamp::from(now.wall);
    let pod = app.definition.pod.as_deref();
    let parts = pod.map(|pod| PodTask::new(pod, &instance.id, instance.incarnation, &share.ports, at));
    let first = parts.as_ref().and_then(|parts| parts.containers.first()).map(|part| part.id.clone());
    let task = Task {
        id: first.unwrap_or_else(|| instance.id.task(instance.incarnation)),
        version: app.version,
        config: app.version_info.last_config_change_at,
        agent: offer.agent.clone(),
        hostname: offer.hostname.to_string(),
        attributes: attributes(offer),
        region: offer.domain.as_ref().map(|domain| domain.region.to_string()),
        zone: offer.domain.as_ref().map(|domain| domain.zone.to_string()),
        ports: spread(&app.definition, share.ports),
        addresses: Vec::new(),
        check: None,
        volumes: Vec::new(),
        staged_at: at,
        started_at: None,
        condition: Condition::Provisioned,
        healthy: None,
        pod: parts.map(Box::new),
        ready,
        readiness: Vec::new(),
        health: CheckState::begin(&app.definition.health_checks),
        since: now.mono,
        kill_sent: None,
        kills: 0,
        heard: 0,
    };
    let start = match (pod, &task.pod) {
        (Some(pod), Some(parts)) => Start::Group(Box::new(LaunchGroup::of(
            app,
            pod,
            &task,
            parts,
            share.resources,
            &settings.env_prefix,
        )?)),
        _ => Start::Task(Box::new(Launch::of(&app.definition, &task, share.resources, &settings.env_prefix))),
    };
    instance.phase = Phase::Placed(task);
    Some(start)
}

/// The first of each name, as text.
fn attributes(offer: &Offer) -> BTreeMap<String, String> {
    let names = offer.attributes.iter().map(|attribute| &attribute.name);
    names.filter_map(|name| Some((name.to_string(), offer.attribute(name)?.to_string()))).collect()
}
