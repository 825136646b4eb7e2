//! What could be changed so that more would start.

use chapada_sdk_core::{Change, Constraint, Mismatch, Nearest, PortWish, Rule};
use serde_json::{Map, Value, json};

use super::held::Held;
use super::words::{amount, and, bare, counted};
use super::{Inquiry, constraint, volume};
use crate::definition::AppDefinition;

/// How many ways to change the app are named.
const WAYS: usize = 3;
/// An amount that is to fall to less than this share, in percent, is said after what the cluster could do instead.
const LEAST_SHARE: u64 = 10;

/// Something that could be changed so that more would start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Suggestion {
    /// What would follow from what; without a full stop.
    pub sentence: String,
    /// How many instances would start.
    pub fits: usize,
    /// The fields of the app to change, as in a partial update; `None` when it is not the app that would change, or when they can
    /// only be other in a new app.
    pub patch: Option<Map<String, Value>>,
    /// The method and path of the call that does it, when there is one.
    pub call: Option<(&'static str, String)>,
}

/// The smallest changes first: those of the app, then those of the cluster, which may come first when the app would be hardly
/// itself any more.
pub(super) fn all(held: &Held<'_>) -> Vec<Suggestion> {
    let inquiry = held.inquiry;
    let ways = held.search.nearest(inquiry.seeking, WAYS);
    let drastic =
        ways.first().is_some_and(|nearest| nearest.changes.iter().any(|change| is_drastic(inquiry, change)));
    let of_app = ways.into_iter().map(|nearest| of_app(inquiry, &nearest));
    let of_cluster = of_cluster(held);
    match drastic {
        true => std::iter::once(of_cluster).chain(of_app).collect(),
        false => of_app.chain(std::iter::once(of_cluster)).collect(),
    }
}

fn is_drastic(inquiry: &Inquiry, change: &Change) -> bool {
    let Change::Lower { resource, to } = change else { return false };
    wanted(inquiry, resource).0.saturating_mul(LEAST_SHARE) / 100 > to.0
}

fn wanted(inquiry: &Inquiry, resource: &str) -> chapada_model::Milli {
    match resource {
        "cpus" => inquiry.request.cpus,
        "mem" => inquiry.request.mem,
        "gpus" => inquiry.request.gpus,
        _ => inquiry.request.disk,
    }
}

fn of_app(inquiry: &Inquiry, nearest: &Nearest) -> Suggestion {
    let texts: Vec<String> = nearest.changes.iter().map(|change| said(inquiry, change)).collect();
    let sentence = format!("{} would fit if {}", how_many(nearest.fits, inquiry.seeking), and(&texts));
    // Of an app with volumes that stay nothing but its constraints can be changed.
    let can_be = |app: &&AppDefinition| {
        !app.is_resident() || nearest.changes.iter().all(|change| matches!(change, Change::Drop(_)))
    };
    let patch =
        inquiry.definition.as_deref().filter(can_be).map(|app| fields(app, inquiry, &nearest.changes));
    Suggestion { sentence, fits: nearest.fits, patch, call: None }
}

pub(super) fn how_many(fits: usize, seeking: usize) -> String {
    match (fits, seeking) {
        (1, 1) => "it".to_owned(),
        (fits, seeking) if fits == seeking => format!("all {seeking}"),
        (fits, seeking) => format!("{fits} of {seeking}"),
    }
}

fn said(inquiry: &Inquiry, change: &Change) -> String {
    match change {
        Change::AnyRole => "resources of any role were accepted".to_owned(),
        Change::Drop(constraint) => format!("it did not need {}", constraint::wanted(constraint)),
        Change::Lower { resource, to } => format!("{resource} were {}", bare(resource, *to)),
        Change::SmallerDisk { number, to } => {
            format!("its volume {} were {}", volume::name(inquiry, *number), bare("disk", *to))
        }
        Change::LargerDisk { number, to } => {
            format!(
                "its volume {} might be as large as {}",
                volume::name(inquiry, *number),
                bare("disk", *to)
            )
        }
        Change::AnyPorts => "the ports might be any".to_owned(),
        Change::FewerPorts(count) => format!("it had {}", counted(*count, "port")),
    }
}

/// The changes as fields of the definition.
fn fields(app: &AppDefinition, inquiry: &Inquiry, changes: &[Change]) -> Map<String, Value> {
    let field = |name: &str, value: Value| Some((name.to_owned(), value));
    let dropped = |constraint: &&Constraint| changes.contains(&Change::Drop((*constraint).clone()));
    let one = |change: &Change| match change {
        Change::AnyRole => {
            let mut roles = vec!["*".to_owned(), inquiry.role.to_string()];
            roles.dedup();
            field("acceptedResourceRoles", json!(roles))
        }
        Change::Drop(_) => {
            let kept = app.constraints.iter().filter(|constraint| !dropped(constraint));
            let mut kept: Vec<Value> = kept.map(|constraint| json!(constraint)).collect();
            // It has no constraint of that kind to drop: it leaves its region when it says something of regions itself.
            let leaves =
                |change: &Change| matches!(change, Change::Drop(one) if matches!(one.rule(), Rule::Home(_)));
            kept.extend(changes.iter().any(leaves).then(|| json!(["@region", "LIKE", ".*"])));
            field("constraints", json!(kept))
        }
        Change::Lower { resource: "gpus", to } => field("gpus", json!(to.0 / 1_000)),
        Change::Lower { resource, to } if to.0.is_multiple_of(1_000) => field(resource, json!(to.0 / 1_000)),
        Change::Lower { resource, to } => field(resource, json!(to.to_f64())),
        // Volumes can only be other in a new app.
        Change::SmallerDisk { .. } | Change::LargerDisk { .. } => None,
        Change::AnyPorts => field("requirePorts", json!(false)),
        Change::FewerPorts(count) => {
            let definitions = app.port_definitions.as_ref()?;
            field("portDefinitions", json!(definitions.iter().take(*count).collect::<Vec<_>>()))
        }
    };
    changes.iter().filter_map(one).collect()
}

/// More on an agent that lacks little, or else one more agent.
fn of_cluster(held: &Held<'_>) -> Suggestion {
    let one = how_many(1, held.inquiry.seeking);
    let lacking = held
        .search
        .least_lacking()
        .and_then(|lacking| Some((held.offers.get(lacking.offer)?, lacking.amounts)));
    let sentence = match lacking {
        Some((offer, amounts)) => {
            let more: Vec<String> =
                amounts.iter().map(|(resource, lacking)| amount(resource, *lacking)).collect();
            format!("{one} would fit if {} more were free on {}", and(&more), offer.hostname)
        }
        None => format!("{one} would fit on one more agent with {}", and(&needs(held))),
    };
    Suggestion { sentence, fits: 1, patch: None, call: None }
}

/// All that an agent must have.
fn needs(held: &Held<'_>) -> Vec<String> {
    let request = &held.inquiry.request;
    let amounts =
        [("cpus", request.cpus), ("mem", request.mem), ("disk", request.disk), ("gpus", request.gpus)];
    let wanted = amounts.iter().filter(|(_, wanted)| !wanted.is_zero());
    let mut needs: Vec<String> =
        wanted.map(|(resource, wanted)| format!("{} free", amount(resource, *wanted))).collect();
    needs.extend(request.disks.iter().map(volume::wanted));
    needs.extend(request.constraints.iter().map(constraint::wanted));
    let fixed = request.ports.iter().filter_map(|wish| match wish {
        PortWish::Exactly(port) => Some(format!("port {port}")),
        PortWish::Any => None,
    });
    needs.extend(fixed);
    let volume = held.mismatches().iter().flatten().find_map(|mismatch| match mismatch {
        Mismatch::NoVolume(id) => Some(format!("its volume {id}")),
        _ => None,
    });
    needs.extend(volume);
    needs
}
