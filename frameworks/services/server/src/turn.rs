//! What this process does while another leads, and while it leads itself.

use std::collections::BTreeSet;

use chapada_model::Role;
use chapada_sdk::{Ending, FrameworkConfig, LeaderInfo, Over, Replica, Turn, connect, random};
use chapada_services_core::{Recovered, Seed, Services, Settings};

use crate::actor::Actor;
use crate::clock::Clock;
use crate::error::Error;
use crate::figures::Figures;
use crate::handle::Inputs;
use crate::listen_in::Ears;
use crate::prober::Prober;
use crate::secrets::Secrets;
use crate::standing::Standing;
use crate::store;
use crate::{calls, carry};

/// What outlives a turn.
pub(crate) struct Post {
    pub(crate) role: Role,
    pub(crate) settings: Settings,
    pub(crate) secrets: Secrets,
    pub(crate) framework: FrameworkConfig,
    pub(crate) ears: Ears,
    pub(crate) figures: Figures,
    pub(crate) inputs: Inputs,
}

impl Replica for Post {
    type Error = Error;

    fn standby(&mut self, leader: Option<&LeaderInfo>) {
        let identity = &self.ears.identity;
        identity.turn.set(match leader {
            Some(leader) => {
                let scheme = identity.scheme_of(leader);
                Standing::Following(format!("{scheme}://{}:{}", leader.hostname, leader.port))
            }
            None => Standing::Unknown,
        });
    }

    async fn lead(&mut self, mut turn: Turn) -> Result<Ending, Error> {
        let (clock, seed) = (Clock::new(), Seed::new(random(), random()));
        let records = store::read(&turn.opened.records)?;
        // It subscribes while the records are put in order.
        let roles = records.iter().filter_map(Recovered::role).chain([self.role.clone()]).collect();
        let (driver, mut events) = connect(self.describe(roles), Some(&turn.opened));
        let services = Services::recover(self.role.clone(), seed, clock.now(), records)
            .with_settings(self.settings.clone());
        let (master, calls) = calls::queue();
        let standing = self.ears.identity.turn.clone();
        let store = turn.opened.store.clone();
        let prober = Prober::new(self.ears.services.clone()).map_err(Error::Prober)?;
        let (hub, figures, inputs) = (self.ears.hub.clone(), self.figures.clone(), self.inputs.clone());
        let actor = Actor { services, clock, store: store.clone(), master, prober, hub, figures, inputs };
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(carry::carry(driver.clone(), calls, self.ears.services.clone(), self.secrets.clone()));
        standing.set(Standing::Leading);
        let outcome = tokio::select! {
            outcome = actor.run() => outcome.map(|()| Ending::Done).map_err(Error::from),
            outcome = self.ears.listen(&driver, &mut events) => {
                outcome.map(|()| Ending::Done).map_err(Error::from)
            }
            over = turn.over() => Ok(match over {
                Over::Stopped => Ending::Done,
                Over::Lost => {
                    driver.abandon();
                    Ending::HandOver
                }
            }),
            () = standing.given_up() => Ok(Ending::HandOver),
        };
        // Nobody is served as if it led; then nothing more is called; then the place is free. What was called before still goes out,
        // unless another process may lead by now.
        standing.set(Standing::Unknown);
        match outcome.as_ref().is_err_and(Self::ends_term) {
            true => driver.abandon(),
            false => driver.stop(),
        }
        tasks.shutdown().await;
        match outcome {
            Err(Error::Run(removed)) if removed.is_removed() => {
                // Its tasks are ended by the master. Under a new id they are asked about, not found, and started anew.
                store.forget_framework_id().await?;
                Err(Error::Removed(removed))
            }
            outcome => outcome,
        }
    }

    async fn left(&mut self) {
        self.ears.hub.close();
        self.inputs.forget().await;
    }

    fn ends_term(error: &Error) -> bool {
        match error {
            Error::Store(write) => write.ends_term(),
            Error::Open(open) => open.ends_term(),
            Error::Run(run) => run.ends_term(),
            _ => false,
        }
    }
}

impl Post {
    /// As this process presents itself to the master.
    fn describe(&self, roles: BTreeSet<Role>) -> FrameworkConfig {
        let mut framework = self.framework.clone();
        framework.roles = roles.into_iter().collect();
        framework.hostname = self.ears.identity.host_port.rsplit_once(':').map(|(host, _)| host.into());
        let identity = &self.ears.identity;
        let url = identity.config.webui_url.clone().unwrap_or_else(|| identity.url());
        framework.webui_url = Some(url.into());
        framework
    }
}
