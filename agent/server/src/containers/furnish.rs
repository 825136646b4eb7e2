//! What every container is given, whoever launches it: what was made for it before, ids of its own, its bounds.

use std::path::PathBuf;

use chapada_images::RootFs;
use chapada_shim::ContainerSpec;
use chapada_wire::v1;

use super::Means;
use super::confinement::Confinement;
use super::image::Rooted;
use super::start::StartError;
use super::volumes::{self, Shared};
use crate::fetch;
use crate::networks::Joined;

/// What was made for a container before it.
#[derive(Debug, Default)]
pub(super) struct Made {
    /// The root of one with an image.
    pub(super) rooted: Option<Box<Rooted>>,
    /// The images among its volumes.
    pub(super) volumes: Vec<RootFs>,
    pub(super) joined: Option<Joined>,
}

/// What its description says of it beyond its spec.
pub(super) struct Furnishing<'a> {
    pub(super) command: &'a v1::CommandInfo,
    pub(super) confinement: Confinement,
    pub(super) shared: &'a Shared,
    /// The pod that it shares ids with.
    pub(super) group: Option<&'a str>,
    /// Its lowest port below 1024 of the machine's network, if it has one.
    pub(super) port: Option<u64>,
}

/// Gives it that. What its launcher should know of it; empty when there is nothing to say.
pub(super) fn furnish(
    means: &Means,
    spec: &mut ContainerSpec,
    asked: Furnishing<'_>,
    made: Made,
) -> Result<String, StartError> {
    let policy = &means.supplies.policy;
    let Furnishing { command, mut confinement, shared, group, port } = asked;
    if let Some(rooted) = made.rooted {
        rooted.dress(spec, command).map_err(StartError::Image)?;
        spec.furnished_by = (!command.uris.is_empty()).then_some(fetch::NOBODY);
    }
    if let Some(joined) = made.joined {
        joined.give(means, spec).map_err(StartError::Names)?;
    }
    let note = match confinement.exception(port, policy) {
        Some(why) => format!("its root is the machine's, without a user namespace: {why}"),
        None => String::new(),
    };
    if note.is_empty() && spec.root.is_some() {
        let ids = means.supplies.ids.allocate(&spec.id, group);
        spec.user_namespace = Some(ids.map_err(StartError::Ids)?);
    }
    spec.logs = Some(means.settings.logs);
    confinement.apply(spec, policy).map_err(StartError::Filter)?;
    let mounts = std::mem::take(&mut confinement.mounts);
    volumes::add(spec, mounts, shared, made.volumes).map_err(StartError::Volume)?;
    spec.network_mounts = Some(means.supplies.networks.namespaces().to_owned());
    spec.hidden_paths = hidden_paths(means);
    Ok(note)
}

/// What of the agent's own no container sees.
fn hidden_paths(means: &Means) -> Vec<PathBuf> {
    let images = means.supplies.images.directory();
    let mut hidden = vec![means.layout.work_dir().to_owned(), images.to_owned()];
    hidden.extend(means.supplies.volumes.hidden());
    hidden.extend(means.supplies.socket.iter().map(|socket| socket.directory().to_owned()));
    if !means.runtime_dir.starts_with(means.layout.work_dir()) {
        hidden.push(means.runtime_dir.clone());
    }
    hidden
}
