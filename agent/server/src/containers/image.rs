//! A container with an image: what of its description is about that, and what becomes of the container by it.

use std::fs::File;
use std::io::Read;

use chapada_agent_core::{ExecutorRecord, LaunchRefusal};
use chapada_images::{Freshness, ImageConfig, Reference, RootFs, Rules, environment_of, process};
use chapada_shim::{Command, ContainerSpec, Names, RootFileSystem, RootSource};
use chapada_wire::v1;
use chapada_wire::v1::container_info::DockerInfo;
use prost::Message;

use super::Means;
use super::description::{refusal, text, unsupported};
use super::parameters::Parameters;
use super::start::{Order, What};
use crate::images::root_of_volume;

/// Where a container with an image has its sandbox. Source: Mesos' `--sandbox_directory`.
const SANDBOX: &str = "/mnt/mesos/sandbox";
/// Whose credentials count.
const BY_OPERATOR: &str = "let an operator give the agent credentials by --docker-config";
/// More than any real `/etc/hosts`.
const MAX_NAMES: u64 = 256 << 10;

/// The image that a container is to have.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ImageWish {
    reference: Reference,
    freshness: Freshness,
    rules: Rules,
    /// All capabilities and system calls, if an operator allows that.
    pub(super) privileged: bool,
    pub(super) parameters: Parameters,
}

/// A root that has been made.
#[derive(Debug)]
pub(super) struct Rooted {
    wish: ImageWish,
    config: ImageConfig,
    root: RootFs,
}

/// The image that a description asks for, if any; `field` is where it stands.
///
/// # Errors
/// Names the first field that this agent cannot honour.
pub(super) fn image_of(
    field: &str,
    container: &v1::ContainerInfo,
) -> Result<Option<ImageWish>, LaunchRefusal> {
    let is_docker = container.r#type == Some(v1::container_info::Type::Docker as i32);
    match (&container.docker, container.mesos.as_ref().and_then(|mesos| mesos.image.as_ref())) {
        (Some(_), Some(_)) => Err(refusal(format!("{field} has both docker and mesos.image"))),
        (Some(docker), None) if is_docker => of_docker(&format!("{field}.docker"), docker).map(Some),
        (Some(_), None) => Err(refusal(format!("{field}.docker needs {field}.type DOCKER"))),
        (None, _) if is_docker => {
            Err(refusal(format!("{field}.docker is required with {field}.type DOCKER")))
        }
        (None, Some(image)) => of_image(&format!("{field}.mesos.image"), image).map(Some),
        (None, None) => Ok(None),
    }
}

fn of_docker(field: &str, docker: &DockerInfo) -> Result<ImageWish, LaunchRefusal> {
    let named = |name: &str| format!("{field}.{name}");
    if docker.volume_driver.is_some() {
        return Err(unsupported(&named("volume_driver"), "use the sandbox or a persistent volume"));
    }
    Ok(ImageWish {
        reference: reference(&named("image"), text(&docker.image))?,
        freshness: if docker.force_pull_image() { Freshness::Now } else { Freshness::Known },
        rules: Rules::Docker,
        privileged: docker.privileged(),
        parameters: Parameters::of(&named("parameters"), &docker.parameters)?,
    })
}

/// An image by itself.
///
/// # Errors
/// Names the first field that this agent cannot honour.
pub(super) fn of_image(field: &str, image: &v1::Image) -> Result<ImageWish, LaunchRefusal> {
    let named = |name: &str| format!("{field}.{name}");
    if image.r#type != Some(v1::image::Type::Docker as i32) {
        return Err(unsupported(&named("type APPC"), "name an image of type DOCKER, which is OCI's too"));
    }
    let docker = image.docker.as_ref().ok_or_else(|| refusal(format!("{} is required", named("docker"))))?;
    if docker.credential.is_some() {
        return Err(unsupported(&named("docker.credential"), BY_OPERATOR));
    }
    // It would be written down with the task.
    if docker.config.is_some() {
        return Err(unsupported(&named("docker.config"), BY_OPERATOR));
    }
    Ok(ImageWish {
        reference: reference(&named("docker.name"), text(&docker.name))?,
        freshness: if image.cached() { Freshness::Known } else { Freshness::Now },
        rules: Rules::Mesos,
        privileged: false,
        parameters: Parameters::default(),
    })
}

fn reference(field: &str, name: &str) -> Result<Reference, LaunchRefusal> {
    name.parse().map_err(|error| refusal(format!("{field}: {error}")))
}

/// Gets the image of an order's container and makes a root of it; `None` for a container with the host's files. Dropping the
/// future ends it at once.
///
/// # Errors
/// Says why in one line, for the framework's author.
pub(super) async fn root_of(means: &Means, order: &Order) -> Result<Option<Box<Rooted>>, String> {
    root_for(means, container_of(order).as_ref(), order.container().as_str()).await
}

/// The same of this description, for a container of this name.
///
/// # Errors
/// Says why in one line, for its author.
pub(super) async fn root_for(
    means: &Means,
    container: Option<&v1::ContainerInfo>,
    name: &str,
) -> Result<Option<Box<Rooted>>, String> {
    let Some(container) = container else { return Ok(None) };
    let wish = image_of("container", container).map_err(|refusal| refusal.message)?;
    let Some(wish) = wish else { return Ok(None) };
    let (config, root) = prepared(means, &wish, name).await?;
    Ok(Some(Box::new(Rooted { config, root, wish })))
}

/// Gets the images of an order's volumes, in order. Dropping the future ends it at once.
///
/// # Errors
/// Says why in one line, for the framework's author.
pub(super) async fn volumes_of(means: &Means, order: &Order) -> Result<Vec<RootFs>, String> {
    volumes_for(means, container_of(order).as_ref(), order.container().as_str()).await
}

/// The same of this description, for a container of this name.
///
/// # Errors
/// Says why in one line, for its author.
pub(super) async fn volumes_for(
    means: &Means,
    container: Option<&v1::ContainerInfo>,
    name: &str,
) -> Result<Vec<RootFs>, String> {
    let mut made = Vec::new();
    let volumes = container.into_iter().flat_map(|container| &container.volumes);
    for image in volumes.filter_map(|volume| volume.image.as_ref()) {
        let wish = of_image("container.volumes.image", image).map_err(|refusal| refusal.message)?;
        let name = root_of_volume(name, made.len());
        made.push(prepared(means, &wish, &name).await?.1);
    }
    Ok(made)
}

async fn prepared(means: &Means, wish: &ImageWish, name: &str) -> Result<(ImageConfig, RootFs), String> {
    let said = |error: &chapada_images::ImageError| format!("image {}: {}", wish.reference, error.chain());
    let images = means.supplies.images.get().await.map_err(|error| said(&error))?;
    let pulled = images.pull(&wish.reference, wish.freshness, None).await;
    let image = pulled.map_err(|error| said(&error))?;
    let root = images.prepare(&image, name).await.map_err(|error| said(&error))?;
    Ok((image.config().clone(), root))
}

/// What the container of an order is to be; a task of a pod without an image of its own has its executor's.
pub(super) fn container_of(order: &Order) -> Option<v1::ContainerInfo> {
    let executor = |record: &ExecutorRecord| v1::ExecutorInfo::decode(record.info.as_bytes()).ok();
    match &order.what {
        What::Task { task, pod } => {
            let info = v1::TaskInfo::decode(task.info.as_bytes()).ok()?;
            match pod.as_deref().and_then(executor) {
                Some(executor) => member_container(&executor, &info),
                None => info.container,
            }
        }
        What::Executor { executor: record, .. } => executor(record)?.container,
    }
}

/// The container of a task of a pod: its own, with the image of its executor when it names none.
pub(super) fn member_container(
    executor: &v1::ExecutorInfo,
    info: &v1::TaskInfo,
) -> Option<v1::ContainerInfo> {
    let has_image = |container: &v1::ContainerInfo| {
        container.docker.is_some() || container.mesos.as_ref().is_some_and(|mesos| mesos.image.is_some())
    };
    let own = info.container.clone();
    let Some(above) = executor.container.as_ref().filter(|above| has_image(above)) else { return own };
    if own.as_ref().is_some_and(has_image) {
        return own;
    }
    let docker = above.docker.clone().map(|docker| DockerInfo {
        port_mappings: Vec::new(),
        privileged: None,
        parameters: Vec::new(),
        ..docker
    });
    let own = own.unwrap_or_default();
    Some(v1::ContainerInfo { r#type: above.r#type, docker, mesos: above.mesos.clone(), ..own })
}

impl Rooted {
    /// Gives a container its image: the root, and with it what is run, where, as whom, with which environment.
    ///
    /// # Errors
    /// Says why in one line, for the framework's author.
    pub(super) fn dress(self, spec: &mut ContainerSpec, command: &v1::CommandInfo) -> Result<(), String> {
        let Self { wish, config, root } = self;
        let mut environment = wish.parameters.environment;
        environment.append(&mut spec.environment);
        let environment = within(command, environment);
        let user = [&command.user, &wish.parameters.user].into_iter().map(text).find(|user| !user.is_empty());
        let wishes = chapada_images::Wishes {
            rules: wish.rules,
            shell: command.shell(),
            value: command.value.clone(),
            arguments: command.arguments.clone(),
            environment,
            user: user.map(str::to_owned),
            sandbox: SANDBOX.to_owned(),
        };
        let found =
            process(&config, &wishes).map_err(|error| format!("image {}: {error}", wish.reference))?;
        spec.command = Command::Program { file: found.program, argv: found.argv };
        spec.environment = found.environment;
        spec.user = found.user;
        spec.working_directory = Some(wish.parameters.directory.unwrap_or(found.directory).into());
        let source = match root {
            RootFs::Overlay { lower, upper, work } => RootSource::Overlay { lower, upper, work },
            RootFs::Directory(directory) => RootSource::Directory(directory),
        };
        spec.hostname = spec.hostname.take().or(wish.parameters.hostname);
        let names = names(spec);
        spec.root = Some(RootFileSystem { names, sandbox: SANDBOX.into(), ..RootFileSystem::new(source) });
        Ok(())
    }
}

/// The environment of a task as it is within an image, without what the image says. `command` is the task's.
fn within(command: &v1::CommandInfo, mut environment: Vec<(String, String)>) -> Vec<(String, String)> {
    let own_path = command.environment.iter().flat_map(|environment| &environment.variables);
    let own_path = own_path.into_iter().any(|variable| text(&variable.name) == "PATH");
    // What a shell starts in is the shell's to say, and what programs are found by is the image's.
    environment.retain(|(name, _)| name != "PWD" && (name != "PATH" || own_path));
    for (_, value) in environment.iter_mut().filter(|(name, _)| name == "MESOS_SANDBOX") {
        SANDBOX.clone_into(value);
    }
    environment
}

/// The environment of what runs beside a task in its container.
pub(super) fn beside(
    config: &ImageConfig,
    command: &v1::CommandInfo,
    environment: Vec<(String, String)>,
) -> Vec<(String, String)> {
    environment_of(config, &within(command, environment))
}

/// What a container knows names by: the machine's files on the machine's network, else itself alone.
fn names(spec: &ContainerSpec) -> Names {
    if !spec.namespaces.network {
        return Names { hosts: read("/etc/hosts"), resolv_conf: read("/etc/resolv.conf"), hostname: None };
    }
    let own = spec.hostname.iter().map(|name| format!("127.0.0.1 {name}\n"));
    let hosts = ["127.0.0.1 localhost\n::1 localhost\n".to_owned()].into_iter().chain(own).collect();
    let hostname = spec.hostname.as_ref().map(|name| format!("{name}\n"));
    Names { hosts: Some(hosts), resolv_conf: None, hostname }
}

/// A machine without such a file leaves the image's own.
fn read(path: &str) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(MAX_NAMES).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn docker(change: impl FnOnce(&mut DockerInfo)) -> v1::ContainerInfo {
        let mut docker = DockerInfo { image: Some("web:1".to_owned()), ..DockerInfo::default() };
        change(&mut docker);
        let r#type = Some(v1::container_info::Type::Docker as i32);
        v1::ContainerInfo { r#type, docker: Some(docker), ..v1::ContainerInfo::default() }
    }

    fn mesos(change: impl FnOnce(&mut v1::Image)) -> v1::ContainerInfo {
        let docker = v1::image::Docker { name: Some("web:1".to_owned()), ..v1::image::Docker::default() };
        let r#type = Some(v1::image::Type::Docker as i32);
        let mut image = v1::Image { r#type, docker: Some(docker), ..v1::Image::default() };
        change(&mut image);
        let mesos = Some(v1::container_info::MesosInfo { image: Some(image) });
        let r#type = Some(v1::container_info::Type::Mesos as i32);
        v1::ContainerInfo { r#type, mesos, ..v1::ContainerInfo::default() }
    }

    fn refused(container: &v1::ContainerInfo) -> String {
        image_of("container", container).map(|_| ()).unwrap_err().message
    }

    #[test]
    fn both_ways_of_naming_an_image_are_understood() {
        let wish = |container: &v1::ContainerInfo| image_of("container", container).unwrap().unwrap();
        let plain = wish(&mesos(|_| {}));
        assert_eq!((plain.rules, plain.freshness), (Rules::Mesos, Freshness::Known));
        assert_eq!(wish(&mesos(|image| image.cached = Some(false))).freshness, Freshness::Now);
        let plain = wish(&docker(|_| {}));
        assert_eq!((plain.rules, plain.freshness), (Rules::Docker, Freshness::Known));
        assert_eq!(wish(&docker(|docker| docker.force_pull_image = Some(true))).freshness, Freshness::Now);
        assert!(image_of("container", &v1::ContainerInfo::default()).unwrap().is_none());
    }

    #[test]
    fn what_is_not_supported_is_named() {
        let secret = |value: &str| v1::Secret {
            value: Some(v1::secret::Value { data: Some(value.as_bytes().to_vec()) }),
            ..v1::Secret::default()
        };
        let with_config = |secret| mesos(|image| image.docker.as_mut().unwrap().config = Some(secret));
        let cases = [
            (docker(|d| d.image = Some("../web".into())), "container.docker.image: an image's name is"),
            (docker(|d| d.volume_driver = Some("x".into())), "container.docker.volume_driver is not"),
            (
                mesos(|i| i.r#type = Some(v1::image::Type::Appc as i32)),
                "container.mesos.image.type APPC is not",
            ),
            (mesos(|i| i.docker = None), "container.mesos.image.docker is required"),
            (with_config(secret("canary")), "container.mesos.image.docker.config is not"),
            (
                v1::ContainerInfo { docker: docker(|_| {}).docker, ..mesos(|_| {}) },
                "container has both docker and mesos.image",
            ),
            (v1::ContainerInfo { docker: None, ..docker(|_| {}) }, "container.docker is required"),
        ];
        for (container, message) in cases {
            let said = refused(&container);
            assert!(said.starts_with(message) && !said.contains("canary"), "{said}");
        }
    }

    #[test]
    fn an_image_says_what_the_task_does_not() {
        let config: ImageConfig = serde_json::from_value(serde_json::json!({
            "Entrypoint": ["/entry"], "Env": ["PATH=/image", "A=image"], "User": "www", "WorkingDir": "/srv"
        }))
        .unwrap();
        let dressed = |container: &v1::ContainerInfo, command: &v1::CommandInfo| {
            let wish = image_of("container", container).unwrap().unwrap();
            let root = RootFs::Directory("/root-of-it".into());
            let mut spec =
                ContainerSpec::new("c", "/run".as_ref(), "/host/sandbox", Command::Shell("x".into()));
            let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
            spec.environment = vec![
                pair("PATH", "/agent"),
                pair("PWD", "/host/sandbox"),
                pair("MESOS_SANDBOX", "/host/sandbox"),
                pair("A", "task"),
            ];
            spec.user = Some("of-the-framework".to_owned());
            Rooted { wish, config: config.clone(), root }.dress(&mut spec, command).map(|()| spec)
        };
        let command =
            v1::CommandInfo { shell: Some(false), arguments: vec!["a".into()], ..Default::default() };
        let spec = dressed(&mesos(|_| {}), &command).unwrap();
        let argv = vec!["/entry".to_owned(), "a".to_owned()];
        assert_eq!(spec.command, Command::Program { file: "/entry".to_owned(), argv });
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = [pair("PATH", "/image"), pair("A", "task"), pair("MESOS_SANDBOX", SANDBOX)];
        assert_eq!(spec.environment, expected);
        let path = vec![pair("PATH", "/agent"), pair("A", "task")];
        assert_eq!(beside(&config, &command, path), expected[..2], "what runs beside it has the same");
        assert_eq!(
            spec.user.as_deref(),
            Some("www"),
            "and not the framework's, whom the image does not know"
        );
        assert_eq!(spec.working_directory.as_deref(), Some("/srv".as_ref()));
        assert_eq!(spec.root.unwrap().sandbox.to_str(), Some(SANDBOX));
        let line = v1::CommandInfo { value: None, ..v1::CommandInfo::default() };
        assert!(dressed(&mesos(|_| {}), &line).unwrap_err().contains("command.value is required"));
    }
}
