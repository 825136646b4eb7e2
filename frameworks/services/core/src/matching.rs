//! Whether an instance fits an offer, and if not, why: one reason per (app, offer), in the order of Marathon's funnel.

use std::collections::BTreeMap;

use chapada_model::{AgentId, Milli, OfferId, Range, Ranges, Resource, ResourceValue, Resources};
use serde::Serialize;

use crate::constraint::Place;
use crate::definition::AppDefinition;

/// What the master offers of one agent.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// Names it; answered once.
    pub id: OfferId,
    /// Whose resources.
    pub agent: AgentId,
    /// The agent's host name.
    pub hostname: String,
    /// What may be used.
    pub resources: Resources,
    /// The agent's attributes, as texts.
    pub attributes: BTreeMap<String, String>,
}

impl Place for Offer {
    fn value_of(&self, field: &str) -> Option<String> {
        match field {
            "hostname" | "@hostname" => Some(self.hostname.clone()),
            _ => self.attributes.get(field).cloned(),
        }
    }
}

/// Why an offer was not used for an app, in the order in which it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum WhyNot {
    /// Everything in it is reserved for a role the app does not accept.
    UnfulfilledRole,
    /// A placement rule forbids the agent.
    UnfulfilledConstraint,
    /// Too few CPUs.
    InsufficientCpus,
    /// Too little memory.
    InsufficientMemory,
    /// Too little disk.
    InsufficientDisk,
    /// The ports it requires, or enough ports, are not there.
    InsufficientPorts,
}

impl WhyNot {
    /// Every reason, in the order in which it is looked at.
    pub const ALL: [Self; 6] = [
        Self::UnfulfilledRole,
        Self::UnfulfilledConstraint,
        Self::InsufficientCpus,
        Self::InsufficientMemory,
        Self::InsufficientDisk,
        Self::InsufficientPorts,
    ];
}

/// What an instance takes out of an offer.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// The resources, with the reservations they come from.
    pub resources: Resources,
    /// The host ports among them, in the order of the definition.
    pub ports: Vec<u16>,
}

/// Takes what one instance of `app` needs out of what is `left` of `offer`. `taken` is where its other instances are;
/// `draw` moves the first port, so that instances do not all meet on the same ones.
///
/// # Errors
/// The first reason why it does not fit.
pub fn fit(
    app: &AppDefinition,
    offer: &Offer,
    left: &Resources,
    taken: &[&dyn Place],
    draw: u64,
) -> Result<Share, WhyNot> {
    let usable = left.filter(|resource| is_usable(resource, app));
    if usable.is_empty() {
        return Err(WhyNot::UnfulfilledRole);
    }
    if !app.constraints.iter().all(|constraint| constraint.allows(offer, taken)) {
        return Err(WhyNot::UnfulfilledConstraint);
    }
    let mut share = Vec::new();
    for (name, amount, why) in [
        ("cpus", app.cpus, WhyNot::InsufficientCpus),
        ("mem", app.mem, WhyNot::InsufficientMemory),
        ("disk", app.disk, WhyNot::InsufficientDisk),
    ] {
        share.extend(take_amount(&usable, name, amount).ok_or(why)?);
    }
    let ports = choose_ports(app, &usable, draw).ok_or(WhyNot::InsufficientPorts)?;
    share.extend(take_ports(&usable, &ports));
    let resources = Resources::from_list(share).map_err(|_| WhyNot::UnfulfilledRole)?;
    Ok(Share { resources, ports })
}

/// Reserved resources need a role the app accepts; volumes, shared and revocable ones are never taken.
fn is_usable(resource: &Resource, app: &AppDefinition) -> bool {
    let accepted = |role: &str| match app.accepted_resource_roles.as_slice() {
        [] => true,
        roles => roles.iter().any(|accepted| accepted == role),
    };
    let role = resource.reserved_role().map_or("*", |role| role.as_str());
    resource.disk.is_none() && !resource.shared && !resource.revocable && accepted(role)
}

/// Reserved resources first: unreserved ones may serve others too.
fn by_preference<'a>(usable: &'a Resources, name: &str) -> Vec<&'a Resource> {
    let mut found: Vec<&Resource> = usable.iter().filter(|resource| &*resource.name == name).collect();
    found.sort_by_key(|resource| resource.reservations.is_empty());
    found
}

fn take_amount(usable: &Resources, name: &str, mut amount: Milli) -> Option<Vec<Resource>> {
    let mut share = Vec::new();
    for resource in by_preference(usable, name) {
        let ResourceValue::Scalar(there) = resource.value else { continue };
        let part = there.min(amount);
        if !part.is_zero() {
            share.push(Resource { value: ResourceValue::Scalar(part), ..resource.clone() });
            amount = amount.checked_sub(part)?;
        }
    }
    amount.is_zero().then_some(share)
}

/// The host ports for one instance: with `requirePorts` the very ones of the definition, else any, in a row if possible.
fn choose_ports(app: &AppDefinition, usable: &Resources, draw: u64) -> Option<Vec<u16>> {
    let offered =
        Ranges::new(by_preference(usable, "ports").into_iter().flat_map(|resource| match &resource.value {
            ResourceValue::Ranges(ranges) => ranges.iter().collect::<Vec<_>>(),
            ResourceValue::Scalar(_) | ResourceValue::Set(_) => Vec::new(),
        }));
    let wanted = &app.port_definitions;
    let fixed: Vec<u16> = match app.require_ports {
        true => wanted.iter().map(|port| port.port).filter(|port| *port != 0).collect(),
        false => Vec::new(),
    };
    let single = |port: u16| Range { begin: u64::from(port), end: u64::from(port) };
    let rest = offered.checked_sub(&Ranges::new(fixed.iter().copied().map(single)))?;
    let mut any = pick(&rest, wanted.len() - fixed.len(), draw)?.into_iter();
    wanted
        .iter()
        .map(|port| if app.require_ports && port.port != 0 { Some(port.port) } else { any.next() })
        .collect()
}

/// `count` numbers, from a start that `draw` moves on, going round at the end.
fn pick(offered: &Ranges, count: usize, draw: u64) -> Option<Vec<u16>> {
    let total = offered.count();
    if total < count as u64 {
        return None;
    }
    if count == 0 {
        return Some(Vec::new());
    }
    let mut skip = draw % total;
    let mut start = None;
    for range in offered.iter() {
        let length = range.end - range.begin + 1;
        if skip < length {
            start = Some(range.begin + skip);
            break;
        }
        skip -= length;
    }
    let start = start?;
    let from_start = offered
        .iter()
        .filter(|range| range.end >= start)
        .flat_map(|range| range.begin.max(start)..=range.end);
    let before = offered
        .iter()
        .filter(|range| range.begin < start)
        .flat_map(|range| range.begin..=range.end.min(start - 1));
    from_start.chain(before).take(count).map(|port| u16::try_from(port).ok()).collect()
}

fn take_ports(usable: &Resources, ports: &[u16]) -> Vec<Resource> {
    let mut share = Vec::new();
    let mut open: Vec<u64> = ports.iter().copied().map(u64::from).collect();
    for resource in by_preference(usable, "ports") {
        let ResourceValue::Ranges(ranges) = &resource.value else { continue };
        let (here, elsewhere): (Vec<u64>, Vec<u64>) = open
            .iter()
            .partition(|port| ranges.iter().any(|range| (range.begin..=range.end).contains(*port)));
        open = elsewhere;
        if !here.is_empty() {
            let taken = Ranges::new(here.into_iter().map(|port| Range { begin: port, end: port }));
            share.push(Resource { value: ResourceValue::Ranges(taken), ..resource.clone() });
        }
    }
    share
}

#[cfg(test)]
mod tests {
    use chapada_model::{Reservation, Role};
    use serde_json::{Value, json};

    use super::*;

    fn app(more: Value) -> AppDefinition {
        let mut json = json!({"id": "/a", "cmd": "true", "cpus": 1, "mem": 64});
        json.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        AppDefinition::from_json(json.as_object().unwrap(), "*").unwrap()
    }

    fn offer(list: Vec<Resource>) -> Offer {
        Offer {
            id: "o".parse().unwrap(),
            agent: "a".parse().unwrap(),
            hostname: "host".to_owned(),
            resources: Resources::from_list(list).unwrap(),
            attributes: BTreeMap::new(),
        }
    }

    fn plain(cpus: u64, mem: u64, ports: &[(u64, u64)]) -> Offer {
        let ranges = Ranges::new(ports.iter().map(|(begin, end)| Range { begin: *begin, end: *end }));
        offer(vec![
            Resource::scalar("cpus", Milli::whole(cpus)),
            Resource::scalar("mem", Milli::whole(mem)),
            Resource::ranges("ports", ranges),
        ])
    }

    fn tried(app: &AppDefinition, offer: &Offer, draw: u64) -> Result<Vec<u16>, WhyNot> {
        fit(app, offer, &offer.resources, &[], draw).map(|share| {
            assert!(offer.resources.contains(&share.resources), "took what is not there");
            share.ports
        })
    }

    #[test]
    fn says_the_first_thing_that_is_missing() {
        for (offer, why) in [
            (offer(vec![]), WhyNot::UnfulfilledRole),
            (plain(0, 64, &[(1, 2)]), WhyNot::InsufficientCpus),
            (plain(1, 63, &[(1, 2)]), WhyNot::InsufficientMemory),
            (plain(1, 64, &[]), WhyNot::InsufficientPorts),
        ] {
            assert_eq!(tried(&app(json!({})), &offer, 0), Err(why));
        }
        let unique = app(json!({"constraints": [["hostname", "UNIQUE"]]}));
        let offer = plain(4, 512, &[(1, 2)]);
        assert_eq!(fit(&unique, &offer, &offer.resources, &[&offer], 0), Err(WhyNot::UnfulfilledConstraint));
    }

    #[test]
    fn takes_ports_in_a_row_from_a_drawn_start() {
        let two = app(json!({"ports": [0, 0]}));
        let offer = plain(1, 64, &[(100, 102), (200, 200)]);
        for (draw, ports) in [(0, [100, 101]), (2, [102, 200]), (3, [200, 100]), (4, [100, 101])] {
            assert_eq!(tried(&two, &offer, draw), Ok(ports.to_vec()));
        }
    }

    #[test]
    fn required_ports_are_the_very_numbers() {
        let fixed = app(json!({"ports": [0, 101], "requirePorts": true}));
        assert_eq!(tried(&fixed, &plain(1, 64, &[(100, 102)]), 0), Ok(vec![100, 101]));
        assert_eq!(tried(&fixed, &plain(1, 64, &[(100, 100)]), 0), Err(WhyNot::InsufficientPorts));
        assert_eq!(tried(&app(json!({"ports": [101]})), &plain(1, 64, &[(100, 100)]), 0), Ok(vec![100]));
    }

    #[test]
    fn reserved_resources_go_first_and_only_if_accepted() {
        let reserved = Resource {
            reservations: vec![Reservation::fixed(Role::new("web").unwrap())],
            ..Resource::scalar("cpus", Milli(600))
        };
        let offer = offer(vec![
            Resource::scalar("cpus", Milli(600)),
            reserved,
            Resource::scalar("mem", Milli::whole(64)),
        ]);
        let share = fit(&app(json!({"ports": []})), &offer, &offer.resources, &[], 0).unwrap();
        assert_eq!(share.resources.cpus(), Milli(1_000));
        let left = offer.resources.checked_sub(&share.resources).unwrap();
        assert!(
            left.iter().all(|resource| resource.reservations.is_empty()),
            "the reserved part was left over"
        );
        let only_star = app(json!({"ports": [], "acceptedResourceRoles": ["*"]}));
        assert_eq!(tried(&only_star, &offer, 0), Err(WhyNot::InsufficientCpus));
    }
}
