//! RESERVE: keeps resources for a role, on top of what they are kept for already. An operator may also say what
//! reservations they have, as `source`, and give them others in one step.

use chapada_model::{Conversion, FrameworkCapability, Resource, Resources};

use super::Ground;

pub(super) fn check(
    ground: &Ground<'_>,
    source: &Resources,
    resources: &Resources,
) -> Result<Conversion, String> {
    let converted = ground.plain("RESERVE", resources)?;
    if !source.is_empty() {
        return exchange(ground, source, converted);
    }
    let mut consumed = Resources::EMPTY;
    for resource in &converted {
        check_one(ground, resource)?;
        let outer = Resources::from_list([resource.unreserved_once()]).map_err(|error| error.to_string())?;
        consumed.add(&outer).map_err(|error| error.to_string())?;
    }
    Ok(Conversion { consumed, converted })
}

/// Reservations in place of others: of the same resources, and made at run time, the old as the new.
fn exchange(ground: &Ground<'_>, source: &Resources, converted: Resources) -> Result<Conversion, String> {
    if ground.role().is_some() {
        return Err(
            "'source' must not be set: a scheduler cannot change whom a reservation is for".to_owned()
        );
    }
    let consumed = ground.plain("RESERVE.source", source)?;
    for resource in &converted {
        check_one(ground, resource)?;
    }
    if let Some(volume) = consumed.iter().find(|resource| resource.is_volume()) {
        return Err(format!("Resource {volume} in 'source' is a persistent volume: destroy it first"));
    }
    let (before, after) = (configured(&consumed)?, configured(&converted)?);
    match before == after {
        true => Ok(Conversion { consumed, converted }),
        false => Err(format!(
            "'source' is {before} and 'resources' is {after} without their dynamic reservations: they must be the same"
        )),
    }
}

/// The resources without what operations have made of them.
fn configured(resources: &Resources) -> Result<Resources, String> {
    let configured = resources.iter().map(Resource::configured);
    Resources::from_list(configured).map_err(|error| error.to_string())
}

fn check_one(ground: &Ground<'_>, resource: &Resource) -> Result<(), String> {
    let Some(last) = resource.reservations.last().filter(|_| resource.is_dynamically_reserved()) else {
        return Err(format!("Resource {resource} must be dynamically reserved to be used in RESERVE"));
    };
    if last.role.is_star() {
        return Err(format!("Resource {resource} cannot be reserved for role '*'"));
    }
    if let Some(role) = ground.role().filter(|role| **role != last.role) {
        return Err(format!(
            "Resource {resource} is to be reserved for role '{}', but the offers are of role '{role}'",
            last.role
        ));
    }
    ground.check_principal(&format!("The reservation of {resource}"), last.principal.as_ref())?;
    if resource.revocable {
        return Err(format!("Resource {resource} is revocable and cannot be reserved"));
    }
    if resource.is_volume() {
        return Err(format!("Resource {resource} is a persistent volume and cannot be reserved"));
    }
    check_stack(ground, resource)
}

/// Each reservation lies within the one below it, and only frameworks that know stacks may make one.
fn check_stack(ground: &Ground<'_>, resource: &Resource) -> Result<(), String> {
    for pair in resource.reservations.windows(2) {
        let [outer, inner] = pair else { continue };
        if inner.role == outer.role || !inner.role.is_within(&outer.role) {
            return Err(format!(
                "Resource {resource} refines the reservation for '{}' by '{}', which is not below it",
                outer.role, inner.role
            ));
        }
    }
    let knows = ground.can(FrameworkCapability::ReservationRefinement);
    match resource.reservations.len() < 2 || knows {
        true => Ok(()),
        false => Err(format!(
            "Resource {resource} has refined reservations, for which the framework needs the capability RESERVATION_REFINEMENT"
        )),
    }
}
