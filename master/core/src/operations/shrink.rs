//! SHRINK_VOLUME: makes a persistent volume smaller; what it gives up is plain reserved disk again.

use chapada_model::{Conversion, Milli, Resource, ResourceValue};

use super::Ground;
use super::grow::{check_resizable, list, one};

pub(super) fn check(ground: &Ground<'_>, volume: &Resource, less: Milli) -> Result<Conversion, String> {
    let volume = one(ground, "SHRINK_VOLUME.volume", volume)?;
    check_resizable("SHRINK_VOLUME", &volume)?;
    let ResourceValue::Scalar(size) = volume.value else {
        return Err("SHRINK_VOLUME.volume must be an amount of disk".to_owned());
    };
    if less.is_zero() {
        return Err("SHRINK_VOLUME.subtract must be more than nothing".to_owned());
    }
    let left = size.checked_sub(less).filter(|left| !left.is_zero());
    let left = left.ok_or_else(|| {
        format!(
            "SHRINK_VOLUME.subtract {less} must be less than the volume's size {size}; use DESTROY to end it"
        )
    })?;
    let shrunk = Resource { value: ResourceValue::Scalar(left), ..volume.clone() };
    let freed = Resource { value: ResourceValue::Scalar(less), ..volume.without_volume() };
    let consumed = list([volume])?;
    Ok(Conversion { consumed, converted: list([shrunk, freed])? })
}
