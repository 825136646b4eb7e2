//! What an instance needs of an offer: what the SDK matches, and disks for volumes that are yet to be made. Whoever launches,
//! explains or plans asks this.

use std::borrow::Cow;
use std::collections::BTreeMap;

use chapada_model::{Milli, Resource, ResourceValue, Resources, Wall};
use chapada_sdk_core::{Mismatch, MismatchKind, Offer, Placed, Placement, Request, explain, place};

use crate::definition::{DiskType, Persistent};

/// What an instance without a home needs.
#[derive(Clone, Debug)]
pub(crate) struct Need {
    /// All but its volumes.
    pub(crate) request: Request,
    /// Its volumes, each with where it shows.
    pub(crate) volumes: Vec<(String, Persistent)>,
}

/// What it takes of an offer.
#[derive(Clone, Debug)]
pub(crate) struct Share {
    pub(crate) placement: Placement,
    /// What the volumes are made of, in their order.
    pub(crate) disks: Vec<Resource>,
}

/// A volume that cannot be made of what is offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unmet {
    /// Its number.
    pub(crate) volume: usize,
    /// How large the disk of its kind is that comes nearest, if there is any.
    pub(crate) found: Option<Milli>,
}

/// Offers without what the volumes take of them, and those of which the volumes cannot be made, by their numbers.
pub(crate) struct Split<'a> {
    pub(crate) suiting: Vec<(usize, Cow<'a, Offer>)>,
    pub(crate) unmet: BTreeMap<usize, Unmet>,
}

impl Share {
    /// All that is taken.
    pub(crate) fn taken(&self) -> Option<Resources> {
        Resources::from_list(self.placement.resources.iter().chain(&self.disks).cloned()).ok()
    }
}

impl Need {
    /// Takes what it needs from the offer: first what its volumes are made of, then the rest.
    ///
    /// # Errors
    /// The first of the reasons, in the order of [`MismatchKind`].
    pub(crate) fn place(
        &self,
        offer: &Offer,
        placed: &Placed,
        now: Wall,
        random: u64,
    ) -> Result<Share, Mismatch> {
        match self.carve(offer) {
            Ok((left, disks)) => {
                let placement = place(&left, &self.request, placed, now, random)?;
                Ok(Share { placement, disks })
            }
            Err(unmet) => Err(self.refusals(offer, &unmet, placed, now).swap_remove(0)),
        }
    }

    /// Every reason why [`Need::place`] would refuse, the one that it would name first.
    pub(crate) fn explain(&self, offer: &Offer, placed: &Placed, now: Wall) -> Vec<Mismatch> {
        match self.carve(offer) {
            Ok((left, _)) => explain(&left, &self.request, placed, now).collect(),
            Err(unmet) => self.refusals(offer, &unmet, placed, now),
        }
    }

    /// As [`Need::explain`], of an offer of which a volume cannot be made.
    pub(crate) fn refusals(&self, offer: &Offer, unmet: &Unmet, placed: &Placed, now: Wall) -> Vec<Mismatch> {
        let wanted = self.volumes.get(unmet.volume).map_or(Milli::ZERO, |(_, volume)| volume.size);
        let short = Mismatch::Short { resource: "disk", wanted, offered: unmet.found.unwrap_or_default() };
        let disk = MismatchKind::InsufficientDisk;
        let others = explain(offer, &self.request, placed, now).filter(|mismatch| mismatch.kind() != disk);
        let mut all: Vec<Mismatch> = others.chain([short]).collect();
        all.sort_by_key(Mismatch::kind);
        all
    }

    pub(crate) fn split<'a>(&self, offers: &[&'a Offer]) -> Split<'a> {
        let mut split = Split { suiting: Vec::new(), unmet: BTreeMap::new() };
        for (number, offer) in offers.iter().enumerate() {
            match self.carve(offer) {
                Ok((left, _)) => split.suiting.push((number, left)),
                Err(unmet) => {
                    split.unmet.insert(number, unmet);
                }
            }
        }
        split
    }

    /// What the volumes are made of, and the offer without it.
    fn carve<'a>(&self, offer: &'a Offer) -> Result<(Cow<'a, Offer>, Vec<Resource>), Unmet> {
        let mut left = Cow::Borrowed(offer);
        let mut disks = Vec::new();
        for (number, (_, volume)) in self.volumes.iter().enumerate() {
            let unmet = || Unmet { volume: number, found: nearest(&left.resources, volume) };
            let part = part_of(&left.resources, volume).ok_or_else(unmet)?;
            let taken = Resources::from_list([part.clone()]).and_then(|one| left.without(&one));
            left = Cow::Owned(taken.map_err(|_| Unmet { volume: number, found: None })?);
            disks.push(part);
        }
        Ok((left, disks))
    }
}

/// The disks of the kind that a volume is made of that nobody has, with how large they are.
fn disks<'a>(left: &'a Resources, volume: &Persistent) -> impl Iterator<Item = (&'a Resource, Milli)> {
    let kind = volume.r#type.source();
    left.iter().filter_map(move |resource| {
        let ResourceValue::Scalar(there) = resource.value else { return None };
        let source = resource.disk.as_ref().and_then(|disk| disk.source.as_ref()).map(|source| source.kind);
        let suits = &*resource.name == "disk"
            && resource.reservations.is_empty()
            && !resource.revocable
            && !resource.shared
            && !resource.is_volume()
            && source == kind;
        suits.then_some((resource, there))
    })
}

/// As much of a disk as a volume wants, or a disk as a whole.
fn part_of(left: &Resources, volume: &Persistent) -> Option<Resource> {
    let whole = volume.r#type == DiskType::Mount;
    let fits = |there: Milli| there >= volume.size && !is_too_large(there, volume);
    let (disk, there) = disks(left, volume).find(|(_, there)| fits(*there))?;
    let value = ResourceValue::Scalar(if whole { there } else { volume.size });
    Some(Resource { value, ..disk.clone() })
}

fn nearest(left: &Resources, volume: &Persistent) -> Option<Milli> {
    let sizes = || disks(left, volume).map(|(_, there)| there);
    sizes().filter(|there| is_too_large(*there, volume)).min().or_else(|| sizes().max())
}

/// Whether a disk is larger than a whole disk may be.
pub(crate) fn is_too_large(there: Milli, volume: &Persistent) -> bool {
    volume.max_size.is_some_and(|most| there > most)
}
