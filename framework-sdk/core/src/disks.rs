//! Disks of which volumes are to be made: which part of an offer, and when none will do, which comes nearest.

use std::borrow::Cow;

use chapada_model::{DiskKind, Milli, Resource, ResourceValue, Resources, Text};

use crate::mismatch::Mismatch;
use crate::offer::Offer;

/// A disk, or a part of one, of which a volume is to be made. It has to be reserved for nobody: whoever makes a volume reserves
/// what it is made of.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DiskWish {
    /// What the volume is called where reasons are read.
    pub name: Text,
    /// The kind of disk; `None` is the agent's own.
    pub kind: Option<DiskKind>,
    /// In thousandths of a MiB. Disks that cannot be split have at least as much, and are taken as a whole.
    pub size: Milli,
    /// How large a disk that cannot be split may be at most.
    pub max_size: Option<Milli>,
}

impl DiskWish {
    /// Whether a disk of this size has more than may be taken.
    pub fn is_too_large(&self, size: Milli) -> bool {
        self.takes_all() && self.max_size.is_some_and(|most| size > most)
    }

    fn takes_all(&self) -> bool {
        matches!(self.kind, Some(DiskKind::Mount | DiskKind::Block))
    }

    /// The disks of its kind that nobody has, with their sizes.
    fn candidates<'a>(&self, left: &'a Resources) -> impl Iterator<Item = (&'a Resource, Milli)> + use<'a> {
        let kind = self.kind;
        left.iter().filter_map(move |resource| {
            let ResourceValue::Scalar(size) = resource.value else { return None };
            let source = resource.disk.as_ref().and_then(|disk| disk.source.as_ref());
            let suits = &*resource.name == "disk"
                && resource.reservations.is_empty()
                && !resource.revocable
                && !resource.shared
                && !resource.is_volume()
                && source.map(|source| source.kind) == kind;
            suits.then_some((resource, size))
        })
    }

    fn part_of(&self, left: &Resources) -> Option<Resource> {
        let fits = |size: Milli| size >= self.size && !self.is_too_large(size);
        let (disk, size) = self.candidates(left).find(|(_, size)| fits(*size))?;
        let value = ResourceValue::Scalar(if self.takes_all() { size } else { self.size });
        Some(Resource { value, ..disk.clone() })
    }

    /// The size of the disk that comes nearest to one that would do.
    fn nearest(&self, left: &Resources) -> Option<Milli> {
        let sizes = || self.candidates(left).map(|(_, size)| size);
        sizes().filter(|size| self.is_too_large(*size)).min().or_else(|| sizes().max())
    }
}

/// An offer without what wishes take of it.
pub(crate) struct Carved<'a> {
    /// The offer as it was when something is missing.
    pub(crate) left: Cow<'a, Offer>,
    /// What is taken, in the order of the wishes.
    pub(crate) disks: Vec<Resource>,
    /// [`Mismatch::NoDisk`], of the first wish that nothing is left for.
    pub(crate) missing: Option<Mismatch>,
}

/// Takes out of the offer what the wishes are for, one after the other. Nothing is copied when there are none.
pub(crate) fn carve<'a>(offer: &'a Offer, wishes: &[DiskWish]) -> Carved<'a> {
    let (mut left, mut disks) = (Cow::Borrowed(offer), Vec::with_capacity(wishes.len()));
    for (number, wish) in wishes.iter().enumerate() {
        // What was found there can be taken.
        let taken = wish.part_of(&left.resources).and_then(|part| {
            let rest = Resources::from_list([part.clone()]).and_then(|part| left.without(&part)).ok()?;
            Some((part, rest))
        });
        let Some((part, rest)) = taken else {
            let missing =
                Mismatch::NoDisk { number, wish: wish.clone(), found: wish.nearest(&left.resources) };
            return Carved { left: Cow::Borrowed(offer), disks: Vec::new(), missing: Some(missing) };
        };
        left = Cow::Owned(rest);
        disks.push(part);
    }
    Carved { left, disks, missing: None }
}

#[cfg(test)]
mod tests {
    use chapada_model::{Disk, DiskSource, Role, Wall};

    use super::*;
    use crate::change::Change;
    use crate::nearest::{Search, fill};
    use crate::placed::Placed;
    use crate::request::Request;
    use crate::{explain, fits, place};

    fn disk(kind: Option<DiskKind>, mib: u64) -> Resource {
        let source = |kind| DiskSource {
            kind,
            root: Some(format!("/disks/{mib}").into()),
            vendor: None,
            id: None,
            profile: None,
            metadata: Vec::new(),
        };
        let disk = kind.map(|kind| Disk { source: Some(Box::new(source(kind))), ..Disk::default() });
        Resource { disk, ..Resource::scalar("disk", Milli::whole(mib)) }
    }

    fn offer(disks: &[(Option<DiskKind>, u64)]) -> Offer {
        let resources = disks.iter().map(|(kind, mib)| disk(*kind, *mib));
        let resources = resources.chain([Resource::scalar("cpus", Milli::whole(1))]);
        let resources = Resources::from_list(resources).unwrap().allocated_to(&Role::star());
        Offer::new("o1".parse().unwrap(), "a1".parse().unwrap(), "h1", resources)
    }

    fn wish(name: &str, kind: Option<DiskKind>, mib: u64, most: Option<u64>) -> DiskWish {
        DiskWish { name: name.into(), kind, size: Milli::whole(mib), max_size: most.map(Milli::whole) }
    }

    fn request(disk: u64, disks: Vec<DiskWish>) -> Request {
        Request { disk: Milli::whole(disk), disks, ..Request::new(0.5, 0.0) }
    }

    #[test]
    fn parts_of_disks_are_split_and_whole_disks_are_not() {
        let [path, mount] = [Some(DiskKind::Path), Some(DiskKind::Mount)];
        let offer = offer(&[(None, 100), (path, 100), (mount, 30), (mount, 70)]);
        let wishes =
            vec![wish("a", None, 60, None), wish("b", path, 60, None), wish("c", mount, 20, Some(50))];
        let asked = request(40, wishes);
        let placement = fits(&offer, &asked, 0).unwrap();
        let sizes: Vec<_> = placement.disks.iter().map(|disk| disk.value.clone()).collect();
        assert_eq!(sizes, [60, 60, 30].map(|mib| ResourceValue::Scalar(Milli::whole(mib))));
        assert_eq!(placement.resources.len(), 2, "cpus and its own disk: {:?}", placement.resources);
        let rest = offer.without(&placement.taken().unwrap()).unwrap();
        assert_eq!(rest.resources.iter().filter(|rest| &*rest.name == "disk").count(), 2, "40 of b, and 70");
        // Nothing is taken twice: what the volume has is not the task's.
        let why = fits(&offer, &request(41, asked.disks), 0).unwrap_err();
        assert_eq!(why.to_string(), "needs 41 disk, offered 40");
    }

    #[test]
    fn what_is_missing_is_named_with_what_comes_nearest() {
        let mount = Some(DiskKind::Mount);
        let offer = offer(&[(None, 100), (mount, 30), (mount, 70)]);
        for (wishes, reason, change) in [
            (
                vec![wish("a", None, 80, None), wish("b", None, 50, None)],
                "needs a disk of 50 for volume b, the nearest has 20",
                // Ten of it are the task's own.
                Some(Change::SmallerDisk { number: 1, to: Milli::whole(10) }),
            ),
            (
                vec![wish("m", mount, 10, Some(20))],
                "needs a disk of 10 for volume m, the nearest has 30",
                Some(Change::LargerDisk { number: 0, to: Milli::whole(30) }),
            ),
            (
                vec![wish("p", Some(DiskKind::Path), 10, None)],
                "needs a disk of 10 for volume p, none of its kind is offered",
                None,
            ),
        ] {
            let request = request(10, wishes);
            let placed = Placed::default();
            let why = place(&offer, &request, &placed, Wall(0), 0).unwrap_err();
            assert_eq!(why.to_string(), reason);
            assert_eq!(explain(&offer, &request, &placed, Wall(0)), [why]);
            let offers = [&offer];
            let found = Search::new(&request, &placed, Wall(0), &offers).nearest(1, 1).pop();
            let (changes, fitting) = found.map_or((Vec::new(), 0), |found| (found.changes, found.fits));
            assert_eq!(changes, Vec::from_iter(change.clone()));
            assert_eq!(fitting, usize::from(change.is_some()));
        }
    }

    #[test]
    fn as_many_fit_as_there_are_disks() {
        let mount = Some(DiskKind::Mount);
        let offer = offer(&[(mount, 30), (mount, 70)]);
        let request = Request { cpus: Milli(1), ..request(0, vec![wish("m", mount, 20, None)]) };
        assert_eq!(fill(&request, &Placed::default(), Wall(0), &[&offer], 5), 2);
    }
}
