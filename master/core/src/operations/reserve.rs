//! RESERVE: keeps offered resources for a role, on top of what they are kept for already.

use chapada_model::{Conversion, FrameworkCapability, Resource, Resources};

use super::Ground;

pub(super) fn check(ground: &Ground<'_>, resources: &Resources) -> Result<Conversion, String> {
    let converted = ground.plain("RESERVE", resources)?;
    let mut consumed = Resources::EMPTY;
    for resource in &converted {
        check_one(ground, resource)?;
        let outer = Resources::from_list([resource.unreserved_once()]).map_err(|error| error.to_string())?;
        consumed.add(&outer).map_err(|error| error.to_string())?;
    }
    ground.check_offered("RESERVE", &consumed)?;
    Ok(Conversion { consumed, converted })
}

fn check_one(ground: &Ground<'_>, resource: &Resource) -> Result<(), String> {
    let Some(last) = resource.reservations.last().filter(|_| resource.is_dynamically_reserved()) else {
        return Err(format!("Resource {resource} must be dynamically reserved to be used in RESERVE"));
    };
    if last.role.is_star() {
        return Err(format!("Resource {resource} cannot be reserved for role '*'"));
    }
    if last.role != *ground.role {
        return Err(format!(
            "Resource {resource} is to be reserved for role '{}', but the offers are of role '{}'",
            last.role, ground.role
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
    let knows = ground.framework.can(FrameworkCapability::ReservationRefinement);
    match resource.reservations.len() < 2 || knows {
        true => Ok(()),
        false => Err(format!(
            "Resource {resource} has refined reservations, for which the framework needs the capability RESERVATION_REFINEMENT"
        )),
    }
}
