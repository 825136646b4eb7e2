//! Whether an offer holds what a request needs, and which part of it to take.
//!
//! One walk over what can be in the way, in the order of [`MismatchKind`](crate::MismatchKind), serves all who ask: the launcher
//! stops at the first, those who explain go on to the last. Nothing is allocated for an offer that is passed over, but for a request
//! that makes volumes: it is held against what these leave of the offer.

use std::iter::once_with;

use chapada_model::{Milli, Resource, ResourceError, ResourceValue, Resources, Wall};

use crate::constraint::{Constraint, Place};
use crate::disks::{Carved, carve};
use crate::mismatch::{Mismatch, WhyNot};
use crate::offer::Offer;
use crate::placed::Placed;
use crate::ports;
use crate::request::Request;

/// What a task takes of an offer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// For the task's description: allocated to the offer's role, what is reserved for it before what is not.
    pub resources: Resources,
    /// In the order of the request's wishes.
    pub ports: Vec<u16>,
    /// What to reserve and to make volumes of, in the order of the request's wishes; none of it is among the resources.
    pub disks: Vec<Resource>,
}

impl Placement {
    /// All that is taken of the offer: the resources and the disks.
    ///
    /// # Errors
    /// When it does not add up, which what was taken of one offer does.
    pub fn taken(&self) -> Result<Resources, ResourceError> {
        Resources::from_list(self.resources.iter().chain(&self.disks).cloned())
    }
}

/// Takes what the request needs from the offer, for one that has no others of its kind.
///
/// Ports of free choice are taken one after the other from a place in the offer that `random` picks, so that a port just
/// given back is not handed out at once. Revocable and shared resources are never taken, disks with a source or a volume only
/// as volumes of the request. When machines are to be left is not looked at.
///
/// # Errors
/// [`WhyNot`] with every reason, not only the first.
pub fn fits(offer: &Offer, request: &Request, random: u64) -> Result<Placement, WhyNot> {
    let Carved { left, disks, missing } = carve(offer, &request.disks);
    let placed = &Placed::default();
    let case = Case { offer: &left, request, placed, now: None, no_disk: missing.as_ref() };
    let mismatches: Vec<Mismatch> = case.mismatches().collect();
    match mismatches.is_empty() {
        true => case.take(random, disks).map_err(|mismatch| WhyNot { mismatches: vec![mismatch] }),
        false => Err(WhyNot { mismatches }),
    }
}

/// As [`fits`], at this time and beside those of its kind that are `placed`, and as fast as it can be said: it stops at the first
/// thing that is in the way.
///
/// # Errors
/// The first of the reasons, in the order of [`MismatchKind`](crate::MismatchKind).
pub fn place(
    offer: &Offer,
    request: &Request,
    placed: &Placed,
    now: Wall,
    random: u64,
) -> Result<Placement, Mismatch> {
    let Carved { left, disks, missing } = carve(offer, &request.disks);
    let case = Case { offer: &left, request, placed, now: Some(now), no_disk: missing.as_ref() };
    match case.mismatches().next() {
        Some(mismatch) => Err(mismatch),
        None => case.take(random, disks),
    }
}

/// Every reason why [`place`] would refuse, the one that it would name first; none when it would not.
pub fn explain(offer: &Offer, request: &Request, placed: &Placed, now: Wall) -> Vec<Mismatch> {
    let Carved { left, missing, .. } = carve(offer, &request.disks);
    let case = Case { offer: &left, request, placed, now: Some(now), no_disk: missing.as_ref() };
    case.mismatches().collect()
}

#[derive(Clone, Copy)]
struct Case<'a> {
    /// Without what volumes are to be made of.
    offer: &'a Offer,
    request: &'a Request,
    placed: &'a Placed,
    now: Option<Wall>,
    /// Why there is not enough for the volumes; nothing was taken of the offer then.
    no_disk: Option<&'a Mismatch>,
}

impl<'a> Case<'a> {
    fn mismatches(self) -> impl Iterator<Item = Mismatch> + 'a {
        let Self { offer, request, .. } = self;
        let violated = move |constraint: &'a Constraint| self.violated(constraint);
        let missing = |id: &&'a chapada_model::Text| !offer.resources.iter().any(|r| is_volume(r, id));
        let ports = move || {
            let offered = || self.entries("ports");
            ports::mismatches(&request.ports, offered)
        };
        once_with(move || self.role())
            .flatten()
            .chain(request.constraints.iter().filter_map(violated))
            .chain(once_with(move || self.reservation()).flatten())
            .chain(request.volumes.iter().filter(missing).cloned().map(Mismatch::NoVolume))
            .chain(once_with(move || self.leaving()).flatten())
            .chain(request.amounts().into_iter().filter_map(move |(name, wanted)| self.short(name, wanted)))
            .chain(once_with(ports).flatten())
            .chain(once_with(move || self.scarce()).flatten())
    }

    fn role(self) -> Option<Mismatch> {
        let matters = self.request.reserved_with.is_empty() && self.request.wants_anything();
        (matters && !self.has_usable()).then_some(Mismatch::Role)
    }

    fn reservation(self) -> Option<Mismatch> {
        (!self.request.reserved_with.is_empty() && !self.has_usable()).then_some(Mismatch::NoReservation)
    }

    fn has_usable(self) -> bool {
        self.offer.resources.iter().any(|resource| self.is_usable(resource))
    }

    fn violated(self, constraint: &Constraint) -> Option<Mismatch> {
        let found = self.offer.value_of(constraint.field());
        let others = self.placed.tally(constraint.field());
        (!constraint.allows(found.as_deref(), others)).then(|| {
            let asks = constraint.rule().counts_others();
            let beside = found.as_ref().filter(|_| asks).map_or(0, |value| others.count(value));
            Mismatch::Constraint { constraint: constraint.clone(), found, beside }
        })
    }

    fn leaving(self) -> Option<Mismatch> {
        let (now, away) = (self.now?, self.offer.unavailability?);
        let over = away.duration.is_some_and(|duration| now >= away.start + duration);
        let soon = now + self.request.leaves_before >= away.start;
        (soon && !over).then_some(Mismatch::Leaving { from: away.start })
    }

    fn short(self, name: &'static str, wanted: Milli) -> Option<Mismatch> {
        if let Some(no_disk) = self.no_disk.filter(|_| name == "disk") {
            return Some(no_disk.clone());
        }
        let amounts = self.entries(name).filter_map(|entry| match entry.value {
            ResourceValue::Scalar(amount) => Some(amount.0),
            ResourceValue::Ranges(_) | ResourceValue::Set(_) => None,
        });
        let offered = || Milli(amounts.fold(0, u64::saturating_add));
        let offered = if wanted.is_zero() { wanted } else { offered() };
        (offered < wanted).then_some(Mismatch::Short { resource: name, wanted, offered })
    }

    fn scarce(self) -> Option<Mismatch> {
        let spares = self.request.spares_gpus && self.request.gpus.is_zero();
        let has = || self.offer.resources.iter().any(|resource| &*resource.name == "gpus");
        (spares && has()).then_some(Mismatch::Scarce("gpus"))
    }

    /// What may be taken without further promises.
    fn is_usable(self, resource: &Resource) -> bool {
        let Request { accepted_roles, reserved_with, .. } = self.request;
        let reservation = resource.reservations.last();
        let labels = reservation.map_or(&[][..], |reservation| reservation.labels.as_slice());
        let kept = match reserved_with.is_empty() {
            true => {
                let role = reservation.map_or("*", |reservation| reservation.role.as_str());
                labels.is_empty()
                    && (accepted_roles.is_empty()
                        || accepted_roles.iter().any(|accepted| **accepted == *role))
            }
            false => reserved_with.iter().all(|label| labels.contains(label)),
        };
        kept && resource.disk.is_none() && !resource.revocable && !resource.shared
    }

    /// The usable entries of one name, those reserved for somebody first: the others may serve anybody.
    fn entries(self, name: &'static str) -> impl Iterator<Item = &'a Resource> {
        let resources = &self.offer.resources;
        let of_name = move |resource: &&Resource| &*resource.name == name && self.is_usable(resource);
        let reserved = resources.iter().filter(of_name).filter(|resource| !resource.reservations.is_empty());
        let free = resources.iter().filter(of_name).filter(|resource| resource.reservations.is_empty());
        reserved.chain(free)
    }

    /// For a case without mismatches.
    fn take(self, random: u64, disks: Vec<Resource>) -> Result<Placement, Mismatch> {
        let mut taken = Vec::new();
        for (name, wanted) in self.request.amounts() {
            let mut missing = wanted;
            for entry in self.entries(name).take_while(|_| !wanted.is_zero()) {
                let ResourceValue::Scalar(there) = entry.value else { continue };
                let part = there.min(missing);
                if !part.is_zero() {
                    taken.push(Resource { value: ResourceValue::Scalar(part), ..entry.clone() });
                    missing = Milli(missing.0 - part.0);
                }
            }
        }
        let ports = ports::pick(&self.request.ports, || self.entries("ports"), random);
        taken.extend(ports::resources(&ports, self.entries("ports")));
        let volumes = self.request.volumes.iter();
        taken
            .extend(volumes.filter_map(|id| self.offer.resources.iter().find(|r| is_volume(r, id))).cloned());
        // What is taken was all there, each once, so it adds up; a request that names a volume twice does not.
        let resources =
            Resources::from_list(taken).map_err(|error| Mismatch::NoVolume(error.to_string().into()))?;
        Ok(Placement { resources, ports, disks })
    }
}

fn is_volume(resource: &Resource, id: &str) -> bool {
    let persistence = resource.disk.as_ref().and_then(|disk| disk.persistence.as_ref());
    persistence.is_some_and(|persistence| *persistence.id == *id)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use chapada_model::{
        Attribute, AttributeValue, Disk, Label, Persistence, Range, Ranges, Reservation, ReservationKind,
        Role, Unavailability,
    };
    use proptest::prelude::*;

    use super::*;
    use crate::constraint::{Field, Rule};
    use crate::mismatch::MismatchKind;
    use crate::request::PortWish;

    fn offer(resources: Vec<Resource>) -> Offer {
        let resources = Resources::from_list(resources).unwrap().allocated_to(&Role::star());
        Offer {
            attributes: vec![Attribute { name: "rack".into(), value: AttributeValue::Text("r1".into()) }],
            ..Offer::new("o1".parse().unwrap(), "a1".parse().unwrap(), "h1", resources)
        }
    }

    fn machine() -> Offer {
        offer(vec![
            Resource::scalar("cpus", Milli::whole(4)),
            Resource::scalar("mem", Milli::whole(1024)),
            Resource::ranges("ports", Ranges::new([Range { begin: 31000, end: 31009 }])),
        ])
    }

    #[test]
    fn takes_exactly_what_was_asked_for() {
        let request =
            Request { ports: vec![PortWish::Any, PortWish::Exactly(31004)], ..Request::new(1.5, 128.0) };
        let placement = fits(&machine(), &request, 4).unwrap();
        assert_eq!(placement.ports, [31005, 31004], "31004 is kept for the second wish");
        assert_eq!(placement.resources.cpus(), Milli(1_500));
        let rest = machine().without(&placement.resources).unwrap();
        assert_eq!((rest.resources.cpus(), rest.resources.ports().count()), (Milli(2_500), 8));
    }

    #[test]
    fn names_every_reason() {
        let mut request = Request { ports: vec![PortWish::Exactly(80)], ..Request::new(8.0, 128.0) };
        request.constraints.push(Constraint::new(Field::named("rack"), Rule::one_of(["r2"])));
        request.constraints.push(Constraint::new(Field::named("ssd"), Rule::Exists));
        let why = fits(&machine(), &request, 0).unwrap_err();
        assert_eq!(
            why.to_string(),
            "needs rack LIKE r2, found r1; needs ssd LIKE (?s).*, found none; \
             needs 8 cpus, offered 4; port 80 is not offered"
        );
        let why = fits(&machine(), &Request::default().any_ports(11), 0).unwrap_err();
        assert_eq!(why.to_string(), "needs 11 ports, offered 10");
        let twice = Request { ports: vec![PortWish::Exactly(31000); 2], ..Request::default() };
        assert_eq!(fits(&machine(), &twice, 0).unwrap_err().to_string(), "needs 2 ports, offered 1");
    }

    #[test]
    fn hosts_and_agents_can_be_kept_off() {
        for (field, rule, fitting) in [
            ("hostname", Rule::one_of(["h1"]), true),
            ("hostname", Rule::none_of(["h1"]), false),
            ("@agent", Rule::none_of(["a1"]), false),
            ("rack", Rule::none_of(["r1"]), false),
            ("ssd", Rule::none_of(["r1"]), true),
        ] {
            let constraint = Constraint::new(Field::named(field), rule);
            let request = Request { constraints: vec![constraint.clone()], ..Request::default() };
            assert_eq!(fits(&machine(), &request, 0).is_ok(), fitting, "{constraint:?}");
        }
    }

    #[test]
    fn reserved_resources_go_first_and_special_ones_not_at_all() {
        let role: Role = "ops".parse().unwrap();
        let reservation =
            Reservation { kind: ReservationKind::Static, role, principal: None, labels: Vec::new() };
        let reserved =
            Resource { reservations: vec![reservation], ..Resource::scalar("cpus", Milli::whole(1)) };
        let revocable = Resource { revocable: true, ..Resource::scalar("cpus", Milli::whole(9)) };
        let offer = offer(vec![reserved, revocable, Resource::scalar("cpus", Milli::whole(1))]);
        let placement = fits(&offer, &Request::new(1.5, 0.0), 0).unwrap();
        let amounts: Vec<_> =
            placement.resources.iter().map(|r| (r.reservations.len(), r.value.clone())).collect();
        assert!(amounts.contains(&(1, ResourceValue::Scalar(Milli(1_000)))), "{amounts:?}");
        assert!(amounts.contains(&(0, ResourceValue::Scalar(Milli(500)))), "{amounts:?}");
        assert!(fits(&offer, &Request::new(2.5, 0.0), 0).is_err());
    }

    fn first(offer: &Offer, request: &Request, now: Wall) -> Option<MismatchKind> {
        let placed = Placed::default();
        let first = place(offer, request, &placed, now, 0).err().map(|mismatch| mismatch.kind());
        let all: Vec<MismatchKind> =
            explain(offer, request, &placed, now).iter().map(Mismatch::kind).collect();
        assert!(all.is_sorted(), "{all:?}");
        assert_eq!(first, all.first().copied(), "one walk serves both");
        first
    }

    #[test]
    fn the_first_reason_is_the_first_of_the_funnel() {
        let gpus =
            offer(vec![Resource::scalar("cpus", Milli::whole(4)), Resource::scalar("gpus", Milli::whole(1))]);
        let leaving = |start, duration: Option<u64>| Offer {
            unavailability: Some(Unavailability {
                start: Wall::default() + Duration::from_secs(start),
                duration: duration.map(Duration::from_secs),
            }),
            ..machine()
        };
        let now = Wall::default() + Duration::from_secs(100);
        let small = Request::new(1.0, 0.0);
        let wary = Request { leaves_before: Duration::from_secs(60), ..small.clone() };
        let web = Request { accepted_roles: vec!["web".into()], ..small.clone() };
        let rack2 = Constraint::from_words(&["rack", "IS", "r2"]).unwrap();
        let elsewhere = Request { constraints: vec![rack2], ..Request::new(9.0, 0.0) };
        let spares = Request { spares_gpus: true, ..small.clone() };
        let uses = Request { gpus: Milli::whole(1), ..spares.clone() };
        for (offer, request, expected) in [
            (&offer(vec![]), &Request::default(), None),
            (&offer(vec![]), &small, Some(MismatchKind::UnfulfilledRole)),
            (&machine(), &web, Some(MismatchKind::UnfulfilledRole)),
            (&machine(), &elsewhere, Some(MismatchKind::UnfulfilledConstraint)),
            (&leaving(100, None), &Request::new(9.0, 0.0), Some(MismatchKind::AgentMaintenance)),
            (&leaving(0, Some(99)), &small, None),
            (&leaving(150, None), &small, None),
            (&leaving(150, None), &wary, Some(MismatchKind::AgentMaintenance)),
            (&machine(), &Request::new(9.0, 9e9), Some(MismatchKind::InsufficientCpus)),
            (&machine(), &Request::new(1.0, 9e9), Some(MismatchKind::InsufficientMemory)),
            (&machine(), &Request { disk: Milli(1), ..small.clone() }, Some(MismatchKind::InsufficientDisk)),
            (&machine(), &uses, Some(MismatchKind::InsufficientGpus)),
            (&machine(), &small.clone().any_ports(11), Some(MismatchKind::InsufficientPorts)),
            (&gpus, &small, None),
            (&gpus, &spares, Some(MismatchKind::DeclinedScarceResources)),
            (&gpus, &uses, None),
        ] {
            assert_eq!(first(offer, request, now), expected, "{request:?}");
        }
    }

    #[test]
    fn what_is_reserved_with_labels_and_volumes_are_for_those_who_name_them() {
        let label = Label { key: "instance".into(), value: Some("db-1".into()) };
        let kept = |resource: Resource| Resource {
            reservations: vec![Reservation {
                labels: vec![label.clone()],
                ..Reservation::fixed("db".parse().unwrap())
            }],
            ..resource
        };
        let volume = Resource {
            disk: Some(Disk {
                persistence: Some(Persistence { id: "v1".into(), principal: None }),
                ..Disk::default()
            }),
            ..kept(Resource::scalar("disk", Milli::whole(10)))
        };
        let offer = offer(vec![
            Resource::scalar("cpus", Milli::whole(1)),
            kept(Resource::scalar("cpus", Milli::whole(2))),
            volume,
        ]);
        let now = Wall::default();
        assert_eq!(first(&offer, &Request::new(2.0, 0.0), now), Some(MismatchKind::InsufficientCpus));
        let own =
            Request { reserved_with: vec![label], volumes: vec!["v1".into()], ..Request::new(2.0, 0.0) };
        let placement = fits(&offer, &own, 0).unwrap();
        assert_eq!((placement.resources.cpus(), placement.resources.len()), (Milli::whole(2), 2));
        assert!(offer.resources.contains(&placement.resources));
        let other = Request { reserved_with: vec![Label { key: "x".into(), value: None }], ..own.clone() };
        assert_eq!(first(&offer, &other, now), Some(MismatchKind::NoCorrespondingReservationFound));
        let gone = Request { volumes: vec!["v2".into()], ..own };
        assert_eq!(first(&offer, &gone, now), Some(MismatchKind::NoCorrespondingReservationFound));
    }

    #[test]
    fn those_of_its_kind_count_where_a_constraint_asks() {
        let unique = Constraint::from_words(&["rack", "UNIQUE"]).unwrap();
        let request = Request { constraints: vec![unique], ..Request::new(1.0, 0.0) };
        let mut placed = Placed::of::<Offer>(&request.constraints, []);
        assert!(place(&machine(), &request, &placed, Wall::default(), 0).is_ok());
        placed.add(&machine());
        let why = place(&machine(), &request, &placed, Wall::default(), 0).unwrap_err();
        assert_eq!(why.to_string(), "needs rack UNIQUE, found r1, which 1 of its kind have");
        assert!(fits(&machine(), &request, 0).is_ok(), "it knows of no others");
    }

    proptest! {
        #[test]
        fn what_fits_can_be_taken_and_ports_are_distinct(
            cpus in 0_u64..6_000, any in 0_usize..12, fixed in 30_998_u16..31_012, random: u64
        ) {
            let mut request = Request { cpus: Milli(cpus), ..Request::default() }.any_ports(any);
            request.ports.push(PortWish::Exactly(fixed));
            let fitting = cpus <= 4_000 && any < 10 && (31_000..=31_009).contains(&fixed);
            let placed = fits(&machine(), &request, random);
            prop_assert_eq!(placed.is_ok(), fitting);
            if let Ok(placement) = placed {
                prop_assert!(machine().without(&placement.resources).is_ok());
                let distinct: BTreeSet<_> = placement.ports.iter().collect();
                prop_assert_eq!(distinct.len(), request.ports.len());
                prop_assert_eq!(placement.resources.ports().count(), request.ports.len());
            }
        }
    }
}
