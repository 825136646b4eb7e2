//! Containers: their volumes, and whose cgroups they are in.

use chapada_wire::v1;

pub(super) fn check(field: &str, container: &v1::ContainerInfo) -> Result<(), String> {
    for (index, volume) in container.volumes.iter().enumerate() {
        let place = format!("{field}.volumes[{index}]");
        if volume.container_path.as_deref().unwrap_or_default().is_empty() {
            return Err(format!("'{place}.container_path' must not be empty"));
        }
        let sources =
            [volume.host_path.is_some(), volume.image.is_some(), volume.source.is_some()].into_iter();
        if sources.filter(|said| *said).count() > 1 {
            return Err(format!("'{place}' must set only one of 'host_path', 'image' and 'source'"));
        }
    }
    Ok(())
}

/// What is said about the sharing of cgroups with the executor; nothing when nothing is.
pub(super) fn shares_cgroups(container: Option<&v1::ContainerInfo>) -> Option<bool> {
    container?.linux_info.as_ref()?.share_cgroups
}

pub(super) fn is_docker(container: Option<&v1::ContainerInfo>) -> bool {
    let docker = v1::container_info::Type::Docker as i32;
    container.is_some_and(|container| container.r#type == Some(docker))
}

pub(super) fn has_own_network(container: Option<&v1::ContainerInfo>) -> bool {
    container.is_some_and(|container| !container.network_infos.is_empty())
}
