//! Health checks: those that this framework makes itself, over the network, and those that agents make.

use serde::Serialize;

use super::Seconds;
use super::check::{port_rules, url_path};
use super::reader::{Errors, FieldError, Fields};

/// One health check of an app.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// How it asks, and who.
    pub protocol: Protocol,
    /// What it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<HealthCommand>,
    /// What it asks for, over HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The very port that it asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The app's port that it asks, counted from 0; the first when nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_index: Option<u32>,
    /// For how long after its start a task may fail, unless it was well before.
    pub grace_period_seconds: Seconds,
    /// From one answer to the next question.
    pub interval_seconds: Seconds,
    /// How long an answer may take.
    pub timeout_seconds: Seconds,
    /// So many failures in a row end a task; 0 for never.
    pub max_consecutive_failures: u32,
    /// How long after its start a task is asked first, by its agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_seconds: Option<Seconds>,
    /// Whether its agent asks over IPv6.
    #[serde(rename = "ipProtocol", skip_serializing_if = "std::ops::Not::not", serialize_with = "as_ipv6")]
    pub over_ipv6: bool,
    /// Taken for Marathon's sake: an informational answer is never the last one.
    #[serde(rename = "ignoreHttp1xx", skip_serializing_if = "Option::is_none")]
    pub ignore_http_1xx: Option<bool>,
}

/// What a health check runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HealthCommand {
    /// A line for `sh -c`.
    pub value: String,
}

/// How a health check asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Protocol {
    /// A GET that must be answered with a status from 200 to 399.
    Http,
    /// The same with TLS; certificates are not looked at.
    Https,
    /// A connection that must be taken.
    Tcp,
    /// A command beside the task, run by its agent, that must end well.
    Command,
    /// As HTTP, by the agent.
    MesosHttp,
    /// As HTTPS, by the agent.
    MesosHttps,
    /// As TCP, by the agent.
    MesosTcp,
}

impl Protocol {
    /// Whether the task's agent asks, and not this framework.
    pub fn is_of_agent(self) -> bool {
        matches!(self, Self::Command | Self::MesosHttp | Self::MesosHttps | Self::MesosTcp)
    }

    fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Https | Self::MesosHttp | Self::MesosHttps)
    }
}

fn as_ipv6<S: serde::Serializer>(_: &bool, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str("IPv6")
}

/// Reads the health checks of an app. When it `has_ports` the first is what they ask unless they say otherwise, and they say so.
///
/// Source: Marathon's defaults, and its normalization of health checks.
pub(super) fn read(
    fields: &Fields<'_>,
    has_ports: bool,
    wrong: &mut Errors,
    broken: &mut Errors,
) -> Vec<HealthCheck> {
    let checks = fields.objects("healthChecks", wrong).unwrap_or_default();
    let mut checks: Vec<HealthCheck> =
        checks.iter().filter_map(|check| read_one(check, wrong, broken)).collect();
    let asks_first = |check: &&mut HealthCheck| {
        has_ports && check.protocol != Protocol::Command && check.port.is_none() && check.port_index.is_none()
    };
    checks.iter_mut().filter(asks_first).for_each(|check| check.port_index = Some(0));
    checks
}

fn read_one(fields: &Fields<'_>, wrong: &mut Errors, broken: &mut Errors) -> Option<HealthCheck> {
    let protocol = protocol(fields, wrong, broken)?;
    let path = url_path(fields, wrong, broken);
    let port = fields.port("port", wrong, broken);
    let mut seconds = |name: &str, default: f64, least: f64| {
        let seconds = fields.number(name, wrong).unwrap_or(default);
        if seconds < least {
            let error = format!("must be greater than or equal to {least}");
            broken.push(FieldError::new(fields.path(name), error));
        }
        Seconds(seconds)
    };
    let grace_period_seconds = seconds("gracePeriodSeconds", 300.0, 0.0);
    let interval_seconds = seconds("intervalSeconds", 60.0, 1.0);
    let timeout_seconds = seconds("timeoutSeconds", 20.0, 1.0);
    let delay_seconds = protocol.is_of_agent().then(|| seconds("delaySeconds", 15.0, 0.0));
    let ignore = fields.flag("ignoreHttp1xx", wrong).unwrap_or(false);
    let of_framework = matches!(protocol, Protocol::Http | Protocol::Https);
    Some(HealthCheck {
        protocol,
        command: command(fields, protocol, wrong, broken),
        path: protocol.is_http().then_some(path),
        // Long ago 0 was the way to say nothing.
        port: port.filter(|port| *port != 0),
        port_index: fields.count("portIndex", wrong),
        grace_period_seconds,
        interval_seconds,
        timeout_seconds,
        max_consecutive_failures: fields.count("maxConsecutiveFailures", wrong).unwrap_or(3),
        delay_seconds,
        over_ipv6: over_ipv6(fields, wrong, broken),
        ignore_http_1xx: of_framework.then_some(ignore),
    })
}

fn protocol(fields: &Fields<'_>, wrong: &mut Errors, broken: &mut Errors) -> Option<Protocol> {
    Some(match fields.text("protocol", wrong).as_deref() {
        None | Some("HTTP") => Protocol::Http,
        Some("HTTPS") => Protocol::Https,
        Some("TCP") => Protocol::Tcp,
        Some("COMMAND") => Protocol::Command,
        Some("MESOS_HTTP") => Protocol::MesosHttp,
        Some("MESOS_HTTPS") => Protocol::MesosHttps,
        Some("MESOS_TCP") => Protocol::MesosTcp,
        Some(_) => {
            let error = "must be one of HTTP, HTTPS, TCP, COMMAND, MESOS_HTTP, MESOS_HTTPS and MESOS_TCP";
            broken.push(FieldError::new(fields.path("protocol"), error));
            return None;
        }
    })
}

fn command(
    fields: &Fields<'_>,
    protocol: Protocol,
    wrong: &mut Errors,
    broken: &mut Errors,
) -> Option<HealthCommand> {
    let command = fields.object("command", wrong);
    let path = fields.path("command");
    match (protocol, command) {
        (Protocol::Command, Some(command)) => {
            if command.get("value").is_none() {
                wrong.push(FieldError::new(command.path("value"), "error.path.missing"));
            }
            let value = command.text("value", wrong)?;
            if value.trim().is_empty() || value.contains('\0') {
                broken.push(FieldError::new(command.path("value"), "must not be empty"));
            }
            Some(HealthCommand { value })
        }
        (Protocol::Command, None) => {
            if fields.get("command").is_none() {
                wrong.push(FieldError::new(path, "error.path.missing"));
            }
            None
        }
        (_, Some(_)) => {
            broken.push(FieldError::new(path, "is only for the protocol COMMAND"));
            None
        }
        (_, None) => None,
    }
}

fn over_ipv6(fields: &Fields<'_>, wrong: &mut Errors, broken: &mut Errors) -> bool {
    match fields.text("ipProtocol", wrong).as_deref() {
        None | Some("IPv4") => false,
        Some("IPv6") => true,
        Some(_) => {
            broken.push(FieldError::new(fields.path("ipProtocol"), "must be IPv4 or IPv6"));
            false
        }
    }
}

/// What is wrong with the checks of an app that has so many ports. `in_docker` is whether its container is of that type.
pub(super) fn rules(checks: &[HealthCheck], ports: usize, in_docker: bool) -> Errors {
    let mut errors = Errors::new();
    if checks.iter().filter(|check| check.protocol.is_of_agent()).count() > 1 {
        let error =
            "may contain at most one check that agents make: COMMAND, MESOS_HTTP, MESOS_HTTPS or MESOS_TCP";
        errors.push(FieldError::new("/healthChecks", error));
    }
    for (at, check) in checks.iter().enumerate() {
        let path = format!("/healthChecks({at})");
        let by_agent = check.protocol.is_of_agent() && check.protocol != Protocol::Command;
        if check.over_ipv6 && !(by_agent && in_docker) {
            let error = "IPv6 is for MESOS_HTTP, MESOS_HTTPS and MESOS_TCP of containers of type DOCKER";
            errors.push(FieldError::new(format!("{path}/ipProtocol"), error));
        }
        if check.protocol != Protocol::Command {
            errors.extend(port_rules(&path, check.port_index, check.port, ports));
        }
    }
    errors
}
