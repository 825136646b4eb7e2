//! News from the master, to the core.

use std::net::IpAddr;
use std::time::Duration;

use chapada_model::{Filters, TaskState, TaskStatus, Unavailability};
use chapada_sdk::{
    Driver, Event as SdkEvent, Events, RunError, Subscribed, check_status, container_status, wire,
};
use chapada_services_core::{CheckResult, Event};

use crate::handle::ServicesHandle;
use crate::hub::Hub;
use crate::identity::{Identity, Registration};
use crate::render::events::{self, Rendered};

/// How long the master waits before it asks again that an agent be left.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// Where news go.
pub(crate) struct Ears {
    pub(crate) services: ServicesHandle,
    pub(crate) hub: Hub,
    pub(crate) identity: Identity,
}

impl Ears {
    /// Passes news on until the subscription ends for good.
    pub(crate) async fn listen(&self, driver: &Driver, events: &mut Events) -> Result<(), RunError> {
        while let Some(event) = events.next().await {
            self.on_event(driver, event?).await;
        }
        Ok(())
    }

    async fn on_event(&self, driver: &Driver, event: SdkEvent) {
        match event {
            SdkEvent::Subscribed(subscribed) => {
                let framework = subscribed.framework.clone();
                let domain = subscribed.master.as_ref().and_then(|master| master.domain.as_ref());
                let region = domain.map(|domain| domain.region.clone());
                self.on_subscribed(subscribed);
                self.services.event(Event::HomeRegion(region)).await;
                self.services.event(Event::Registered(framework)).await;
                self.services.event(Event::Subscribed).await;
            }
            SdkEvent::Disconnected => {
                let Rendered { kind, heavy, .. } = events::disconnected();
                self.hub.announce(kind, heavy);
                self.services.event(Event::Disconnected).await;
            }
            SdkEvent::Offers(offers) => {
                self.services.event(Event::Offers(offers)).await;
            }
            SdkEvent::Update(status) => {
                tracing::info!(task_id = %status.task, state = status.state.name(), "update");
                if let Some(observed) = observed(&status) {
                    self.services.event(observed).await;
                }
                self.services.event(Event::Update(status)).await;
            }
            SdkEvent::InverseOffers(offers) => {
                let away = offers.iter().filter_map(|offer| {
                    let (start, duration) = (offer.start.unwrap_or_default(), offer.duration);
                    Some((offer.agent.clone()?, Unavailability { start, duration }))
                });
                let agents: Vec<_> = away.collect();
                let ids = offers.into_iter().map(|offer| offer.id);
                self.services.event(Event::AskedToLeave(agents)).await;
                // For as long as something of ours is there it asks again, and only so do we know that it still wants it.
                let filters = Filters { refuse: ASK_AGAIN };
                if let Err(error) = driver.accept_inverse_offers(ids, filters).await {
                    tracing::debug!(%error, "an inverse offer was not answered");
                }
            }
            SdkEvent::Message(message) => {
                let Rendered { kind, heavy, .. } = events::message(&message);
                self.hub.announce(kind, heavy);
            }
            // A launch that crosses the withdrawal comes back as dropped; the tasks of a lost agent have updates of their own.
            SdkEvent::Rescinded(_)
            | SdkEvent::InverseOfferRescinded(_)
            | SdkEvent::Operation(_)
            | SdkEvent::Failure(_) => {}
        }
    }

    fn on_subscribed(&self, subscribed: Subscribed) {
        let Subscribed { framework, master, new } = subscribed;
        tracing::info!(framework_id = %framework, new, "subscribed");
        let master = master.map(|master| master_url(&master, self.identity.masters_scheme()));
        let Rendered { kind, heavy, .. } = events::subscribed(&framework, master.as_deref(), new);
        self.hub.announce(kind, heavy);
        self.identity.set_registration(Registration { framework: Some(framework), master_url: master });
    }
}

fn master_url(master: &chapada_model::MasterDescription, scheme: &str) -> String {
    format!("{scheme}://{}:{}", master.hostname, master.port)
}

/// What a status of a running task says of its own addresses and its check, if it does.
fn observed(status: &TaskStatus) -> Option<Event> {
    if status.state != TaskState::Running || status.details.is_none() {
        return None;
    }
    let container = container_status(status).unwrap_or_default();
    let addresses = container.network_infos.iter().flat_map(|network| &network.ip_addresses);
    let addresses: Vec<IpAddr> =
        addresses.filter_map(|address| address.ip_address.as_deref()?.parse().ok()).collect();
    let check = check_status(status).and_then(|check| result(&check));
    let (task, says) = (status.task.clone(), !addresses.is_empty() || check.is_some());
    says.then_some(Event::Observed { task, addresses, check })
}

fn result(check: &wire::CheckStatusInfo) -> Option<CheckResult> {
    let status = |http: &wire::check_status_info::Http| u16::try_from(http.status_code?).ok();
    let http = check.http.as_ref().and_then(status).map(CheckResult::Http);
    let tcp = || check.tcp.as_ref().and_then(|tcp| tcp.succeeded).map(CheckResult::Tcp);
    let command = || check.command.as_ref().and_then(|command| command.exit_code).map(CheckResult::Command);
    http.or_else(tcp).or_else(command)
}
