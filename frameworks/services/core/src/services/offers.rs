//! Uses offers for what waits, and asks the master for as many as are wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chapada_model::{Mono, Now, Role};
use chapada_sdk_core::{MismatchKind, Offer, Placement, Request, place};

use super::roles::role_of;
use super::{AppState, Services};
use crate::app::App;
use crate::delay::Delay;
use crate::event::Effect;
use crate::health::CheckState;
use crate::id::{AppId, InstanceId};
use crate::instance::{Condition, Instance, Phase, Task};
use crate::launch::Launch;
use crate::pod::{LaunchGroup, PodTask};
use crate::matching::request;
use crate::records::Key;
use crate::timestamp::Timestamp;

/// How long an offer that is of no use need not come back: whatever makes it useful asks for offers again.
///
/// Source: Marathon's `decline_offer_duration`.
const REFUSE: Duration = Duration::from_secs(120);
/// The most tasks launched with one offer: they travel in one message of bounded size.
const MAX_LAUNCHES_PER_OFFER: usize = 50;
/// The least time between two calls that ask for offers again.
const REVIVE_EVERY: Duration = Duration::from_millis(100);

/// What the master knows of our wish for offers.
#[derive(Debug, Default)]
pub(super) struct Demand {
    /// How many instances of an app could be launched now, and the role it is offered resources in.
    seeking: BTreeMap<AppId, (usize, Role)>,
    /// How many apps seek in which role.
    roles: BTreeMap<Role, usize>,
    /// The roles in which the master makes no offers to us while it does in others.
    quiet: BTreeSet<Role>,
    /// Whether the master makes offers to us.
    wanted: bool,
    /// Whether offers that were declined might be of use now.
    revive: bool,
    revived: Option<Mono>,
}

impl Demand {
    /// A new subscription gets offers until it says otherwise.
    pub(super) fn on_subscribed(&mut self) {
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
    fn note(&mut self, id: &AppId, count: usize, role: impl FnOnce() -> Option<Role>) -> bool {
        if let Some((before, _)) = self.seeking.get_mut(id).filter(|_| count > 0) {
            let more = count > *before;
            *before = count;
            return more;
        }
        match self.seeking.remove(id) {
            Some((_, role)) => {
                if let Some(seeking) = self.roles.get_mut(&role) {
                    *seeking -= 1;
                }
                self.roles.retain(|_, seeking| *seeking > 0);
                false
            }
            None => match role().filter(|_| count > 0) {
                Some(role) => {
                    *self.roles.entry(role.clone()).or_default() += 1;
                    self.seeking.insert(id.clone(), (count, role));
                    true
                }
                None => false,
            },
        }
    }

    /// The app needs something else now: offers that were declined for it may be of use.
    pub(super) fn forget(&mut self, id: &AppId) {
        self.note(id, 0, || None);
    }

    /// Whether the master makes offers to us.
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// When a call that was put off is due.
    pub(super) fn deadline(&self) -> Option<Mono> {
        self.revived.filter(|_| self.revive && !self.seeking.is_empty()).map(|at| at + REVIVE_EVERY)
    }
}

/// What is left of an offer and what is done with it.
struct Bid {
    offer: Offer,
    launches: Vec<Launch>,
    groups: Vec<LaunchGroup>,
}

impl Bid {
    /// How many tasks are launched with it.
    fn tasks(&self) -> usize {
        self.launches.len() + self.groups.iter().map(|group| group.tasks.len()).sum::<usize>()
    }
}

impl Services {
    pub(super) fn on_offers(&mut self, now: Now, offers: Vec<Offer>) {
        let bid = |offer: Offer| Bid { offer, launches: Vec::new(), groups: Vec::new() };
        let mut bids: Vec<Bid> = offers.into_iter().map(bid).collect();
        for app in self.by_waiting_time() {
            self.place(now, &app, &mut bids);
        }
        for bid in bids {
            let tasks = bid.tasks();
            let Bid { offer, launches, groups } = bid;
            let (id, used) = (offer.id.clone(), tasks > 0);
            self.known.note(now, offer, used);
            self.outbox.push(match used {
                false => Effect::Decline { offer: id, refuse: REFUSE },
                true => {
                    let full = tasks >= MAX_LAUNCHES_PER_OFFER;
                    let refuse = if full { Duration::ZERO } else { REFUSE };
                    Effect::Launch { offer: id, tasks: launches, groups, refuse }
                }
            });
        }
    }

    /// The apps that could launch, the one that waits longest first.
    fn by_waiting_time(&self) -> Vec<AppId> {
        let mut apps: Vec<(Option<Timestamp>, &AppId)> = Vec::new();
        for id in self.demand.seeking.keys() {
            let first = self.apps.get(id).and_then(|state| state.instances.first_waiting());
            let since = first.map(|(since, _)| since);
            apps.push((since, id));
        }
        apps.sort();
        apps.into_iter().map(|(_, id)| id.clone()).collect()
    }

    /// Places as many instances of `app` as may be and fit, on the agents that have the fewest of them.
    fn place(&mut self, now: Now, id: &AppId, bids: &mut [Bid]) {
        let Some(state) = self.apps.get(id) else { return };
        let count = self.launchable(now, state);
        let request = request(&state.app.definition);
        for _ in 0..count {
            let draw = self.seed.number();
            let Some(state) = self.apps.get_mut(id) else { return };
            let Some((instance, app)) = next_waiting(now, state) else { return };
            let other = (app.version != state.app.version).then(|| crate::matching::request(&app.definition));
            let request = other.as_ref().unwrap_or(&request);
            let Some((index, share)) = choose(state, request, bids, draw, now) else {
                return;
            };
            let bid = &mut bids[index];
            if bid.offer.take(&share.resources).is_err() {
                return;
            }
            let deploying = state.deployment.is_some();
            if let Some(mut instance) = state.instances.get_mut(&instance) {
                instance.pinned = None;
                let ready = !deploying || app.definition.readiness_checks.is_empty();
                match launch(&app, &mut instance, &bid.offer, share, ready, now) {
                    Some(Start::Task(launch)) => bid.launches.push(*launch),
                    Some(Start::Group(group)) => bid.groups.push(*group),
                    None => return,
                }
            }
            state.funnel.last_used = Some(Timestamp::from(now.wall));
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
        let count = self.apps.get(id).map_or(0, |state| self.launchable(now, state));
        let role = || self.apps.get(id).and_then(|state| role_of(&state.app.definition));
        let more = self.demand.note(id, count, role);
        self.demand.revive |= more;
    }

    /// Asks for offers when something waits, and for none when nothing does.
    pub(super) fn seek_offers(&mut self, now: Now) {
        if !self.connected {
            return;
        }
        if self.demand.seeking.is_empty() {
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
        let roles: BTreeSet<Role> = self.demand.roles.keys().cloned().collect();
        self.demand.quiet.retain(|role| !roles.contains(role));
        self.outbox.push(match self.has_several_roles() {
            true => Effect::ReviveIn(roles),
            false => Effect::Revive,
        });
    }

    /// Asks for no more offers in roles that nothing waits in, while something does in others.
    fn quieten(&mut self) {
        if !self.has_several_roles() || !self.demand.wanted || self.demand.seeking.is_empty() {
            return;
        }
        let idle = |role: &&Role| !self.demand.roles.contains_key(*role) && !self.demand.quiet.contains(*role);
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

/// The place to fill next and what with: first those that keep an earlier version up.
fn next_waiting(now: Now, state: &AppState) -> Option<(InstanceId, App)> {
    let pinned = state.instances.first_pinned().filter(|_| is_over(now, state.delay_before));
    let unpinned = || state.instances.first_unpinned().filter(|_| is_over(now, state.delay));
    let id = pinned.or_else(unpinned)?;
    let version = state.instances.get(&id)?.pinned;
    let app = version.and_then(|version| state.versions.get(&version)).unwrap_or(&state.app);
    Some((id, app.clone()))
}

/// The offer for the next instance of an app and what it takes of it; notes why not when none fits.
fn choose(
    state: &mut AppState,
    request: &Request,
    bids: &[Bid],
    draw: u64,
    now: Now,
) -> Option<(usize, Placement)> {
    let mut order: Vec<usize> =
        (0..bids.len()).filter(|index| bids[*index].tasks() < MAX_LAUNCHES_PER_OFFER).collect();
    order.retain(|index| bids[*index].offer.role.as_str() == state.app.definition.role);
    order.sort_by_key(|index| state.instances.on_agent(&bids[*index].offer.agent));
    let mut reasons: Vec<MismatchKind> = Vec::new();
    for index in order {
        match place(&bids[index].offer, request, state.instances.placed(), now.wall, draw) {
            Ok(share) => {
                state.funnel.processed += 1;
                return Some((index, share));
            }
            Err(why) => reasons.push(why.kind()),
        }
    }
    state.funnel.processed += reasons.len() as u64;
    state.funnel.unused += reasons.len() as u64;
    for why in reasons {
        *state.funnel.reasons.entry(why).or_default() += 1;
        state.funnel.last_unused = Some(Timestamp::from(now.wall));
    }
    None
}

/// What begins in a place.
enum Start {
    Task(Box<Launch>),
    Group(Box<LaunchGroup>),
}

/// Puts a task into a place that waits, and says how to launch it. `None` when the share is too small for all of a pod's
/// containers; nothing is changed then.
fn launch(
    app: &App,
    instance: &mut Instance,
    offer: &Offer,
    share: Placement,
    ready: bool,
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
        ports: share.ports,
        addresses: Vec::new(),
        check: None,
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
        unknown_since: None,
        asked: now.mono,
    };
    let start = match (pod, &task.pod) {
        (Some(pod), Some(parts)) => {
            Start::Group(Box::new(LaunchGroup::of(app, pod, &task, parts, share.resources)?))
        }
        _ => Start::Task(Box::new(Launch::of(&app.definition, &task, share.resources))),
    };
    instance.phase = Phase::Placed(task);
    Some(start)
}

/// The first of each name, as text.
fn attributes(offer: &Offer) -> BTreeMap<String, String> {
    let names = offer.attributes.iter().map(|attribute| &attribute.name);
    names.filter_map(|name| Some((name.to_string(), offer.attribute(name)?.to_string()))).collect()
}
