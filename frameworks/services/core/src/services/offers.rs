//! Uses offers for what waits, and asks the master for as many as are wanted.

use std::collections::BTreeMap;
use std::time::Duration;

use chapada_model::{Mono, Now};
use chapada_sdk_core::{MismatchKind, Offer, Placement, Request, place};

use super::{AppState, Services};
use crate::app::App;
use crate::delay::Delay;
use crate::definition::Command;
use crate::environment::environment;
use crate::event::{Effect, Launch, LaunchPort};
use crate::health::CheckState;
use crate::id::AppId;
use crate::instance::{Condition, Instance, Phase, Task};
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
    /// How many instances of an app could be launched now.
    seeking: BTreeMap<AppId, usize>,
    /// Whether the master makes offers to us.
    wanted: bool,
    /// Whether offers that were declined might be of use now.
    revive: bool,
    revived: Option<Mono>,
}

impl Demand {
    /// A new subscription gets offers until it says otherwise.
    pub(super) fn on_subscribed(&mut self) {
        self.wanted = true;
        self.revive = !self.seeking.is_empty();
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
}

impl Services {
    pub(super) fn on_offers(&mut self, now: Now, offers: Vec<Offer>) {
        let bid = |offer: Offer| Bid { offer, launches: Vec::new() };
        let mut bids: Vec<Bid> = offers.into_iter().map(bid).collect();
        for app in self.by_waiting_time() {
            self.place(now, &app, &mut bids);
        }
        for Bid { offer, launches, .. } in bids {
            self.outbox.push(match launches.is_empty() {
                true => Effect::Decline { offer: offer.id, refuse: REFUSE },
                false => {
                    let full = launches.len() >= MAX_LAUNCHES_PER_OFFER;
                    let refuse = if full { Duration::ZERO } else { REFUSE };
                    Effect::Launch { offer: offer.id, tasks: launches, refuse }
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
            let Some((index, share)) = choose(state, request, bids, draw, now) else { return };
            let bid = &mut bids[index];
            if bid.offer.take(&share.resources).is_err() {
                return;
            }
            let deploying = state.deployment.is_some();
            if let Some(mut instance) = state.instances.get_mut(&instance) {
                instance.pinned = None;
                let ready = !deploying || app.definition.readiness_checks.is_empty();
                bid.launches.push(launch(&app, &mut instance, &bid.offer, share, ready, now));
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
        let before = match count {
            0 => self.demand.seeking.remove(id),
            _ => self.demand.seeking.insert(id.clone(), count),
        };
        self.demand.revive |= count > before.unwrap_or(0);
    }

    /// Asks for offers when something waits, and for none when nothing does.
    pub(super) fn seek_offers(&mut self, now: Now) {
        if !self.connected {
            return;
        }
        if self.demand.seeking.is_empty() {
            self.demand.revive = false;
            if std::mem::take(&mut self.demand.wanted) {
                self.outbox.push(Effect::Suppress);
            }
        } else if self.demand.revive && self.demand.revived.is_none_or(|at| now.mono >= at + REVIVE_EVERY) {
            self.demand.revive = false;
            self.demand.wanted = true;
            self.demand.revived = Some(now.mono);
            self.outbox.push(Effect::Revive);
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
        (0..bids.len()).filter(|index| bids[*index].launches.len() < MAX_LAUNCHES_PER_OFFER).collect();
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

/// Puts a task into a place that waits, and says how to launch it.
fn launch(
    app: &App,
    instance: &mut Instance,
    offer: &Offer,
    share: Placement,
    ready: bool,
    now: Now,
) -> Launch {
    let task = Task {
        id: instance.id.task(instance.incarnation),
        version: app.version,
        config: app.version_info.last_config_change_at,
        agent: offer.agent.clone(),
        hostname: offer.hostname.to_string(),
        attributes: attributes(offer),
        region: offer.domain.as_ref().map(|domain| domain.region.to_string()),
        zone: offer.domain.as_ref().map(|domain| domain.zone.to_string()),
        ports: share.ports,
        staged_at: Timestamp::from(now.wall),
        started_at: None,
        condition: Condition::Provisioned,
        healthy: None,
        pod: None,
        ready,
        readiness: Vec::new(),
        health: vec![CheckState::default(); app.definition.health_checks.len()],
        since: now.mono,
        kill_sent: None,
        unknown_since: None,
        asked: now.mono,
    };
    let (shell, args) = match app.definition.runs() {
        Command::Shell(line) => (Some(line.to_owned()), Vec::new()),
        Command::Program(args) => (None, args.to_vec()),
    };
    let launch = Launch {
        task: task.id.clone(),
        name: app.definition.id.hostname_form(),
        agent: offer.agent.clone(),
        resources: share.resources,
        shell,
        args,
        user: app.definition.user.clone(),
        env: environment(&app.definition, &task),
        labels: app.definition.labels.clone(),
        ports: launch_ports(app, &task.ports),
        kill_grace: app.definition.task_kill_grace_period_seconds.map(|seconds| seconds.duration()),
    };
    instance.phase = Phase::Placed(task);
    launch
}

/// The first of each name, as text.
fn attributes(offer: &Offer) -> BTreeMap<String, String> {
    let names = offer.attributes.iter().map(|attribute| &attribute.name);
    names.filter_map(|name| Some((name.to_string(), offer.attribute(name)?.to_string()))).collect()
}

/// A port of both protocols is listed once for each.
fn launch_ports(app: &App, ports: &[u16]) -> Vec<LaunchPort> {
    let mut listed = Vec::new();
    for (number, definition) in ports.iter().zip(&app.definition.port_definitions) {
        for protocol in ["tcp", "udp"].into_iter().filter(|protocol| definition.protocol.contains(protocol)) {
            let (name, labels) = (definition.name.clone(), definition.labels.clone());
            listed.push(LaunchPort { number: *number, protocol, name, labels });
        }
    }
    listed
}
