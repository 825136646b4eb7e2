//! An instance of a pod: its executor, and its containers as a group of tasks.

use chapada_model::ExecutorId;
use chapada_sdk::wire::offer::operation;
use chapada_sdk::{ExecutorBuilder, Placement, wire};
use chapada_services_core::{GroupTask, LaunchGroup};

use super::discovery::labels;
use super::network;
use super::{Indescribable, task};
use crate::secrets::Secrets;

/// The launch of a group, with the values of its secrets.
pub(crate) async fn launch(
    group: LaunchGroup,
    secrets: &Secrets,
) -> Result<wire::offer::Operation, Indescribable> {
    let LaunchGroup { executor, name, networks, resources, shares_cgroups, tasks, .. } = group;
    let id = ExecutorId::new(&executor)?;
    let networks = network::infos(networks);
    let executor = ExecutorBuilder::pod(&id).name(name.clone()).customise(|info| {
        info.labels = Some(labels(group.labels)).filter(|labels| !labels.labels.is_empty());
        if !networks.is_empty() {
            let mut container = wire::ContainerInfo { network_infos: networks, ..Default::default() };
            container.set_type(wire::container_info::Type::Mesos);
            info.container = Some(container);
        }
    });
    let executor = executor.place(&Placement { resources, ..Placement::default() })?;
    let mut described = Vec::new();
    for one in tasks {
        described.push(member(one, &name, shares_cgroups, secrets).await?);
    }
    let mut operation = wire::offer::Operation {
        launch_group: Some(operation::LaunchGroup {
            executor: Some((&executor).into()),
            task_group: Some(wire::TaskGroupInfo { tasks: described }),
        }),
        ..Default::default()
    };
    operation.set_type(operation::Type::LaunchGroup);
    Ok(operation)
}

async fn member(
    member: GroupTask,
    pod: &str,
    shares_cgroups: bool,
    secrets: &Secrets,
) -> Result<wire::TaskInfo, Indescribable> {
    let GroupTask { launch, entry_point } = member;
    let mut info: wire::TaskInfo = (&task(launch, secrets).await?).into();
    if let Some(discovery) = &mut info.discovery {
        discovery.name = Some(pod.to_owned());
    }
    if let (Some(program), Some(command)) = (entry_point, &mut info.command) {
        command.value = Some(program);
    }
    let container = info.container.get_or_insert_default();
    container.linux_info.get_or_insert_default().share_cgroups = Some(shares_cgroups);
    Ok(info)
}
