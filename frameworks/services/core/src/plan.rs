//! Where the instances of a change would land, worked out on a copy of what is known of agents.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chapada_model::{AgentId, Resources, Role, Wall};
use chapada_sdk_core::{Offer, Placed, Request, place};

use crate::definition::AppDefinition;
use crate::deployment::Deployment;
use crate::id::{AppId, DeploymentId};
use crate::resident::Home;
use crate::services::KnownOffer;
use crate::timestamp::Timestamp;
use crate::why::{Explanation, Inquiry};

/// How many matches are made at most for one app; what is not placed by then is counted as not looked at.
const MAX_MATCHES: usize = 200_000;

/// What a change would do, but for where instances land.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// The deployment that would begin. Its id is nobody's.
    pub deployment: Deployment,
    /// The deployments it would cancel.
    pub cancels: Vec<DeploymentId>,
    pub(crate) landings: Vec<Landing>,
}

/// What is to be started of one app.
#[derive(Clone, Debug)]
pub(crate) struct Landing {
    pub(crate) id: AppId,
    pub(crate) definition: Arc<AppDefinition>,
    pub(crate) request: Request,
    /// Where instances begin again, with what is kept for them there.
    pub(crate) homes: Vec<Home>,
    pub(crate) placed: Placed,
    pub(crate) role: Role,
    pub(crate) starts: usize,
    pub(crate) old: Vec<Old>,
    /// Whether the old tasks make room for the new ones.
    pub(crate) replaces: bool,
    pub(crate) now: Wall,
    pub(crate) known: Arc<[KnownOffer]>,
    pub(crate) absent: usize,
    pub(crate) newest: Option<Timestamp>,
}

/// A task that runs now.
#[derive(Clone, Debug)]
pub(crate) struct Old {
    pub(crate) agent: AgentId,
    pub(crate) resources: Resources,
}

/// Where the instances of one app would land.
#[derive(Clone, Debug)]
pub struct Landed {
    /// Which.
    pub id: AppId,
    /// How many would be started.
    pub starts: usize,
    /// Where, and how many there.
    pub on: BTreeMap<AgentId, (String, usize)>,
    /// How many would not fit, and why.
    pub waits: Option<Explanation>,
}

impl Proposal {
    /// Places the instances one after the other, as the launcher would with the offers that are known; where tasks are
    /// replaced, old ones make room as far as the upgrade strategy lets them. Apps are looked at by themselves, in the order of
    /// their ids.
    pub fn answer(&self) -> Vec<Landed> {
        let mut used: BTreeMap<(Role, AgentId), Offer> = BTreeMap::new();
        self.landings.iter().map(|landing| landing.land(&mut used)).collect()
    }
}

/// Offers that are taken from, the agent with the fewest of the app first.
struct Table {
    offers: Vec<Offer>,
    counts: Vec<usize>,
    order: BTreeSet<(usize, usize)>,
    matches: usize,
}

impl Landing {
    fn land(&self, used: &mut BTreeMap<(Role, AgentId), Offer>) -> Landed {
        let mut table = self.table(used);
        let (mut placed, mut on) = (self.placed.clone(), BTreeMap::new());
        let mut old: Vec<&Old> = self.old.iter().collect();
        let target = self.definition.instances;
        let least = self.definition.least_good(target) as usize;
        let most = if self.replaces { self.definition.most_at_once(target) as usize } else { usize::MAX };
        let mut count = 0;
        for home in self.homes.iter().take(self.starts) {
            let (_, here) = on.entry(home.agent.clone()).or_insert_with(|| (home.hostname.clone(), 0));
            *here += 1;
            count += 1;
            if let Some(offer) = table.offers.iter().find(|offer| offer.agent == home.agent) {
                placed.add(offer);
            }
        }
        while count < self.starts {
            let room = !self.replaces || count + old.len() < most;
            if let Some(index) = room.then(|| table.take(&self.request, &mut placed, self.now)).flatten() {
                let offer = &table.offers[index];
                let (_, here) =
                    on.entry(offer.agent.clone()).or_insert_with(|| (offer.hostname.to_string(), 0));
                *here += 1;
                count += 1;
                continue;
            }
            let may_go = self.replaces && count + old.len() > least;
            let Some(gone) = old.pop().filter(|_| may_go) else { break };
            table.give_back(gone);
        }
        let left = self.starts - count;
        let waits = (left > 0).then(|| self.inquiry(&table.offers, placed, left).answer());
        used.extend(table.offers.into_iter().map(|offer| ((self.role.clone(), offer.agent.clone()), offer)));
        Landed { id: self.id.clone(), starts: self.starts, on, waits }
    }

    /// What is offered, less what apps before took of it.
    fn table(&self, used: &BTreeMap<(Role, AgentId), Offer>) -> Table {
        let left = |known: &KnownOffer| {
            let key = (self.role.clone(), known.offer.agent.clone());
            used.get(&key).cloned().unwrap_or_else(|| Offer::clone(&known.offer))
        };
        let offers: Vec<Offer> = self.known.iter().map(left).collect();
        let mut here: BTreeMap<&AgentId, usize> = BTreeMap::new();
        for old in &self.old {
            *here.entry(&old.agent).or_default() += 1;
        }
        let counts: Vec<usize> =
            offers.iter().map(|offer| here.get(&offer.agent).copied().unwrap_or(0)).collect();
        let order = counts.iter().copied().enumerate().map(|(index, count)| (count, index)).collect();
        Table { offers, counts, order, matches: 0 }
    }

    fn inquiry(&self, offers: &[Offer], placed: Placed, seeking: usize) -> Inquiry {
        let left = |(known, offer): (&KnownOffer, &Offer)| KnownOffer {
            offer: Arc::new(offer.clone()),
            ..known.clone()
        };
        Inquiry {
            id: self.id.clone(),
            definition: Some(self.definition.clone()),
            request: self.request.clone(),
            placed,
            role: self.role.clone(),
            now: self.now,
            waiting: seeking,
            seeking,
            reasons: Vec::new(),
            after: Vec::new(),
            known: self.known.iter().zip(offers).map(left).collect(),
            absent: self.absent,
            newest: self.newest,
        }
    }
}

impl Table {
    /// Places one more; the number of the offer that it goes to.
    fn take(&mut self, request: &Request, placed: &mut Placed, now: Wall) -> Option<usize> {
        let mut found = None;
        for (count, index) in &self.order {
            self.matches += 1;
            if self.matches > MAX_MATCHES {
                return None;
            }
            if let Ok(placement) = place(&self.offers[*index], request, placed, now, 0) {
                found = Some((*count, *index, placement));
                break;
            }
        }
        let (count, index, placement) = found?;
        let offer = &mut self.offers[index];
        offer.take(&placement.taken().ok()?).ok()?;
        placed.add(offer);
        self.order.remove(&(count, index));
        self.order.insert((count + 1, index));
        self.counts[index] = count + 1;
        Some(index)
    }

    /// A task that is replaced leaves its agent.
    fn give_back(&mut self, gone: &Old) {
        let Some(index) = self.offers.iter().position(|offer| offer.agent == gone.agent) else { return };
        let offer = &mut self.offers[index];
        if let Ok(resources) = offer.resources.checked_add(&gone.resources.allocated_to(&offer.role)) {
            offer.resources = resources;
        }
        let count = self.counts[index];
        self.order.remove(&(count, index));
        self.order.insert((count.saturating_sub(1), index));
        self.counts[index] = count.saturating_sub(1);
    }
}
