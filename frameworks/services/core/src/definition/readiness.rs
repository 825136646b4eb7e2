//! Readiness checks: whether a new task may take over from an old one during a deployment.

use serde::Serialize;

use super::Seconds;
use super::reader::{Errors, FieldError, Fields};

/// One readiness check of an app.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadinessCheck {
    /// For people.
    pub name: String,
    /// Whether it asks with TLS.
    pub protocol: ReadinessProtocol,
    /// What it asks for.
    pub path: String,
    /// The name of the port that it asks.
    pub port_name: String,
    /// From one answer to the next question.
    pub interval_seconds: Seconds,
    /// How long an answer may take; less than the interval.
    pub timeout_seconds: Seconds,
    /// The statuses that mean ready.
    pub http_status_codes_for_ready: Vec<u16>,
    /// Whether the last answer is kept, for people.
    pub preserve_last_response: bool,
}

/// How a readiness check asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ReadinessProtocol {
    /// Over HTTP.
    Http,
    /// Over HTTP with TLS; certificates are not looked at.
    Https,
}

/// The readiness checks. Defaults are Marathon's.
pub(super) fn read(fields: &Fields<'_>, wrong: &mut Errors, broken: &mut Errors) -> Vec<ReadinessCheck> {
    let checks = fields.objects("readinessChecks", wrong).unwrap_or_default();
    checks.iter().map(|check| read_one(check, wrong, broken)).collect()
}

fn read_one(fields: &Fields<'_>, wrong: &mut Errors, broken: &mut Errors) -> ReadinessCheck {
    let protocol = match fields.text("protocol", wrong).as_deref() {
        None | Some("HTTP") => ReadinessProtocol::Http,
        Some("HTTPS") => ReadinessProtocol::Https,
        Some(_) => {
            broken.push(FieldError::new(fields.path("protocol"), "must be HTTP or HTTPS"));
            ReadinessProtocol::Http
        }
    };
    let word = |name: &str, default: &str, wrong: &mut Errors| {
        fields.text(name, wrong).unwrap_or_else(|| default.to_owned())
    };
    let path = word("path", "/", wrong);
    if !path.starts_with('/') || path.chars().any(|c| c.is_control() || c.is_whitespace()) {
        let error = "must begin with / and have neither spaces nor control characters";
        broken.push(FieldError::new(fields.path("path"), error));
    }
    ReadinessCheck {
        name: word("name", "readinessCheck", wrong),
        protocol,
        path,
        port_name: word("portName", "http-api", wrong),
        interval_seconds: Seconds(fields.number("intervalSeconds", wrong).unwrap_or(30.0)),
        timeout_seconds: Seconds(fields.number("timeoutSeconds", wrong).unwrap_or(10.0)),
        http_status_codes_for_ready: statuses(fields, wrong, broken),
        preserve_last_response: fields.flag("preserveLastResponse", wrong).unwrap_or(false),
    }
}

fn statuses(fields: &Fields<'_>, wrong: &mut Errors, broken: &mut Errors) -> Vec<u16> {
    let name = "httpStatusCodesForReady";
    let Some(list) = fields.list(name, wrong) else { return vec![200] };
    let status = |value: &serde_json::Value| value.as_u64().and_then(|code| u16::try_from(code).ok());
    let found: Vec<u16> = list.iter().filter_map(status).filter(|code| (100..600).contains(code)).collect();
    if found.is_empty() || found.len() < list.len() {
        broken.push(FieldError::new(fields.path(name), "must be statuses from 100 to 599, at least one"));
    }
    found
}

/// What is wrong with the checks of an app whose ports have these names.
pub(super) fn rules(checks: &[ReadinessCheck], ports: &[Option<&str>]) -> Errors {
    let mut errors = Errors::new();
    if checks.len() > 1 {
        errors.push(FieldError::new("/readinessChecks", "may have at most one element"));
    }
    for (index, check) in checks.iter().enumerate() {
        let at = |field: &str| format!("/readinessChecks({index})/{field}");
        if !ports.contains(&Some(check.port_name.as_str())) {
            let error = format!("no port definition reference for portName {}", check.port_name);
            errors.push(FieldError::new(at("portName"), error));
        }
        if check.interval_seconds.0 < 1.0 {
            errors.push(FieldError::new(at("intervalSeconds"), "must be greater than or equal to 1"));
        }
        if check.timeout_seconds.0 <= 0.0 || check.timeout_seconds >= check.interval_seconds {
            errors.push(FieldError::new(at("timeoutSeconds"), "must be less than the interval, and above 0"));
        }
    }
    errors
}
