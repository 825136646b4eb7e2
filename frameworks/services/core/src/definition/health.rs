//! Health checks that this framework makes itself, over the network.

use serde::Serialize;

use super::Seconds;
use super::reader::{Errors, FieldError, Fields};

/// One health check of an app.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// How it asks.
    pub protocol: Protocol,
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
    /// Taken for Marathon's sake: an informational answer is never the last one.
    #[serde(rename = "ignoreHttp1xx")]
    pub ignore_http_1xx: bool,
}

/// How a health check asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// A GET that must be answered with a status from 200 to 399.
    Http,
    /// A connection that must be taken.
    Tcp,
}

/// Reads the health checks. Defaults are Marathon's.
pub(super) fn read(fields: &Fields<'_>, wrong: &mut Errors, broken: &mut Errors) -> Vec<HealthCheck> {
    let checks = fields.objects("healthChecks", wrong).unwrap_or_default();
    checks.iter().filter_map(|check| read_one(check, wrong, broken)).collect()
}

fn read_one(fields: &Fields<'_>, wrong: &mut Errors, broken: &mut Errors) -> Option<HealthCheck> {
    let protocol = match fields.text("protocol", wrong).as_deref() {
        None | Some("HTTP") => Protocol::Http,
        Some("TCP") => Protocol::Tcp,
        Some(other) => {
            let error = format!("{other} is not supported yet; supported are HTTP and TCP");
            broken.push(FieldError::new(fields.path("protocol"), error));
            return None;
        }
    };
    let path = fields.text("path", wrong).unwrap_or_else(|| "/".to_owned());
    if !path.starts_with('/') || path.chars().any(|c| c.is_control() || c.is_whitespace()) {
        broken.push(FieldError::new(
            fields.path("path"),
            "must begin with / and have neither spaces nor control characters",
        ));
    }
    let port = fields.count("port", wrong).map(|port| {
        u16::try_from(port).unwrap_or_else(|_| {
            broken.push(FieldError::new(fields.path("port"), "must be a port from 0 to 65535"));
            0
        })
    });
    let mut seconds = |name: &str, default: f64, least: f64| {
        let seconds = fields.number(name, wrong).unwrap_or(default);
        if seconds < least {
            broken.push(FieldError::new(
                fields.path(name),
                format!("must be greater than or equal to {least}"),
            ));
        }
        Seconds(seconds)
    };
    let grace_period_seconds = seconds("gracePeriodSeconds", 300.0, 0.0);
    let interval_seconds = seconds("intervalSeconds", 60.0, 1.0);
    let timeout_seconds = seconds("timeoutSeconds", 20.0, 1.0);
    Some(HealthCheck {
        protocol,
        path: (protocol == Protocol::Http).then_some(path),
        port: port.filter(|port| *port != 0),
        port_index: fields.count("portIndex", wrong),
        grace_period_seconds,
        interval_seconds,
        timeout_seconds,
        max_consecutive_failures: fields.count("maxConsecutiveFailures", wrong).unwrap_or(3),
        ignore_http_1xx: fields.flag("ignoreHttp1xx", wrong).unwrap_or(false),
    })
}

/// What is wrong with the checks of an app that has so many ports.
pub(super) fn rules(checks: &[HealthCheck], ports: usize) -> Errors {
    let mut errors = Errors::new();
    for (at, check) in checks.iter().enumerate() {
        let path = format!("/healthChecks({at})");
        match (check.port, check.port_index) {
            (Some(_), Some(_)) => errors.push(FieldError::new(path, "must not have both port and portIndex")),
            (None, Some(index)) if index as usize >= ports => {
                let error = format!("must be the index of one of the app's {ports} ports");
                errors.push(FieldError::new(format!("{path}/portIndex"), error));
            }
            (None, None) if ports != 1 => {
                errors.push(FieldError::new(
                    path,
                    "must name a port or a portIndex unless the app has exactly one port",
                ));
            }
            (Some(_) | None, _) => {}
        }
    }
    errors
}
