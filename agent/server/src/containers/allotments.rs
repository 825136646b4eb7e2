//! What a container gets for itself out of what the agent has few of: GPUs, a class for its packets.

use std::io;

use chapada_model::Resources;
use chapada_shim::ContainerSpec;

use super::Means;

/// Gives it to the container that this describes; it has it until it is removed.
pub(super) fn give(means: &Means, spec: &mut ContainerSpec, resources: &[Resources]) -> Result<(), NoneLeft> {
    let gpus = means.supplies.gpus.take(&spec.id, resources);
    spec.devices.extend(gpus.map_err(|source| NoneLeft { what: "GPUs", source })?);
    let class = means.supplies.network_classes.take(&spec.id);
    spec.resources.network_class = class.map_err(|source| NoneLeft { what: "a network class", source })?;
    Ok(())
}

/// The container cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot give it {what}: {source}")]
pub(super) struct NoneLeft {
    what: &'static str,
    source: io::Error,
}
