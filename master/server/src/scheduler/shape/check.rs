//! Checks and health checks.

use chapada_wire::v1;

use super::command;

/// A general check: one of its kinds, with its own message and no other.
pub(super) fn check(field: &str, check: &v1::CheckInfo) -> Result<(), String> {
    use v1::check_info::Type;
    let said = [check.command.is_some(), check.http.is_some(), check.tcp.is_some()];
    let wanted = match check.r#type() {
        Type::Unknown => return Err(format!("'{field}.type' must be COMMAND, HTTP or TCP")),
        Type::Command => ("command", 0),
        Type::Http => ("http", 1),
        Type::Tcp => ("tcp", 2),
    };
    only(field, said, wanted)?;
    if let Some(command) = check.command.as_ref().and_then(|check| check.command.as_ref()) {
        shell(&format!("{field}.command.command"), command)?;
    }
    path(field, check.http.as_ref().and_then(|http| http.path.as_deref()))?;
    port(field, check.http.as_ref().map(|http| http.port).or(check.tcp.as_ref().map(|tcp| tcp.port)))?;
    let spans = [
        ("delay_seconds", check.delay_seconds),
        ("interval_seconds", check.interval_seconds),
        ("timeout_seconds", check.timeout_seconds),
    ];
    not_negative(field, &spans)
}

/// A health check: one of its kinds, with its own message and no other.
pub(super) fn health(field: &str, check: &v1::HealthCheck) -> Result<(), String> {
    use v1::health_check::Type;
    let said = [check.command.is_some(), check.http.is_some(), check.tcp.is_some()];
    let wanted = match check.r#type() {
        Type::Unknown => return Err(format!("'{field}.type' must be COMMAND, HTTP or TCP")),
        Type::Command => ("command", 0),
        Type::Http => ("http", 1),
        Type::Tcp => ("tcp", 2),
    };
    only(field, said, wanted)?;
    if let Some(command) = &check.command {
        shell(&format!("{field}.command"), command)?;
    }
    if let Some(http) = &check.http {
        if !matches!(http.scheme.as_deref(), None | Some("http" | "https")) {
            return Err(format!("'{field}.http.scheme' must be 'http' or 'https'"));
        }
        path(field, http.path.as_deref())?;
    }
    port(field, check.http.as_ref().map(|http| http.port).or(check.tcp.as_ref().map(|tcp| tcp.port)))?;
    let spans = [
        ("delay_seconds", check.delay_seconds),
        ("interval_seconds", check.interval_seconds),
        ("timeout_seconds", check.timeout_seconds),
        ("grace_period_seconds", check.grace_period_seconds),
    ];
    not_negative(field, &spans)
}

fn only(field: &str, said: [bool; 3], (name, index): (&str, usize)) -> Result<(), String> {
    let others = said.iter().enumerate().any(|(at, said)| *said && at != index);
    match (said.get(index), others) {
        (Some(true), false) => Ok(()),
        (_, true) => Err(format!("'{field}' must set '{field}.{name}' alone, as its type says")),
        (_, false) => Err(format!("'{field}.{name}' must be set, as its type says")),
    }
}

fn shell(field: &str, command: &v1::CommandInfo) -> Result<(), String> {
    if command.value.as_deref().unwrap_or_default().is_empty() {
        return Err(format!("'{field}.value' must be set"));
    }
    command::check(field, command)
}

fn path(field: &str, path: Option<&str>) -> Result<(), String> {
    match path {
        Some(path) if !path.is_empty() && !path.starts_with('/') => {
            Err(format!("'{field}.http.path' must start with '/', not be '{path}'"))
        }
        Some(_) | None => Ok(()),
    }
}

fn port(field: &str, port: Option<Option<u32>>) -> Result<(), String> {
    match port {
        Some(Some(port)) if u16::try_from(port).is_err() => {
            Err(format!("'{field}' has port {port}, which is none"))
        }
        Some(_) | None => Ok(()),
    }
}

fn not_negative(field: &str, spans: &[(&str, Option<f64>)]) -> Result<(), String> {
    let bad = spans.iter().find(|(_, span)| span.is_some_and(|span| span.is_nan() || span < 0.0));
    match bad {
        Some((name, _)) => Err(format!("'{field}.{name}' must not be negative")),
        None => Ok(()),
    }
}
