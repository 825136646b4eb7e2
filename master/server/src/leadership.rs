//! Runs for leader, leads, and starts over: the life of a master seen from the election.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chapada_coordination::{
    Campaign, Coordination, LeaderInfo, Leadership, OpenRegistryError, SessionError, Term, WriteError,
};
use chapada_master_core::RoleCall;
use chapada_model::{Domain, MasterDescription, chain};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::agent_api::Exchanges;
use crate::agent_link::Relays;
use crate::clock::Clock;
use crate::config::MasterConfig;
use crate::core_loop::{self, Core, Input, RECORD_QUEUE, Start};
use crate::error::Error;
use crate::registry;
use crate::shell::{API_VERSION, Led, Standing};
use crate::step_down::{Refused, StepDown, SteppedDown};
use crate::weights::Weights;

/// Who this master is to others, apart from its id, which is new for each candidacy.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) hostname: String,
    pub(crate) ip: IpAddr,
    pub(crate) port: u16,
}

/// How long a leader that gives its place away waits for its last changes to be durable.
const SETTLE_WITHIN: Duration = Duration::from_secs(2);

/// How long a master stands aside that was elected and could not lead, at first and at most: others take their turn, and what
/// is wrong may be put right meanwhile.
const ASIDE_FIRST: Duration = Duration::from_millis(500);
const ASIDE_LONGEST: Duration = Duration::from_secs(15);

/// Takes part in elections until told to stop.
pub(crate) struct Candidate {
    pub(crate) config: MasterConfig,
    pub(crate) clock: Clock,
    pub(crate) identity: Identity,
    pub(crate) weights: Weights,
    pub(crate) domain: Option<Domain>,
    pub(crate) coordination: Coordination,
    pub(crate) standing: watch::Sender<Standing>,
    /// Operators who want this master to step down.
    pub(crate) step_downs: mpsc::Receiver<StepDown>,
    pub(crate) stop: CancellationToken,
}

/// A leadership that was given away on purpose: nothing more is decided.
struct GivenAway {
    epoch: u64,
    since: Instant,
    /// Who asked for it; nobody when this master stops.
    asked_by: Option<StepDown>,
    /// Ends every stream and link. Those who look at ZooKeeper should find the place free before their connection breaks.
    _ends: DropGuard,
}

impl Candidate {
    /// # Errors
    /// What makes leading impossible altogether: a registry that cannot be read, or a disk that cannot be written.
    pub(crate) async fn run(mut self) -> Result<(), Error> {
        let mut aside = ASIDE_FIRST;
        while !self.stop.is_cancelled() {
            let master = self.description();
            let mut campaign = self.coordination.campaign(leader_info(&master));
            let result = self.take_part(&mut campaign, master).await;
            if !matches!(result, Ok(Some(_))) {
                self.standing.send_replace(Standing::Following);
            }
            campaign.resign().await;
            match result {
                Ok(None) => aside = ASIDE_FIRST,
                Ok(Some(given_away)) => {
                    self.standing.send_replace(Standing::Following);
                    given_away.tell();
                }
                Err(error) if self.config.zk.is_some() && error.is_of_registry() => {
                    self.stand_aside(&error, aside).await;
                    aside = (aside * 2).min(ASIDE_LONGEST);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Makes room for a master that may be able to lead, and says why this one is not. Ending would not help: whatever is
    /// wrong would be so for the next process, too, and it would end as soon as it has begun.
    async fn stand_aside(&self, error: &Error, wait: Duration) {
        let why = chain(error);
        tracing::error!(why, ?wait, "this master cannot lead and stands aside");
        self.standing.send_replace(Standing::Unable(why.into()));
        if self.stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_some() {
            self.standing.send_replace(Standing::Following);
        }
    }

    fn description(&self) -> MasterDescription {
        MasterDescription {
            id: uuid::Uuid::new_v4().to_string().into(),
            hostname: self.identity.hostname.as_str().into(),
            ip: self.identity.ip,
            port: self.identity.port,
            version: API_VERSION.into(),
            domain: self.domain.clone(),
        }
    }

    /// Gives what was given away when it was on purpose.
    async fn take_part(
        &mut self,
        campaign: &mut Campaign,
        master: MasterDescription,
    ) -> Result<Option<GivenAway>, Error> {
        let problems = campaign.problems();
        let won = tokio::select! {
            won = campaign.wait_until_leading() => won,
            () = self.tell(problems) => return Ok(None),
            () = self.stop.cancelled() => return Ok(None),
        };
        let term = match won {
            Ok(term) => term,
            Err(reason) => {
                tracing::warn!(%reason, "the candidacy ended before this master led");
                return Ok(None);
            }
        };
        self.standing.send_replace(Standing::Recovering);
        self.lead(campaign, &term, master).await
    }

    /// Says why this master does not stand in line while it does not, for as long as it is polled.
    async fn tell(&self, mut problems: watch::Receiver<Option<Arc<SessionError>>>) {
        loop {
            let why = problems.borrow_and_update().as_deref().map(|problem| chain(problem).into());
            self.standing.send_replace(why.map_or(Standing::Following, Standing::Hindered));
            if problems.changed().await.is_err() {
                // The candidacy is over, as whoever waits for it is told.
                return std::future::pending().await;
            }
        }
    }

    async fn lead(
        &mut self,
        campaign: &mut Campaign,
        term: &Term,
        master: MasterDescription,
    ) -> Result<Option<GivenAway>, Error> {
        let (fetch, store) = (self.config.registry_fetch_timeout, self.config.store_timeout());
        let opened = match registry::fetched(fetch, term.open_registry(registry::SCHEMA)).await {
            Ok(opened) => opened,
            Err(Error::Registry(error @ OpenRegistryError::Deposed)) => {
                tracing::warn!(%error, "lost the leadership while opening the registry");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let state = registry::read(&opened)?;
        if let Err(error) = registry::say_version(&opened, &state, store).await {
            return self.stopped_writing(Err(error)).map(|()| None);
        }
        let has_weights = !state.weights.is_empty();
        let (suspend, suspended) = watch::channel(false);
        let (writer, queue) = mpsc::channel(RECORD_QUEUE);
        let ended = CancellationToken::new();
        // However this ends, every stream and link ends with it.
        let ends = ended.clone().drop_guard();
        let core = core_loop::start(Start {
            clock: self.clock,
            settings: self
                .config
                .settings(&master.id, self.domain.as_ref().map(|domain| domain.region.clone())),
            registry: state,
            writer,
            suspended,
            lease: term.lease(),
            ended: ended.clone(),
        })?;
        self.weigh(&core, has_weights).await;
        let led = Arc::new(Led {
            core: core.clone(),
            epoch: opened.epoch,
            elected: self.clock.wall(),
            relays: Relays::default(),
            exchanges: Exchanges::default(),
            ended: ended.clone(),
            master,
        });
        tracing::info!(epoch = led.epoch, master_id = %led.master.id, "leading");
        self.standing.send_replace(Standing::Leading(led.clone()));
        let mut writing = std::pin::pin!(registry::write(opened.registry.clone(), store, queue, core));
        // Whoever asked a former term to end has got what they wanted.
        while self.step_downs.try_recv().is_ok() {}
        let asked_by = loop {
            tokio::select! {
                biased; // the stop first, then what ends the term
                () = self.stop.cancelled() => break None,
                state = campaign.changed() => match state {
                    Leadership::Lost(reason) => {
                        tracing::warn!(%reason, epoch = led.epoch, "no longer leading");
                        return Ok(None);
                    }
                    Leadership::Suspended => {
                        tracing::warn!(epoch = led.epoch, "suspended: ZooKeeper does not answer");
                        suspend.send_replace(true);
                        self.standing.send_replace(Standing::Suspended(led.clone()));
                    }
                    Leadership::Leading(_) => {
                        suspend.send_replace(false);
                        self.standing.send_replace(Standing::Leading(led.clone()));
                    }
                    Leadership::Contending => {}
                },
                written = &mut writing => return self.stopped_writing(written).map(|()| None),
                () = ended.cancelled() => return Ok(None),
                Some(asked) = self.step_downs.recv() => match may_step_down(term, asked.force).await {
                    Ok(()) => break Some(asked),
                    // One that hung up needs no answer.
                    Err(refused) => drop(asked.reply.send(Err(refused))),
                },
            }
        };
        let since = Instant::now();
        self.standing.send_replace(Standing::HandingOver);
        tracing::info!(epoch = led.epoch, "giving the leadership away");
        tokio::select! {
            biased; // the registry first: what it has yet to write is what is waited for
            written = &mut writing => self.stopped_writing(written)?,
            state = unsure(campaign) => tracing::warn!(?state, "the leadership was lost while it was given away"),
            settled = tokio::time::timeout(SETTLE_WITHIN, led.core.settle()) => if settled.is_err() {
                tracing::warn!("gave the leadership away before the last changes were durable: nobody was told that they are");
            },
        }
        Ok(Some(GivenAway { epoch: led.epoch, since, asked_by, _ends: ends }))
    }

    /// `--weights` count until weights were made durable, by it or by an operator. Source: Mesos.
    async fn weigh(&self, core: &Core, has_weights: bool) {
        let weights: Vec<_> = self.weights.iter().map(|(role, weight)| (role.clone(), weight)).collect();
        if weights.is_empty() {
            return;
        }
        if has_weights {
            return tracing::warn!(
                "passed over --weights: the registry has weights, which an operator can change"
            );
        }
        // Nobody is served before; and only a loop that has ended refuses, which its owner notices.
        let (reply, _) = tokio::sync::oneshot::channel();
        drop(core.send(Input::RoleCall { call: RoleCall::UpdateWeights { weights }, reply }).await);
    }

    fn stopped_writing(&self, written: Result<(), Error>) -> Result<(), Error> {
        match written {
            // The next leader, this one or another, reads what there is.
            Err(Error::Write(
                error @ (WriteError::Deposed | WriteError::OutcomeUnknown | WriteError::Interfered(_)),
            )) if self.config.zk.is_some() => {
                tracing::error!(%error, "failed to write to the registry: stepping down");
                Ok(())
            }
            written => written,
        }
    }
}

impl GivenAway {
    /// The place is free.
    fn tell(self) {
        let took = self.since.elapsed();
        tracing::info!(epoch = self.epoch, ?took, "the leadership is given away");
        if let Some(asked) = self.asked_by {
            // One that hung up needs no answer.
            drop(asked.reply.send(Ok(SteppedDown::new(self.epoch, took))));
        }
    }
}

/// Whether anybody could lead instead.
async fn may_step_down(term: &Term, force: bool) -> Result<(), Refused> {
    match term.others_in_line().await {
        None => Err(Refused::Alone),
        Some(_) if force => Ok(()),
        Some(Ok(0)) => Err(Refused::NobodyWaits),
        Some(Ok(_)) => Ok(()),
        Some(Err(error)) => Err(Refused::Unknown(error.to_string())),
    }
}

/// Waits until it is uncertain or over that this master leads.
async fn unsure(campaign: &mut Campaign) -> Leadership {
    let mut state = campaign.state();
    while matches!(state, Leadership::Leading(_) | Leadership::Contending) {
        state = campaign.changed().await;
    }
    state
}

fn leader_info(master: &MasterDescription) -> LeaderInfo {
    LeaderInfo {
        id: master.id.to_string(),
        hostname: master.hostname.to_string(),
        ip: master.ip,
        port: master.port,
        version: master.version.to_string(),
        // Some clients cannot read a capability they do not know; these two every one of them knows.
        capabilities: vec!["AGENT_UPDATE".to_owned(), "AGENT_DRAINING".to_owned()],
    }
}
