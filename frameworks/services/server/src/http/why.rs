//! Why things wait, and what a change would do: worked out beside the loop, on copies made in turns.

use std::ops::Bound;

use chapada_listener::HttpResponse;
use chapada_model::Now;
use chapada_services_core::{
    AppId, Command, DeploymentId, Inquired, Inquiring, Inquiry, KnownOffer, Landed, MismatchKind, Proposal,
    Update,
};
use serde_json::{Value, json};

use super::answer::{Answer, ok, refusal, unavailable};
use super::underway::{self, Underway};
use super::{Api, apps};
use crate::render;
use crate::seen::Seen;

/// How many apps are explained in one answer: each costs a match with every agent that is known.
const EXPLAINED_AT_ONCE: usize = 50;
/// How many unused offers are shown of one app.
const OFFERS_SHOWN: usize = 100;

/// How many instances and agents are looked at in one turn for an explanation.
const LOOKS_AT_ONCE: usize = 1_024;
/// How many apps and pods are looked at in one turn for the queue.
const APPS_AT_ONCE: usize = 256;
/// As many looks is what is shown of one that waits.
const WHOLE: usize = 5;

/// Why an app or pod is not where it should be.
pub(super) async fn of(api: &Api, id: AppId, missing: impl FnOnce() -> HttpResponse) -> Answer {
    let look = api.looks.turn().await?;
    let inquiry = inquire(api, id).await?.ok_or_else(missing)?;
    ok(&render::why::explanation(&look.beside(move || inquiry.answer()).await?))
}

/// What an explanation rests on, copied in turns; `None` when there is no such app or pod for the caller.
async fn inquire(api: &Api, id: AppId) -> Result<Option<Inquiry>, HttpResponse> {
    let mut inquiring = Inquiring::about(id);
    loop {
        let read = move |services: &Seen, now| services.inquire_on(now, inquiring, LOOKS_AT_ONCE);
        match api.services.read(read).await.map_err(unavailable)? {
            Inquired::InPart(part) => inquiring = *part,
            Inquired::Whole(inquiry) => return Ok(Some(*inquiry)),
            Inquired::Nothing => return Ok(None),
        }
    }
}

/// What is embedded in the queue.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Embed {
    /// Offers that were not used, with the reasons.
    pub(super) offers: bool,
    /// The sentence, the changes and the funnel.
    pub(super) explanation: bool,
}

/// The launch queue.
pub(super) async fn queue(api: &Api, embed: Embed) -> Answer {
    let (mut queue, mut after, mut begun) = (Vec::new(), None, true);
    while std::mem::take(&mut begun) || after.is_some() {
        let read = move |services: &Seen, now| waiting(services, now, after);
        let (entries, next) = api.services.read(read).await.map_err(unavailable)?;
        queue.extend(entries);
        after = next;
    }
    let wanted = embed.offers || embed.explanation;
    let look = if wanted { Some(api.looks.turn().await?) } else { None };
    let mut shown = Vec::new();
    for (number, (id, entry)) in queue.into_iter().enumerate() {
        let look = look.as_ref().filter(|_| number < EXPLAINED_AT_ONCE);
        let explained = if look.is_some() { inquire(api, id).await? } else { None };
        shown.push(match look.zip(explained) {
            Some((look, inquiry)) => look.beside(move || with_explanation(entry, &inquiry, embed)).await?,
            None => entry,
        });
    }
    ok(&json!({"queue": shown}))
}

/// What waits of the apps and pods after this one, as far as one turn goes, and where the next one goes on.
fn waiting(services: &Seen, now: Now, after: Option<AppId>) -> (Vec<(AppId, Value)>, Option<AppId>) {
    let (mut entries, mut looked) = (Vec::new(), 0);
    for state in services.all_from(after.as_ref().map_or(Bound::Unbounded, Bound::Excluded)) {
        let id = &state.app.definition.id;
        looked += 1;
        if let Some(waiting) = services.waiting(now, state) {
            looked += WHOLE - 1;
            entries.push((id.clone(), render::queue::waiting(&waiting)));
        }
        if looked >= APPS_AT_ONCE {
            return (entries, Some(id.clone()));
        }
    }
    (entries, None)
}

fn with_explanation(mut entry: Value, inquiry: &Inquiry, embed: Embed) -> Value {
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
    let found = underway::all(&api.services, EXPLAINED_AT_ONCE).await.map_err(unavailable)?;
    let look = api.looks.turn().await?;
    let (mut shown, mut left) = (Vec::new(), EXPLAINED_AT_ONCE);
    for Underway { mut json, at } in found {
        let mut explanations = Vec::new();
        for app in at.into_iter().take(left) {
            left -= 1;
            if let Some(inquiry) = inquire(api, app).await? {
                explanations.push(look.beside(move || render::why::explanation(&inquiry.answer())).await?);
            }
        }
        json["explanations"] = Value::Array(explanations);
        shown.push(json);
    }
    ok(&Value::Array(shown))
}

/// What updates of apps would do; nothing is changed.
pub(super) async fn plan(api: &Api, updates: Vec<Update>, force: bool) -> Answer {
    let command = Command::Update { updates: updates.clone(), force };
    apps::check_secrets(api, &command).await?;
    let look = api.looks.turn().await?;
    let read = move |services: &Seen, now| services.propose(now, updates, force);
    let proposal = api.services.read(read).await.map_err(unavailable)?.map_err(|why| refusal(&why))?;
    let (proposal, landed): (Proposal, Vec<Landed>) = look
        .beside(move || {
            let landed = proposal.answer();
            (proposal, landed)
        })
        .await?;
    let cancels: Vec<DeploymentId> = proposal.cancels.clone();
    ok(&render::plan::plan(&proposal.deployment, &cancels, &landed))
}
