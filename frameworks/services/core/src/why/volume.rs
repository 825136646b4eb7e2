//! Volumes that cannot be made of what is offered, in words.

use chapada_model::{DiskKind, Milli};
use chapada_sdk_core::{DiskWish, Mismatch, Offer};

use super::Inquiry;
use super::held::Held;
use super::words::bare;

/// What the volume with this number is called.
pub(super) fn name(inquiry: &Inquiry, number: usize) -> &str {
    inquiry.request.disks.get(number).map_or("", |wish| &wish.name)
}

/// `5 GiB on a path disk for its volume data`.
pub(super) fn wanted(wish: &DiskWish) -> String {
    let size = bare("disk", wish.size);
    let disk = match (wish.kind, wish.max_size) {
        (None, _) => format!("{size} of disk"),
        (Some(DiskKind::Path), _) => format!("{size} on a path disk"),
        (Some(_), None) => format!("a mount disk of at least {size}"),
        (Some(_), Some(most)) => format!("a mount disk of {size} to {}", bare("disk", most)),
    };
    format!("{disk} for its volume {}", wish.name)
}

/// What keeps the offers with these numbers, if it is a volume that keeps the first of them.
pub(super) fn sentence(held: &Held<'_>, here: &[usize], such: &str, agents: &str) -> Option<String> {
    let missing = |number: &usize| held.mismatches()[*number].iter().find_map(missing);
    let (first, wish, _) = missing(here.first()?)?;
    let mut nearest: Option<(u64, &Offer, Milli)> = None;
    for number in here {
        let (volume, _, found) = missing(number)?;
        let Some(found) = found.filter(|_| volume == first) else { continue };
        let off = found.0.abs_diff(wish.size.0);
        if nearest.is_none_or(|(least, ..)| off < least) {
            nearest = Some((off, held.offers[*number], found));
        }
    }
    let there = match nearest {
        Some((_, offer, found)) => format!("the nearest is {} on {}", bare("disk", found), offer.hostname),
        None if here.len() == 1 => format!("the {agents} has none"),
        None => format!("none of the {agents} has any"),
    };
    Some(format!("Needs {} on an agent{such}; {there}", wanted(wish)))
}

fn missing(mismatch: &Mismatch) -> Option<(usize, &DiskWish, Option<Milli>)> {
    match mismatch {
        Mismatch::NoDisk { number, wish, found } => Some((*number, wish, *found)),
        _ => None,
    }
}
