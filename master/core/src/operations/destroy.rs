//! DESTROY: ends persistent volumes, with all that is in them.

use chapada_model::{Conversion, Resources};

use super::Ground;

pub(super) fn check(ground: &Ground<'_>, volumes: &Resources) -> Result<Conversion, String> {
    let consumed = ground.plain("DESTROY", volumes)?;
    let mut converted = Resources::EMPTY;
    let used = ground.agent.used.unallocated();
    for volume in &consumed {
        if !volume.is_volume() {
            return Err(format!("Resource {volume} is not a persistent volume, so it cannot be destroyed"));
        }
        let one = Resources::from_list([volume.clone()]).map_err(|error| error.to_string())?;
        if used.contains(&one) {
            return Err(format!("Persistent volume {volume} is in use"));
        }
        let plain = Resources::from_list([volume.without_volume()]).map_err(|error| error.to_string())?;
        converted.add(&plain).map_err(|error| error.to_string())?;
    }
    Ok(Conversion { consumed, converted })
}
