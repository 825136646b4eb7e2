//! How agents ask the containers of pods: whether they are well, and for information.

use serde::Serialize;

use super::PodContainer;
use crate::definition::check::{seconds, url_path};
use crate::definition::reader::{Errors, FieldError, Fields};
use crate::definition::{CommandLine, Seconds};

/// The health check of a container.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodHealthCheck {
    /// What is asked.
    #[serde(flatten)]
    pub asks: PodQuestion,
    /// For how long after its start failures do not count.
    pub grace_period_seconds: Seconds,
    /// From one answer to the next question.
    pub interval_seconds: Seconds,
    /// So many failures in a row end the container; 0 for never.
    pub max_consecutive_failures: u32,
    /// How long an answer may take.
    pub timeout_seconds: Seconds,
    /// How long after its start it is asked first.
    pub delay_seconds: Seconds,
}

/// The check of a container. Its result is in its status at the master, and has no effect.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodCheck {
    /// What is asked.
    #[serde(flatten)]
    pub asks: PodQuestion,
    /// From one answer to the next question.
    pub interval_seconds: Seconds,
    /// How long an answer may take.
    pub timeout_seconds: Seconds,
    /// How long after its start it is asked first.
    pub delay_seconds: Seconds,
}

/// What a container is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PodQuestion {
    /// Over HTTP.
    Http {
        /// Which of its endpoints.
        endpoint: String,
        /// What it asks for.
        path: String,
        /// `HTTP` or `HTTPS`.
        scheme: String,
    },
    /// Whether it takes a connection.
    Tcp {
        /// Which of its endpoints.
        endpoint: String,
    },
    /// How a command ends.
    Exec {
        /// Which.
        command: CommandLine,
    },
}

impl PodQuestion {
    /// The endpoint that is asked, if one is.
    pub fn endpoint(&self) -> Option<&str> {
        match self {
            Self::Http { endpoint, .. } | Self::Tcp { endpoint } => Some(endpoint),
            Self::Exec { .. } => None,
        }
    }
}

/// `healthCheck` of a container. Defaults are Marathon's.
pub(super) fn read_health(
    container: &Fields<'_>,
    wrong: &mut Errors,
    broken: &mut Errors,
) -> Option<PodHealthCheck> {
    let check = container.object("healthCheck", wrong)?;
    let asks = question(&check, wrong, broken);
    let mut time = |name, default| seconds(&check, name, default, wrong, broken);
    let grace_period_seconds = time("gracePeriodSeconds", 300.0);
    let interval_seconds = time("intervalSeconds", 60.0);
    let timeout_seconds = time("timeoutSeconds", 20.0);
    let delay_seconds = time("delaySeconds", 15.0);
    let max_consecutive_failures = check.count("maxConsecutiveFailures", wrong).unwrap_or(3);
    Some(PodHealthCheck {
        asks: asks?,
        grace_period_seconds,
        interval_seconds,
        max_consecutive_failures,
        timeout_seconds,
        delay_seconds,
    })
}

/// `check` of a container. Defaults are Marathon's.
pub(super) fn read_check(
    container: &Fields<'_>,
    wrong: &mut Errors,
    broken: &mut Errors,
) -> Option<PodCheck> {
    let check = container.object("check", wrong)?;
    let asks = question(&check, wrong, broken);
    let interval_seconds = seconds(&check, "intervalSeconds", 60.0, wrong, broken);
    let timeout_seconds = seconds(&check, "timeoutSeconds", 20.0, wrong, broken);
    let delay_seconds = seconds(&check, "delaySeconds", 15.0, wrong, broken);
    Some(PodCheck { asks: asks?, interval_seconds, timeout_seconds, delay_seconds })
}

fn question(check: &Fields<'_>, wrong: &mut Errors, broken: &mut Errors) -> Option<PodQuestion> {
    let kinds: Vec<&str> =
        ["http", "tcp", "exec"].into_iter().filter(|kind| check.get(kind).is_some()).collect();
    match kinds.as_slice() {
        ["http"] => {
            let http = check.object("http", wrong)?;
            let path = url_path(&http, wrong, broken);
            let scheme = http.text("scheme", wrong).unwrap_or_else(|| "HTTP".to_owned());
            if !["HTTP", "HTTPS"].contains(&scheme.as_str()) {
                broken.push(FieldError::new(http.path("scheme"), "must be HTTP or HTTPS"));
            }
            Some(PodQuestion::Http { endpoint: endpoint(&http, wrong)?, path, scheme })
        }
        ["tcp"] => {
            let tcp = check.object("tcp", wrong)?;
            Some(PodQuestion::Tcp { endpoint: endpoint(&tcp, wrong)? })
        }
        ["exec"] => {
            let exec = check.object("exec", wrong)?;
            Some(PodQuestion::Exec { command: CommandLine::read(&exec, wrong, broken)? })
        }
        _ => {
            broken.push(FieldError::new(check.at(), "must have exactly one of http, tcp and exec"));
            None
        }
    }
}

fn endpoint(asks: &Fields<'_>, wrong: &mut Errors) -> Option<String> {
    if asks.get("endpoint").is_none() {
        wrong.push(FieldError::new(asks.path("endpoint"), "error.path.missing"));
    }
    asks.text("endpoint", wrong)
}

/// What is wrong with the checks of the container that stands at `path`.
pub(super) fn rules(path: &str, container: &PodContainer) -> Errors {
    let mut errors = Errors::new();
    let health = container.health_check.as_ref();
    let questions = [
        ("healthCheck", health.map(|check| &check.asks)),
        ("check", container.check.as_ref().map(|check| &check.asks)),
    ];
    for (field, asks) in questions {
        let endpoint = asks.and_then(PodQuestion::endpoint);
        if endpoint.is_some_and(|name| !container.endpoints.iter().any(|endpoint| endpoint.name == name)) {
            let kind = if matches!(asks, Some(PodQuestion::Http { .. })) { "http" } else { "tcp" };
            let error = "must be the name of one of the container's endpoints";
            errors.push(FieldError::new(format!("{path}/{field}/{kind}/endpoint"), error));
        }
    }
    if let Some(check) = health
        && check.timeout_seconds >= check.interval_seconds
    {
        let error = "must be less than intervalSeconds";
        errors.push(FieldError::new(format!("{path}/healthCheck/timeoutSeconds"), error));
    }
    errors
}
