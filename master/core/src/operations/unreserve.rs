//! UNRESERVE: undoes the last reservation of offered resources.

use chapada_model::{Conversion, Resources};

use super::Ground;

pub(super) fn check(ground: &Ground<'_>, resources: &Resources) -> Result<Conversion, String> {
    let consumed = ground.plain("UNRESERVE", resources)?;
    let mut converted = Resources::EMPTY;
    for resource in &consumed {
        if !resource.is_dynamically_reserved() {
            return Err(format!(
                "Resource {resource} is not dynamically reserved, so it cannot be unreserved"
            ));
        }
        if resource.is_volume() {
            return Err(format!(
                "Resource {resource} is a persistent volume: destroy it first, then unreserve the disk"
            ));
        }
        let outer = Resources::from_list([resource.unreserved_once()]).map_err(|error| error.to_string())?;
        converted.add(&outer).map_err(|error| error.to_string())?;
    }
    Ok(Conversion { consumed, converted })
}
