//! Whether an offer holds what a request needs, and which part of it to take.

use std::collections::BTreeSet;
use std::fmt;

use chapada_model::{Milli, Range, Ranges, Resource, ResourceValue, Resources, Text};

use crate::offer::Offer;
use crate::request::{Constraint, PortWish, Request};

/// What a task takes of an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// For the task's description: allocated to the offer's role, what is reserved for it before what is not.
    pub resources: Resources,
    /// In the order of the request's wishes.
    pub ports: Vec<u16>,
}

/// Everything that keeps a request from an offer, the placing conditions first. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct WhyNot {
    /// In the order: constraints, amounts, ports.
    pub mismatches: Vec<Mismatch>,
}

/// One thing that keeps a request from an offer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mismatch {
    /// A constraint does not hold.
    Constraint {
        /// In words.
        wanted: String,
        /// What the agent has instead.
        found: String,
    },
    /// There is less than wanted.
    Short {
        /// `cpus`, `mem`, `disk` or `gpus`.
        resource: Text,
        /// In the resource's unit.
        wanted: Milli,
        /// In the resource's unit.
        offered: Milli,
    },
    /// This port is not offered.
    PortNotOffered(u16),
    /// Too few ports are offered.
    FewPorts {
        /// How many.
        wanted: usize,
        /// How many, the fixed ones included.
        offered: usize,
    },
}

/// Takes what the request needs from the offer.
///
/// Ports of free choice are taken one after the other from a place in the offer that `random` picks, so that a port just
/// given back is not handed out at once. Revocable, shared and persistent resources are never taken.
///
/// # Errors
/// [`WhyNot`] with every reason, not only the first.
pub fn fits(offer: &Offer, request: &Request, random: u64) -> Result<Placement, WhyNot> {
    let mut mismatches: Vec<Mismatch> =
        request.constraints.iter().filter_map(|constraint| violated(constraint, offer)).collect();
    let mut taken = Vec::new();
    let wanted =
        [("cpus", request.cpus), ("mem", request.mem), ("disk", request.disk), ("gpus", request.gpus)];
    for (name, wanted) in wanted {
        match take_scalar(offer, name, wanted) {
            Ok(parts) => taken.extend(parts),
            Err(mismatch) => mismatches.push(mismatch),
        }
    }
    let ports = match pick_ports(offer, &request.ports, random) {
        Ok(ports) => ports,
        Err(found) => {
            mismatches.extend(found);
            Vec::new()
        }
    };
    if !mismatches.is_empty() {
        return Err(WhyNot { mismatches });
    }
    taken.extend(port_resources(offer, &ports));
    match Resources::from_list(taken) {
        Ok(resources) => Ok(Placement { resources, ports }),
        // An offer whose parts do not add up was never a valid offer.
        Err(error) => Err(WhyNot {
            mismatches: vec![Mismatch::Constraint {
                wanted: "an offer whose parts add up".to_owned(),
                found: error.to_string(),
            }],
        }),
    }
}

fn violated(constraint: &Constraint, offer: &Offer) -> Option<Mismatch> {
    let list = |names: &BTreeSet<Text>| names.iter().map(|name| &**name).collect::<Vec<_>>().join(", ");
    let has = |name: &Text| offer.attribute(name);
    let (holds, wanted, found) = match constraint {
        Constraint::Has(name) => (has(name).is_some(), format!("attribute {name}"), None),
        Constraint::Attribute(name, values) => {
            let found = has(name);
            let holds = found.as_deref().is_some_and(|found| values.contains(found));
            (holds, format!("attribute {name} in {}", list(values)), found)
        }
        Constraint::NotAttribute(name, values) => {
            let found = has(name);
            let holds = found.as_deref().is_none_or(|found| !values.contains(found));
            (holds, format!("attribute {name} not in {}", list(values)), found)
        }
        Constraint::Hostname(names) => (
            names.contains(&offer.hostname),
            format!("host in {}", list(names)),
            Some(offer.hostname.to_string()),
        ),
        Constraint::NotHostname(names) => (
            !names.contains(&offer.hostname),
            format!("host not in {}", list(names)),
            Some(offer.hostname.to_string()),
        ),
        Constraint::NotAgent(agents) => {
            (!agents.contains(&offer.agent), "another agent".to_owned(), Some(offer.agent.to_string()))
        }
    };
    let found = found.unwrap_or_else(|| "no such attribute".to_owned());
    (!holds).then_some(Mismatch::Constraint { wanted, found })
}

/// What may be taken without further promises.
fn plain(resource: &Resource) -> bool {
    !resource.revocable && !resource.shared && resource.disk.is_none()
}

/// The usable entries of one name, those reserved for the role first.
fn entries<'a>(offer: &'a Offer, name: &'a str) -> Vec<&'a Resource> {
    let mut found: Vec<&Resource> =
        offer.resources.iter().filter(|resource| &*resource.name == name && plain(resource)).collect();
    found.sort_by_key(|resource| resource.reservations.is_empty());
    found
}

fn take_scalar(offer: &Offer, name: &str, wanted: Milli) -> Result<Vec<Resource>, Mismatch> {
    let mut missing = wanted.0;
    let mut taken = Vec::new();
    for entry in entries(offer, name) {
        let ResourceValue::Scalar(there) = &entry.value else { continue };
        let part = missing.min(there.0);
        if part > 0 {
            taken.push(Resource { value: ResourceValue::Scalar(Milli(part)), ..entry.clone() });
            missing -= part;
        }
    }
    if missing > 0 {
        return Err(Mismatch::Short { resource: name.into(), wanted, offered: Milli(wanted.0 - missing) });
    }
    Ok(taken)
}

/// The offered ports as ranges within what a port can be, in the order in which they are to be taken.
fn port_ranges(offer: &Offer) -> Vec<Range> {
    let usable = |range: Range| {
        let range = Range { begin: range.begin.max(1), end: range.end.min(u64::from(u16::MAX)) };
        (range.begin <= range.end).then_some(range)
    };
    entries(offer, "ports")
        .into_iter()
        .flat_map(|entry| match &entry.value {
            ResourceValue::Ranges(ranges) => ranges.iter().filter_map(usable).collect::<Vec<_>>(),
            ResourceValue::Scalar(_) | ResourceValue::Set(_) => Vec::new(),
        })
        .collect()
}

fn pick_ports(offer: &Offer, wishes: &[PortWish], random: u64) -> Result<Vec<u16>, Vec<Mismatch>> {
    let ranges = port_ranges(offer);
    let total: u64 = ranges.iter().map(|range| range.end - range.begin + 1).sum();
    let offered = |port: u16| ranges.iter().any(|range| (range.begin..=range.end).contains(&u64::from(port)));
    let fixed: BTreeSet<u16> = wishes
        .iter()
        .filter_map(|wish| match wish {
            PortWish::Exactly(port) => Some(*port),
            PortWish::Any => None,
        })
        .collect();
    let mut mismatches: Vec<Mismatch> =
        fixed.iter().filter(|port| !offered(**port)).map(|port| Mismatch::PortNotOffered(*port)).collect();
    if mismatches.is_empty() && (total < wishes.len() as u64) {
        let offered = usize::try_from(total).unwrap_or(usize::MAX);
        mismatches.push(Mismatch::FewPorts { wanted: wishes.len(), offered });
    }
    if !mismatches.is_empty() {
        return Err(mismatches);
    }
    let from = if total == 0 { 0 } else { random % total };
    let mut free = (from..total)
        .chain(0..from)
        .filter_map(|index| nth_port(&ranges, index))
        .filter(|p| !fixed.contains(p));
    let picked: Option<Vec<u16>> = wishes
        .iter()
        .map(|wish| match wish {
            PortWish::Exactly(port) => Some(*port),
            PortWish::Any => free.next(),
        })
        .collect();
    // The same fixed port wished for twice is one port short.
    let distinct = picked.as_ref().map_or(0, |ports| ports.iter().collect::<BTreeSet<_>>().len());
    picked
        .filter(|_| distinct == wishes.len())
        .ok_or_else(|| vec![Mismatch::FewPorts { wanted: wishes.len(), offered: distinct }])
}

fn nth_port(ranges: &[Range], index: u64) -> Option<u16> {
    let mut left = index;
    for range in ranges {
        let count = range.end - range.begin + 1;
        if left < count {
            return u16::try_from(range.begin + left).ok();
        }
        left -= count;
    }
    None
}

/// Each picked port out of the first entry that has it.
fn port_resources(offer: &Offer, ports: &[u16]) -> Vec<Resource> {
    let mut left: BTreeSet<u64> = ports.iter().map(|port| u64::from(*port)).collect();
    let mut taken = Vec::new();
    for entry in entries(offer, "ports") {
        let ResourceValue::Ranges(ranges) = &entry.value else { continue };
        let here: Vec<u64> = left
            .iter()
            .copied()
            .filter(|port| ranges.iter().any(|range| (range.begin..=range.end).contains(port)))
            .collect();
        if here.is_empty() {
            continue;
        }
        let value = Ranges::new(here.iter().map(|port| Range { begin: *port, end: *port }));
        taken.push(Resource { value: ResourceValue::Ranges(value), ..entry.clone() });
        left.retain(|port| !here.contains(port));
    }
    taken
}

impl fmt::Display for Mismatch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constraint { wanted, found } => write!(out, "needs {wanted}, found {found}"),
            Self::Short { resource, wanted, offered } => {
                write!(out, "needs {wanted} {resource}, offered {offered}")
            }
            Self::PortNotOffered(port) => write!(out, "port {port} is not offered"),
            Self::FewPorts { wanted, offered } => write!(out, "needs {wanted} ports, offered {offered}"),
        }
    }
}

impl fmt::Display for WhyNot {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mismatch) in self.mismatches.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(out, "{separator}{mismatch}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use chapada_model::{Attribute, AttributeValue, Reservation, ReservationKind, Role};
    use proptest::prelude::*;

    use super::*;

    fn offer(resources: Vec<Resource>) -> Offer {
        Offer {
            id: "o1".parse().unwrap(),
            agent: "a1".parse().unwrap(),
            hostname: "h1".into(),
            address: "10.0.0.1:5051".into(),
            role: Role::star(),
            resources: Resources::from_list(resources).unwrap().allocated_to(&Role::star()),
            attributes: vec![Attribute { name: "rack".into(), value: AttributeValue::Text("r1".into()) }],
            domain: None,
            executors: Vec::new(),
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
        request.constraints.push(Constraint::Attribute("rack".into(), ["r2".into()].into()));
        request.constraints.push(Constraint::Has("ssd".into()));
        let why = fits(&machine(), &request, 0).unwrap_err();
        assert_eq!(
            why.to_string(),
            "needs attribute rack in r2, found r1; needs attribute ssd, found no such attribute; \
             needs 8 cpus, offered 4; port 80 is not offered"
        );
        let why = fits(&machine(), &Request::default().any_ports(11), 0).unwrap_err();
        assert_eq!(why.to_string(), "needs 11 ports, offered 10");
        let twice = Request { ports: vec![PortWish::Exactly(31000); 2], ..Request::default() };
        assert_eq!(fits(&machine(), &twice, 0).unwrap_err().to_string(), "needs 2 ports, offered 1");
    }

    #[test]
    fn hosts_and_agents_can_be_kept_off() {
        for (constraint, fitting) in [
            (Constraint::Hostname(["h1".into()].into()), true),
            (Constraint::NotHostname(["h1".into()].into()), false),
            (Constraint::NotAgent(["a1".parse().unwrap()].into()), false),
            (Constraint::NotAttribute("rack".into(), ["r1".into()].into()), false),
            (Constraint::NotAttribute("ssd".into(), ["r1".into()].into()), true),
        ] {
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
