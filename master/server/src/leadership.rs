//! Runs for leader, leads, and starts over: the life of a master seen from the election.

use std::net::IpAddr;
use std::sync::Arc;

use chapada_coordination::{Campaign, Coordination, LeaderInfo, Leadership, Term};
use chapada_master_core::RoleCall;
use chapada_model::{Domain, MasterDescription};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::agent_api::Exchanges;
use crate::agent_link::Relays;
use crate::clock::Clock;
use crate::config::MasterConfig;
use crate::core_loop::{self, Core, Input, RECORD_QUEUE, Start};
use crate::error::Error;
use crate::registry;
use crate::shell::{API_VERSION, Led, Standing};
use crate::weights::Weights;

/// Who this master is to others, apart from its id, which is new for each candidacy.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) hostname: String,
    pub(crate) ip: IpAddr,
    pub(crate) port: u16,
}

/// Takes part in elections until told to stop.
pub(crate) struct Candidate {
    pub(crate) config: MasterConfig,
    pub(crate) clock: Clock,
    pub(crate) identity: Identity,
    pub(crate) weights: Weights,
    pub(crate) domain: Option<Domain>,
    pub(crate) coordination: Coordination,
    pub(crate) standing: watch::Sender<Standing>,
    pub(crate) stop: CancellationToken,
}

impl Candidate {
    /// # Errors
    /// What makes leading impossible altogether: a registry that cannot be read, or a disk that cannot be written.
    pub(crate) async fn run(self) -> Result<(), Error> {
        while !self.stop.is_cancelled() {
            let master = self.description();
            let mut campaign = self.coordination.campaign(leader_info(&master));
            let result = self.take_part(&mut campaign, master).await;
            self.standing.send_replace(Standing::Following);
            campaign.resign().await;
            result?;
        }
        Ok(())
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

    async fn take_part(&self, campaign: &mut Campaign, master: MasterDescription) -> Result<(), Error> {
        let won = tokio::select! {
            won = campaign.wait_until_leading() => won,
            () = self.stop.cancelled() => return Ok(()),
        };
        let term = match won {
            Ok(term) => term,
            Err(reason) => {
                tracing::warn!(%reason, "the candidacy ended before this master led");
                return Ok(());
            }
        };
        self.standing.send_replace(Standing::Recovering);
        self.lead(campaign, &term, master).await
    }

    async fn lead(
        &self,
        campaign: &mut Campaign,
        term: &Term,
        master: MasterDescription,
    ) -> Result<(), Error> {
        let opened = match term.open_registry(registry::SCHEMA).await {
            Ok(opened) => opened,
            Err(error) if self.may_lose(&error) => {
                tracing::warn!(%error, "lost the leadership while opening the registry");
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let state = registry::read(&opened)?;
        let has_weights = !state.weights.is_empty();
        let (suspend, suspended) = watch::channel(false);
        let (writer, queue) = mpsc::channel(RECORD_QUEUE);
        let ended = CancellationToken::new();
        // However this ends, every stream and link ends with it.
        let _ended = ended.clone().drop_guard();
        let core = core_loop::start(Start {
            clock: self.clock,
            settings: self
                .config
                .settings(&master.id, self.domain.as_ref().map(|domain| domain.region.clone())),
            registry: state,
            writer,
            suspended,
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
        let mut writing = std::pin::pin!(registry::write(opened.registry.clone(), queue, core));
        loop {
            tokio::select! {
                biased; // the stop first, then what ends the term
                () = self.stop.cancelled() => return Ok(()),
                state = campaign.changed() => match state {
                    Leadership::Lost(reason) => {
                        tracing::warn!(%reason, epoch = led.epoch, "no longer leading");
                        return Ok(());
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
                written = &mut writing => return self.stopped_writing(written),
                () = ended.cancelled() => return Ok(()),
            }
        }
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

    fn stopped_writing(&self, written: Result<(), chapada_coordination::WriteError>) -> Result<(), Error> {
        match written {
            Ok(()) => Ok(()),
            Err(error) if self.config.zk.is_some() => {
                tracing::error!(%error, "failed to write to the registry: stepping down");
                Ok(())
            }
            Err(error) => Err(Error::Write(error)),
        }
    }

    /// With ZooKeeper a term can end at any moment; that is no reason to give up.
    fn may_lose(&self, error: &chapada_coordination::OpenRegistryError) -> bool {
        use chapada_coordination::OpenRegistryError as Refused;
        self.config.zk.is_some() && matches!(error, Refused::Deposed | Refused::Session(_))
    }
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
