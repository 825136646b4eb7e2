//! The container of a task.

use chapada_sdk::wire;
use chapada_services_core::{
    ContainerKind, LaunchContainer, LaunchImage, LaunchSource, LaunchVolume, LinuxInfo,
};
use wire::container_info::{DockerInfo, MesosInfo, Type};
use wire::volume::source::{self, HostPath, SandboxPath};
use wire::volume::{Mode, Source};

use super::network;
use crate::secrets::{SecretLost, Secrets};

/// The container, with the values of the secrets that show in it.
pub(crate) async fn container_info(
    container: LaunchContainer,
    secrets: &Secrets,
) -> Result<wire::ContainerInfo, SecretLost> {
    let LaunchContainer { kind, image, volumes, networks, linux, tty } = container;
    let mut info = wire::ContainerInfo {
        linux_info: linux.map(linux_info),
        tty_info: tty.then(wire::TtyInfo::default),
        ..wire::ContainerInfo::default()
    };
    for volume in volumes {
        info.volumes.push(self::volume(volume, secrets).await?);
    }
    match (kind, image) {
        (ContainerKind::Docker, Some(image)) => {
            let mut docker = docker_info(image);
            info.set_type(Type::Docker);
            info.network_infos = network::of_docker(&mut docker, networks);
            info.docker = Some(docker);
        }
        (ContainerKind::Mesos | ContainerKind::Docker, image) => {
            info.set_type(Type::Mesos);
            info.network_infos = network::infos(networks);
            info.mesos = image.map(|image| MesosInfo { image: Some(self::image(image)) });
        }
    }
    Ok(info)
}

fn docker_info(image: LaunchImage) -> DockerInfo {
    let parameter = |parameter: chapada_services_core::Parameter| wire::Parameter {
        key: Some(parameter.key),
        value: Some(parameter.value),
    };
    DockerInfo {
        image: Some(image.name),
        force_pull_image: Some(image.force_pull),
        privileged: Some(image.privileged),
        parameters: image.parameters.into_iter().map(parameter).collect(),
        ..DockerInfo::default()
    }
}

fn image(image: LaunchImage) -> wire::Image {
    let mut info = wire::Image {
        docker: Some(wire::image::Docker { name: Some(image.name), ..wire::image::Docker::default() }),
        cached: Some(!image.force_pull),
        ..wire::Image::default()
    };
    info.set_type(wire::image::Type::Docker);
    info
}

fn linux_info(linux: LinuxInfo) -> wire::LinuxInfo {
    let mut info = wire::LinuxInfo::default();
    if let Some(seccomp) = linux.seccomp {
        let unconfined = Some(seccomp.unconfined).filter(|unconfined| *unconfined);
        info.seccomp = Some(wire::SeccompInfo { profile_name: seccomp.profile_name, unconfined });
    }
    if let Some(ipc) = linux.ipc_info {
        info.set_ipc_mode(wire::linux_info::IpcMode::Private);
        info.shm_size = ipc.shm_size;
    }
    info
}

/// A volume, with its value if it is a secret.
pub(crate) async fn volume(volume: LaunchVolume, secrets: &Secrets) -> Result<wire::Volume, SecretLost> {
    let mut info = wire::Volume { container_path: Some(volume.container_path), ..wire::Volume::default() };
    info.set_mode(if volume.read_only { Mode::Ro } else { Mode::Rw });
    let mut source = Source::default();
    match volume.source {
        LaunchSource::Host(path) => {
            source.set_type(source::Type::HostPath);
            source.host_path = Some(HostPath { path: Some(path), ..HostPath::default() });
        }
        LaunchSource::Sandbox(path) => sandbox(&mut source, source::sandbox_path::Type::Self_, path),
        LaunchSource::Parent(path) => sandbox(&mut source, source::sandbox_path::Type::Parent, path),
        LaunchSource::Secret(kept) => {
            source.set_type(source::Type::Secret);
            source.secret = Some(secrets.value(&kept).await?);
        }
    }
    info.source = Some(source);
    Ok(info)
}

fn sandbox(source: &mut Source, whose: source::sandbox_path::Type, path: String) {
    let mut sandbox = SandboxPath { path: Some(path), ..SandboxPath::default() };
    sandbox.set_type(whose);
    source.set_type(source::Type::SandboxPath);
    source.sandbox_path = Some(sandbox);
}
