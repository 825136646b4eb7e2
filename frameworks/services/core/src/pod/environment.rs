//! The environment of a container, as Marathon gives it. What Marathon says wins over what the pod says, unlike for apps.

use std::collections::BTreeMap;

use super::ContainerTask;
use super::definition::{Pod, PodContainer};
use super::launch::Given;
use crate::app::App;
use crate::environment::{ENFORCES_ROLE, decimal, label_variables, variable_name};
use crate::instance::Task;
use crate::launch::{LaunchValue, values};

/// Every variable for `container` of `pod`, where it runs as the part of the task. Each container knows the endpoints of all.
pub(super) fn environment(
    app: &App,
    pod: &Pod,
    container: &PodContainer,
    (task, part): (&Task, &ContainerTask),
    given: &[Given<'_>],
    env_prefix: &str,
) -> BTreeMap<String, LaunchValue> {
    let mut env = values(&pod.environment, &pod.secrets);
    env.extend(values(&container.environment, &pod.secrets));
    let mut set = |name: String, value: String| env.insert(name, LaunchValue::Text(value));
    let resources = container.resources;
    for (name, value) in [
        ("MESOS_TASK_ID", part.id.to_string()),
        ("MARATHON_APP_ID", app.definition.id.to_string()),
        ("MARATHON_APP_VERSION", task.version.to_string()),
        ("MARATHON_CONTAINER_ID", container.name.clone()),
        ("MARATHON_CONTAINER_RESOURCE_CPUS", decimal(resources.cpus)),
        ("MARATHON_CONTAINER_RESOURCE_MEM", decimal(resources.mem)),
        ("MARATHON_CONTAINER_RESOURCE_DISK", decimal(resources.disk)),
        ("MARATHON_CONTAINER_RESOURCE_GPUS", resources.gpus.to_string()),
    ] {
        set(name.to_owned(), value);
    }
    set(ENFORCES_ROLE.to_owned(), "FALSE".to_owned());
    set(format!("{env_prefix}HOST"), task.hostname.clone());
    if let Some(parts) = &task.pod {
        set("MESOS_EXECUTOR_ID".to_owned(), parts.executor.clone());
    }
    let mut labels = app.definition.labels.clone();
    labels.extend(container.labels.clone());
    for (name, value) in label_variables(&labels) {
        set(name, value);
    }
    for one in given {
        let name = variable_name(&one.endpoint.name);
        let told = if one.endpoint.container_port.is_some() { Some(one.listens()) } else { one.host };
        for (prefix, port) in [
            ("ENDPOINT", told),
            ("EP_HOST", one.host),
            ("EP_CONTAINER", one.endpoint.container_port.map(|_| one.listens())),
        ] {
            if let Some(port) = port {
                set(format!("{prefix}_{name}"), port.to_string());
            }
        }
    }
    env
}
