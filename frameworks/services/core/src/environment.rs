//! The environment of a task, as Marathon gives it.

use std::collections::BTreeMap;

use crate::definition::AppDefinition;
use crate::instance::Task;
use crate::launch::{LaunchValue, TaskPort, task_ports, values};

/// Whether the task's top-level group enforces its name as the role of what is in it.
pub(crate) const ENFORCES_ROLE: &str = "MARATHON_APP_ENFORCE_GROUP_ROLE";

/// Labels with longer values or names get no variable of their own.
const MAX_LABEL_VALUE: usize = 512;
const MAX_LABEL_NAME: usize = 493;

/// Every variable for `task` of `app`; the app's own win. `prefix` stands before the names of those that say where others
/// reach it.
pub fn environment(app: &AppDefinition, task: &Task, prefix: &str) -> BTreeMap<String, LaunchValue> {
    let mut env = BTreeMap::new();
    let mut set = |name: &str, value: String| env.insert(name.to_owned(), value);
    set("MESOS_TASK_ID", task.id.to_string());
    set("MARATHON_APP_ID", app.id.to_string());
    set("MARATHON_APP_VERSION", task.version.to_string());
    if let Some(image) = app.image() {
        set("MARATHON_APP_DOCKER_IMAGE", image.image.clone());
    }
    set("MARATHON_APP_RESOURCE_CPUS", decimal(app.cpus));
    set("MARATHON_APP_RESOURCE_MEM", decimal(app.mem));
    set("MARATHON_APP_RESOURCE_DISK", decimal(app.disk));
    set("MARATHON_APP_RESOURCE_GPUS", app.gpus.to_string());
    set(ENFORCES_ROLE, "FALSE".to_owned());
    set(&format!("{prefix}HOST"), task.hostname.clone());
    env.extend(label_variables(&app.labels));
    let ports = port_variables(&task_ports(app, task).collect::<Vec<_>>());
    env.extend(ports.into_iter().map(|(name, value)| (format!("{prefix}{name}"), value)));
    let mut env: BTreeMap<_, _> =
        env.into_iter().map(|(name, value)| (name, LaunchValue::Text(value))).collect();
    env.extend(values(&app.env, &app.secrets));
    env
}

/// At least one digit after the point, as Marathon writes numbers here.
pub(crate) fn decimal(amount: chapada_model::Milli) -> String {
    format!("{:?}", amount.to_f64())
}

pub(crate) fn label_variables(labels: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let mut variables = Vec::new();
    let mut names = Vec::new();
    for (label, value) in labels {
        let name = variable_name(label);
        if value.len() < MAX_LABEL_VALUE && name.len() < MAX_LABEL_NAME {
            variables.push((format!("MARATHON_APP_LABEL_{name}"), value.clone()));
            names.push(name);
        }
    }
    variables.push(("MARATHON_APP_LABELS".to_owned(), names.join(" ")));
    variables
}

fn port_variables(ports: &[TaskPort<'_>]) -> Vec<(String, String)> {
    let mut variables = Vec::new();
    let Some(first) = ports.first() else {
        return variables;
    };
    variables.push(("PORT".to_owned(), first.number().to_string()));
    let list: Vec<String> = ports.iter().map(|port| port.number().to_string()).collect();
    variables.push(("PORTS".to_owned(), list.join(",")));
    for (index, port) in ports.iter().enumerate() {
        let number = port.number();
        let asked = match port.asked.container.unwrap_or(port.asked.service) {
            0 => number,
            asked => asked,
        };
        variables.push((format!("PORT{index}"), number.to_string()));
        variables.push((format!("PORT_{asked}"), number.to_string()));
        // As Marathon has it, and as a shell can read it.
        for name in port.asked.name.iter().flat_map(|name| [name.to_ascii_uppercase(), variable_name(name)]) {
            variables.push((format!("PORT_{name}"), number.to_string()));
        }
    }
    variables
}

/// Upper case, and each run of anything but letters, digits and `_` becomes one `_`.
pub(crate) fn variable_name(text: &str) -> String {
    let (mut name, mut in_run) = (String::with_capacity(text.len()), false);
    for c in text.chars() {
        let stays = c.is_ascii_alphanumeric() || c == '_';
        if stays || !in_run {
            name.push(if stays { c.to_ascii_uppercase() } else { '_' });
        }
        in_run = !stays;
    }
    name
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::instance::Condition;
    use crate::timestamp::Timestamp;

    fn text(value: &LaunchValue) -> String {
        match value {
            LaunchValue::Text(text) => text.clone(),
            LaunchValue::Secret(source) => format!("<{source}>"),
        }
    }

    #[test]
    fn is_marathons_and_the_apps_own_wins() {
        let json = json!({
            "id": "/prod/web", "cmd": "true", "cpus": 0.5, "mem": 32, "labels": {"a.b-c": "x", "long": "y".repeat(512)},
            "env": {"HOST": "mine", "A": "1"},
            "portDefinitions": [{"port": 8080, "name": "web-ui"}, {"port": 0}],
        });
        let app = AppDefinition::from_json(json.as_object().unwrap(), "*").unwrap();
        let task = Task {
            id: "prod_web.instance-x._app.1".parse().unwrap(),
            version: Timestamp::from_millis(0),
            agent: "a".parse().unwrap(),
            hostname: "host".to_owned(),
            attributes: BTreeMap::new(),
            region: None,
            zone: None,
            ports: vec![31_000, 31_001],
            addresses: Vec::new(),
            check: None,
            volumes: Vec::new(),
            staged_at: Timestamp::from_millis(0),
            config: Default::default(),
            started_at: None,
            condition: Condition::Provisioned,
            healthy: None,
            pod: None,
            ready: true,
            readiness: Vec::new(),
            health: Vec::new(),
            since: Default::default(),
            kill_sent: None,
            kills: 0,
            heard: 0,
        };
        let got: Vec<String> = environment(&app, &task, "")
            .iter()
            .map(|(name, value)| format!("{name}={}", text(value)))
            .collect();
        assert_eq!(
            got,
            [
                "A=1",
                "HOST=mine",
                "MARATHON_APP_ENFORCE_GROUP_ROLE=FALSE",
                "MARATHON_APP_ID=/prod/web",
                "MARATHON_APP_LABELS=A_B_C",
                "MARATHON_APP_LABEL_A_B_C=x",
                "MARATHON_APP_RESOURCE_CPUS=0.5",
                "MARATHON_APP_RESOURCE_DISK=0.0",
                "MARATHON_APP_RESOURCE_GPUS=0",
                "MARATHON_APP_RESOURCE_MEM=32.0",
                "MARATHON_APP_VERSION=1970-01-01T00:00:00.000Z",
                "MESOS_TASK_ID=prod_web.instance-x._app.1",
                "PORT=31000",
                "PORT0=31000",
                "PORT1=31001",
                "PORTS=31000,31001",
                "PORT_31001=31001",
                "PORT_8080=31000",
                "PORT_WEB-UI=31000",
                "PORT_WEB_UI=31000",
            ]
        );
    }

    #[test]
    fn names_of_variables_keep_what_a_shell_can_read() {
        for (text, name) in
            [("a.b-c", "A_B_C"), ("a__b", "A__B"), ("a_-b", "A__B"), ("a--b", "A_B"), ("-é", "_")]
        {
            assert_eq!(variable_name(text), name);
        }
    }
}
