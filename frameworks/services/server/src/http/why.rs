//! Why things wait, and what a change would do: worked out beside the loop, on copies.

use chapada_listener::HttpResponse;
use chapada_services_core::{
    AppId, Command, Deployment, DeploymentId, Inquiry, KnownOffer, Landed, MismatchKind, Proposal, Update,
};
use http::StatusCode;
use serde_json::{Value, json};

use super::answer::{Answer, error, ok, refusal, unavailable};
use super::{Api, apps};
use crate::render;
use crate::seen::Seen;

/// How many apps are explained in one answer: each costs a match with every agent that is known.
const EXPLAINED_AT_ONCE: usize = 50;
/// How many unused offers are shown of one app.
const OFFERS_SHOWN: usize = 100;

/// Why an app or pod is not where it should be.
pub(super) async fn of(api: &Api, id: AppId, missing: impl FnOnce() -> HttpResponse) -> Answer {
    let read = move |services: &Seen, now| services.inquire(now, &id);
    let inquiry = api.services.read(read).await.map_err(unavailable)?.ok_or_else(missing)?;
    ok(&render::why::explanation(&beside(move || inquiry.answer()).await?))
}

/// What is embedded in the queue.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Embed {
    /// Offers that were not used, with the reasons.
    pub(super) offers: bool,
    /// The sentence, the changes and the funnel.
    pub(super) explanation: bool,
}

/// An entry of the queue and what its explanation rests on.
type Entry = (Value, Option<Inquiry>);

/// The launch queue.
pub(super) async fn queue(api: &Api, embed: Embed) -> Answer {
    let wanted = embed.offers || embed.explanation;
    let read = move |services: &Seen, now| {
        let entry = |(number, waiting): (usize, chapada_services_core::Waiting<'_>)| {
            let id = &waiting.state.app.definition.id;
            let inquiry = (wanted && number < EXPLAINED_AT_ONCE).then(|| services.inquire(now, id)).flatten();
            (render::queue::waiting(&waiting), inquiry)
        };
        services.queue(now).enumerate().map(entry).collect::<Vec<Entry>>()
    };
    let entries = api.services.read(read).await.map_err(unavailable)?;
    let entries = match wanted {
        true => beside(move || entries.into_iter().map(|entry| explained(entry, embed)).collect()).await?,
        false => entries.into_iter().map(|(entry, _)| entry).collect::<Vec<Value>>(),
    };
    ok(&json!({"queue": entries}))
}

fn explained((mut entry, inquiry): Entry, embed: Embed) -> Value {
    let Some(inquiry) = inquiry else { return entry };
    if embed.offers {
        let shown = |(offer, why): (KnownOffer, Vec<MismatchKind>)| render::why::unused(&offer, &why);
        entry["lastUnusedOffers"] = inquiry.unused(OFFERS_SHOWN).into_iter().map(shown).collect();
    }
    let explanation = inquiry.answer();
    // As they would be taken now, which is what the last offers of each agent say.
    entry["processedOffersSummary"]["rejectSummaryLastOffers"] = render::why::funnel(&explanation.funnel);
    if embed.explanation {
        entry["explanation"] = render::why::explanation(&explanation);
    }
    entry
}

/// The deployments, each with what it waits for.
pub(super) async fn deployments(api: &Api) -> Answer {
    let read = |services: &Seen, now| {
        let mut left = EXPLAINED_AT_ONCE;
        let mut entry = |deployment: &Deployment| {
            let apps: Vec<&AppId> = deployment.now().iter().map(|action| &action.app).take(left).collect();
            left -= apps.len();
            let inquiries = apps.into_iter().filter_map(|app| services.inquire(now, app)).collect();
            (render::deployments::deployment(services.everything(), deployment), inquiries)
        };
        services.deployments().map(&mut entry).collect::<Vec<(Value, Vec<Inquiry>)>>()
    };
    let found = api.services.read(read).await.map_err(unavailable)?;
    let explain = |(mut deployment, inquiries): (Value, Vec<Inquiry>)| {
        let explanations = inquiries.iter().map(|inquiry| render::why::explanation(&inquiry.answer()));
        deployment["explanations"] = explanations.collect();
        deployment
    };
    ok(&beside(move || found.into_iter().map(explain).collect::<Value>()).await?)
}

/// What updates of apps would do; nothing is changed.
pub(super) async fn plan(api: &Api, updates: Vec<Update>, force: bool) -> Answer {
    let command = Command::Update { updates: updates.clone(), force };
    apps::check_secrets(api, &command).await?;
    let read = move |services: &Seen, now| services.propose(now, updates, force);
    let proposal = api.services.read(read).await.map_err(unavailable)?.map_err(|why| refusal(&why))?;
    let (proposal, landed): (Proposal, Vec<Landed>) = beside(move || {
        let landed = proposal.answer();
        (proposal, landed)
    })
    .await?;
    let cancels: Vec<DeploymentId> = proposal.cancels.clone();
    ok(&render::plan::plan(&proposal.deployment, &cancels, &landed))
}

/// Works something out where it holds up nobody.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, HttpResponse> {
    let failed = |why: tokio::task::JoinError| error(StatusCode::INTERNAL_SERVER_ERROR, why);
    tokio::task::spawn_blocking(work).await.map_err(failed)
}
