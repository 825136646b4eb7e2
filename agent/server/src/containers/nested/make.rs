//! Making a container of no task: first what it needs, then itself.

use std::sync::Arc;

use chapada_shim::ShimClient;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::super::furnish::{Furnishing, Made, furnish};
use super::super::{Means, allotments, disk, image};
use super::Launched;
use super::plan::Plan;
use crate::fetch::{self, Payer, Wanted};
use crate::networks;
use chapada_model::chain;

/// Makes a container; a signal, or that nobody wants it any more, ends it before it is made.
///
/// # Errors
/// Says why in one line. What was made for it stays until its traces are removed.
pub(super) async fn make(
    means: &Arc<Means>,
    launched: &Launched,
    plan: Plan,
    signals: &mut mpsc::Receiver<i32>,
) -> Result<ShimClient, String> {
    let making = means.clone();
    let made = spawn_blocking(move || plan.make_sandbox(&making).map(|()| plan)).await;
    let plan = made.map_err(|panic| panic.to_string())??;
    let name = plan.record.shim.as_str();
    let container = plan.container.as_ref();
    let supplies = async {
        tokio::try_join!(
            fetch(means, &plan),
            image::root_for(means, container, name),
            image::volumes_for(means, container, name),
            async {
                match plan.record.within.is_empty() {
                    true => networks::join_alone(means, container, name).await,
                    false => Ok(None),
                }
            }
        )
    };
    let ((), rooted, volumes, joined) = tokio::select! {
        biased; // an end before what it ends
        () = means.nested.stop.cancelled() => return Err("the agent is stopping".to_owned()),
        () = launched.going.cancelled() => return Err("what it is in has ended".to_owned()),
        _ = signals.recv() => return Err("killed before it was made".to_owned()),
        supplied = supplies => supplied?,
    };
    let made = Made { rooted, volumes, joined };
    let means = means.clone();
    let client = spawn_blocking(move || start(&means, plan, made)).await;
    client.map_err(|panic| format!("starting it failed: {panic}"))?
}

/// Fetches what its command wants.
async fn fetch(means: &Arc<Means>, plan: &Plan) -> Result<(), String> {
    let items = fetch::items(&plan.command, means.settings.frameworks_home.as_deref())?;
    if items.is_empty() {
        return Ok(());
    }
    let payer = Payer { container: plan.record.shim.clone(), limits: plan.limits.clone() };
    let sandbox = plan.record.sandbox.clone();
    let user = match plan.confinement.has_image {
        true => Some(fetch::NOBODY.to_string()),
        false => plan.record.user.clone(),
    };
    let wanted = Wanted { payer, sandbox, user, items };
    means.supplies.fetcher.fetch(wanted).await.map_err(|error| error.to_string())
}

/// Starts the shim that makes it. Blocks for a millisecond or two.
fn start(means: &Means, plan: Plan, made: Made) -> Result<ShimClient, String> {
    let Plan { record, mut spec, command, confinement, shared, named, .. } = plan;
    let asked = Furnishing { command: &command, confinement, shared: &shared, group: None, port: None };
    let note = furnish(means, &mut spec, asked, made).map_err(|error| error.to_string())?;
    if !note.is_empty() {
        tracing::info!(container_id = ?record.path, note);
    }
    if let Some(named) = named {
        named.give(means, &mut spec).map_err(|error| format!("cannot write down its names: {error}"))?;
    }
    disk::bound_root(means, &spec).map_err(|error| chain(&error))?;
    if record.within.is_empty() {
        allotments::give(means, &mut spec, &[]).map_err(|error| error.to_string())?;
    }
    record.write(&spec.runtime_dir).map_err(|error| error.to_string())?;
    means.launcher.launch(&spec).map(|made| made.client).map_err(|error| chain(&error))
}
