//! Volumes that cannot be made of what is offered, in words.

use chapada_model::Milli;
use chapada_sdk_core::Offer;

use super::Suggestion;
use super::held::Held;
use super::suggestion::how_many;
use super::words::bare;
use crate::definition::{DiskType, Persistent};
use crate::need::{Need, is_too_large};

/// `5 GiB on a path disk for its volume data`.
pub(super) fn wanted(path: &str, volume: &Persistent) -> String {
    let size = bare("disk", volume.size);
    let disk = match (volume.r#type, volume.max_size) {
        (DiskType::Root, _) => format!("{size} of disk"),
        (DiskType::Path, _) => format!("{size} on a path disk"),
        (DiskType::Mount, None) => format!("a mount disk of at least {size}"),
        (DiskType::Mount, Some(most)) => format!("a mount disk of {size} to {}", bare("disk", most)),
    };
    format!("{disk} for its volume {path}")
}

/// What keeps the offers with these numbers, if it is a volume that keeps all of them.
pub(super) fn sentence(held: &Held<'_>, here: &[usize], such: &str, agents: &str) -> Option<String> {
    let first = held.unmet.get(here.first()?)?.volume;
    let (path, volume) = held.inquiry.need.volumes.get(first)?;
    let mut nearest: Option<(u64, &Offer, Milli)> = None;
    for number in here {
        let unmet = held.unmet.get(number)?;
        let Some(found) = unmet.found.filter(|_| unmet.volume == first) else { continue };
        let off = if is_too_large(found, volume) { found.0 - volume.size.0 } else { volume.size.0 - found.0 };
        if nearest.is_none_or(|(least, ..)| off < least) {
            nearest = Some((off, held.offers[*number], found));
        }
    }
    let there = match nearest {
        Some((_, offer, found)) => format!("the nearest is {} on {}", bare("disk", found), offer.hostname),
        None if here.len() == 1 => format!("the {agents} has none"),
        None => format!("none of the {agents} has any"),
    };
    Some(format!("Needs {} on an agent{such}; {there}", wanted(path, volume)))
}

/// The size of a volume that comes nearest to what it wants and could be made where all else suits.
pub(super) fn suggestion(held: &Held<'_>) -> Option<Suggestion> {
    let inquiry = held.inquiry;
    let resized = held.unmet.iter().filter_map(|(number, unmet)| {
        let mut need = inquiry.need.clone();
        let (path, volume) = need.volumes.get_mut(unmet.volume)?;
        // What the task itself needs of the disk stays free; whole MiB, as a person would write.
        let beside = if volume.r#type == DiskType::Root { need.request.disk } else { Milli::ZERO };
        let found = Milli(unmet.found?.0.saturating_sub(beside.0) / 1_000 * 1_000);
        let (size, change) = (volume.size, bare("disk", found));
        let sentence = if is_too_large(found, volume) {
            volume.max_size = Some(found);
            format!("its volume {path} might be as large as {change}")
        } else {
            volume.size = found;
            format!("its volume {path} were {change}")
        };
        let suits = !found.is_zero();
        let placed = suits.then(|| need.place(held.offers[*number], &inquiry.placed, inquiry.now, 0));
        placed?.ok()?;
        Some((found.0.abs_diff(size.0), sentence, need))
    });
    let (_, change, need) = resized.min_by_key(|(off, ..)| *off)?;
    let fits = fitting(held, &need);
    let sentence = format!("{} would fit if {change}", how_many(fits, inquiry.seeking));
    Some(Suggestion { sentence, fits, patch: None, call: None })
}

/// How many instances would find a place, one agent filled after the other.
fn fitting(held: &Held<'_>, need: &Need) -> usize {
    let inquiry = held.inquiry;
    let (mut placed, mut fits) = (inquiry.placed.clone(), 0);
    for offer in held.offers {
        let mut left = Offer::clone(offer);
        while fits < inquiry.seeking
            && let Ok(share) = need.place(&left, &placed, inquiry.now, 0)
            && let Some(taken) = share.taken()
            && left.take(&taken).is_ok()
        {
            placed.add(&left);
            fits += 1;
        }
    }
    fits
}
