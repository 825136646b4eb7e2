//! The plugins of a network one after the other: forwards to join, each told what the one before said, and backwards to leave.

use std::path::PathBuf;

use chapada_isolation::links;
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::error::NetworkError;
use crate::list::{NetworkList, maps_ports, program};
use crate::networks::Shared;
use crate::outcome;
use crate::plugin::{self, Call, CallError};
use crate::records::{Join, Record};

/// Which way the plugins are gone through.
#[derive(Clone, Copy)]
enum Way {
    Join,
    Leave,
}

impl Way {
    fn command(self) -> &'static str {
        match self {
            Self::Join => "ADD",
            Self::Leave => "DEL",
        }
    }

    fn verb(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Leave => "leave",
        }
    }
}

impl Shared {
    /// Whether all programs of a network are there.
    pub(crate) fn check_plugins(&self, list: &NetworkList) -> Result<(), NetworkError> {
        list.plugins.iter().try_for_each(|config| self.program(list, program(config)).map(drop))
    }

    fn program(&self, list: &NetworkList, plugin: &str) -> Result<PathBuf, NetworkError> {
        plugin::find(&self.plugins, plugin).ok_or_else(|| NetworkError::NoPlugin {
            network: list.name.clone(),
            plugin: plugin.to_owned(),
            directories: self.plugins.clone(),
        })
    }

    /// Joins a network; what its last plugin says.
    pub(crate) async fn join(
        &self,
        container: &str,
        join: &Join,
        given_up: &CancellationToken,
    ) -> Result<Map<String, Value>, NetworkError> {
        let mut before: Option<Map<String, Value>> = None;
        for config in &join.list.plugins {
            let said = self.call(Way::Join, container, join, config, before.as_ref(), given_up).await?;
            let broken = |problem| broken(join, config, Way::Join, problem);
            let said = said.ok_or_else(|| broken("it says nothing".to_owned()))?;
            outcome::parse(&said, &join.list.version).map_err(broken)?;
            before = Some(said);
        }
        Ok(before.unwrap_or_default())
    }

    /// Leaves all networks, the last first, and takes away what plugins left on the machine's side. All of it is tried.
    pub(crate) async fn leave_all(&self, container: &str, record: &Record) -> Result<(), NetworkError> {
        let mut first = Ok(());
        for join in record.joins.iter().rev() {
            for config in join.list.plugins.iter().rev() {
                let left = self.leave(container, join, config).await;
                first = first.and(left);
            }
            if first.is_ok() {
                delete_pairs(join);
            }
        }
        first
    }

    async fn leave(
        &self,
        container: &str,
        join: &Join,
        config: &Map<String, Value>,
    ) -> Result<(), NetworkError> {
        // Before that version nobody expects it. Source: the specification.
        let is_told = !["0.1.", "0.2.", "0.3."].iter().any(|old| join.list.version.starts_with(old));
        let before = join.result.as_ref().filter(|_| is_told);
        let never = CancellationToken::new();
        self.call(Way::Leave, container, join, config, before, &never).await.map(drop)
    }

    async fn call(
        &self,
        way: Way,
        container: &str,
        join: &Join,
        config: &Map<String, Value>,
        before: Option<&Map<String, Value>>,
        given_up: &CancellationToken,
    ) -> Result<Option<Map<String, Value>>, NetworkError> {
        let program = self.program(&join.list, program(config))?;
        let namespace = match self.namespaces.has(container) {
            true => self.namespaces.file(container),
            // It is gone, and what else there was is still to be taken back.
            false => PathBuf::new(),
        };
        let turn = self.turn_of(way).acquire().await;
        let _turn = turn.map_err(|error| NetworkError::Internal(error.to_string()))?;
        let call = Call {
            program: &program,
            command: way.command(),
            container,
            namespace: &namespace,
            interface: &join.interface,
            plugins: &self.plugins,
            config: &told(join, config, before),
            limit: self.limit,
        };
        call.run(given_up).await.map_err(|error| match error {
            CallError::GivenUp => NetworkError::GivenUp,
            CallError::Failed(problem) => broken(join, config, way, problem),
            CallError::Late => NetworkError::Late {
                network: join.list.name.clone(),
                plugin: self::program(config).to_owned(),
                verb: way.verb(),
                limit: self.limit,
            },
        })
    }

    /// Plugins that hang while they join hold up nobody who leaves.
    fn turn_of(&self, way: Way) -> &Semaphore {
        match way {
            Way::Join => &self.joining,
            Way::Leave => &self.leaving,
        }
    }
}

fn broken(join: &Join, config: &Map<String, Value>, way: Way, problem: String) -> NetworkError {
    NetworkError::Plugin {
        network: join.list.name.clone(),
        plugin: program(config).to_owned(),
        verb: way.verb(),
        problem,
    }
}

/// What a plugin is told: its part of the configuration, and what the specification adds.
fn told(join: &Join, config: &Map<String, Value>, before: Option<&Map<String, Value>>) -> Map<String, Value> {
    let mut told = config.clone();
    told.insert("name".to_owned(), json!(join.list.name));
    told.insert("cniVersion".to_owned(), json!(join.list.version));
    if !join.args.is_empty() {
        let mut args = told.get("args").and_then(Value::as_object).cloned().unwrap_or_default();
        args.extend(join.args.clone());
        told.insert("args".to_owned(), Value::Object(args));
    }
    if maps_ports(config) && !join.port_mappings.is_empty() {
        told.insert("runtimeConfig".to_owned(), json!({ "portMappings": join.port_mappings }));
    }
    if let Some(before) = before {
        told.insert("prevResult".to_owned(), Value::Object(before.clone()));
    }
    told
}

/// The machine's half of a pair lives on for minutes when a connection of the container's still holds its network.
fn delete_pairs(join: &Join) {
    let Some(result) = &join.result else { return };
    let Ok(outcome) = outcome::parse(result, &join.list.version) else { return };
    for interface in outcome.on_host {
        match links::delete_pair(&interface) {
            Ok(true) => tracing::info!(interface, "deleted an interface that its plugin left"),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "an interface stays"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wish::{PortMapping, Protocol};

    #[test]
    fn a_plugin_is_told_what_concerns_it() {
        let text = r#"{"cniVersion": "1.0.0", "name": "n", "plugins": [
            {"type": "one", "args": {"a": 1}},
            {"type": "two", "capabilities": {"portMappings": true}}]}"#;
        let Value::Object(args) = json!({ "b": 2 }) else { unreachable!() };
        let mapping = PortMapping { host_port: 80, container_port: 8080, protocol: Protocol::Udp };
        let list = NetworkList::parse(text).unwrap();
        let join = Join {
            interface: "eth0".into(),
            list: list.clone(),
            args,
            port_mappings: vec![mapping],
            result: None,
        };
        let said = Map::from_iter([("ips".to_owned(), json!([]))]);
        let one = Value::Object(told(&join, &list.plugins[0], None));
        let expected = json!({"type": "one", "args": {"a": 1, "b": 2}, "name": "n", "cniVersion": "1.0.0"});
        assert_eq!(one, expected);
        let two = Value::Object(told(&join, &list.plugins[1], Some(&said)));
        let mappings = json!([{"hostPort": 80, "containerPort": 8080, "protocol": "udp"}]);
        assert_eq!(two["runtimeConfig"], json!({ "portMappings": mappings }));
        assert_eq!(two["prevResult"], json!({"ips": []}));
    }
}
