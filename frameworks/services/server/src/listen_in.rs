//! News from the master, to the core.

use chapada_sdk::{Driver, Event as SdkEvent, Events, RunError, Subscribed};
use chapada_services_core::Event;
use serde_json::json;

use crate::handle::ServicesHandle;
use crate::hub::Hub;
use crate::identity::{Identity, Registration};

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
                self.on_subscribed(subscribed);
                self.services.event(Event::Subscribed).await;
            }
            SdkEvent::Disconnected => {
                self.hub.announce("scheduler_disconnected_event", json!({}));
                self.services.event(Event::Disconnected).await;
            }
            SdkEvent::Offers(offers) => {
                self.services.event(Event::Offers(offers)).await;
            }
            SdkEvent::Update(status) => {
                tracing::info!(task_id = %status.task, state = status.state.name(), "update");
                self.services.event(Event::Update(status)).await;
            }
            SdkEvent::InverseOffers(offers) => {
                // Its tasks are killed with the agent and start elsewhere, as after any other loss.
                let ids = offers.into_iter().map(|offer| offer.id);
                if let Err(error) = driver.accept_inverse_offers(ids, Default::default()).await {
                    tracing::debug!(%error, "an inverse offer was not answered");
                }
            }
            // A launch that crosses the withdrawal comes back as dropped; the tasks of a lost agent have updates of their own.
            SdkEvent::Rescinded(_)
            | SdkEvent::InverseOfferRescinded(_)
            | SdkEvent::Operation(_)
            | SdkEvent::Message(_)
            | SdkEvent::Failure(_) => {}
        }
    }

    fn on_subscribed(&self, subscribed: Subscribed) {
        let Subscribed { framework, master, new } = subscribed;
        tracing::info!(framework_id = %framework, new, "subscribed");
        let master = master.map(|master| master_url(&master));
        let body = json!({"frameworkId": framework, "master": master});
        let kind = if new { "scheduler_registered_event" } else { "scheduler_reregistered_event" };
        self.hub.announce(kind, body);
        self.identity.set_registration(Registration { framework: Some(framework), master_url: master });
    }
}

fn master_url(master: &chapada_model::MasterDescription) -> String {
    format!("http://{}:{}", master.hostname, master.port)
}
