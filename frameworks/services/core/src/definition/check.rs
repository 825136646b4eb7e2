//! Checks that agents make: what is asked. `check` of an app only informs.

use serde::Serialize;

use super::Seconds;
use super::reader::{Errors, FieldError, Fields};

/// The check of an app, whose result is shown and has no effect.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// What is asked.
    #[serde(flatten)]
    pub asks: CheckKind,
    /// From one answer to the next question.
    pub interval_seconds: Seconds,
    /// How long an answer may take.
    pub timeout_seconds: Seconds,
    /// How long after its start a task is asked first.
    pub delay_seconds: Seconds,
}

/// What a check asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckKind {
    /// For the status of an answer over HTTP.
    #[serde(rename_all = "camelCase")]
    Http {
        /// The app's port, counted from 0.
        #[serde(skip_serializing_if = "Option::is_none")]
        port_index: Option<u32>,
        /// The very port.
        #[serde(skip_serializing_if = "Option::is_none")]
        port: Option<u16>,
        /// What is asked for.
        path: String,
        /// Always `HTTP`.
        scheme: String,
    },
    /// Whether a connection is taken.
    #[serde(rename_all = "camelCase")]
    Tcp {
        /// The app's port, counted from 0.
        #[serde(skip_serializing_if = "Option::is_none")]
        port_index: Option<u32>,
        /// The very port.
        #[serde(skip_serializing_if = "Option::is_none")]
        port: Option<u16>,
    },
    /// How a command ends.
    Exec {
        /// Which.
        command: CommandLine,
    },
}

/// A command, as checks and pods write it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CommandLine {
    /// A line for `sh -c`.
    Shell(String),
    /// A program and its arguments.
    Argv(Vec<String>),
}

impl CommandLine {
    /// `{"shell": …}` or `{"argv": […]}` in the field `command`.
    pub(crate) fn read(fields: &Fields<'_>, wrong: &mut Errors, broken: &mut Errors) -> Option<Self> {
        let Some(command) = fields.object("command", wrong) else {
            if fields.get("command").is_none() {
                wrong.push(FieldError::new(fields.path("command"), "error.path.missing"));
            }
            return None;
        };
        let line = match (command.text("shell", wrong), command.texts("argv", wrong)) {
            (Some(shell), None) if !shell.trim().is_empty() => Some(Self::Shell(shell)),
            (None, Some(argv)) if argv.first().is_some_and(|program| !program.is_empty()) => {
                Some(Self::Argv(argv))
            }
            _ => None,
        };
        let has_nul = match &line {
            Some(Self::Shell(text)) => text.contains('\0'),
            Some(Self::Argv(argv)) => argv.iter().any(|text| text.contains('\0')),
            None => true,
        };
        if has_nul {
            let error = "must have exactly one of shell and argv, not empty and without NUL";
            broken.push(FieldError::new(fields.path("command"), error));
            return None;
        }
        line
    }
}

/// `check`, if it is there. Defaults are Marathon's.
pub(super) fn read(fields: &Fields<'_>, wrong: &mut Errors, broken: &mut Errors) -> Option<Check> {
    let check = fields.object("check", wrong)?;
    let asks = kind(&check, wrong, broken);
    let interval_seconds = seconds(&check, "intervalSeconds", 60.0, wrong, broken);
    let timeout_seconds = seconds(&check, "timeoutSeconds", 20.0, wrong, broken);
    let delay_seconds = seconds(&check, "delaySeconds", 15.0, wrong, broken);
    Some(Check { asks: asks?, interval_seconds, timeout_seconds, delay_seconds })
}

fn kind(check: &Fields<'_>, wrong: &mut Errors, broken: &mut Errors) -> Option<CheckKind> {
    let given: Vec<&str> =
        ["http", "tcp", "exec"].into_iter().filter(|kind| check.get(kind).is_some()).collect();
    match given.as_slice() {
        ["http"] => {
            let http = check.object("http", wrong)?;
            let scheme = http.text("scheme", wrong).unwrap_or_else(|| "HTTP".to_owned());
            if scheme != "HTTP" {
                let error = "must be HTTP: agents make checks without TLS only, and health checks with it";
                broken.push(FieldError::new(http.path("scheme"), error));
            }
            Some(CheckKind::Http {
                port_index: http.count("portIndex", wrong),
                port: http.port("port", wrong, broken),
                path: url_path(&http, wrong, broken),
                scheme,
            })
        }
        ["tcp"] => {
            let tcp = check.object("tcp", wrong)?;
            let port = tcp.port("port", wrong, broken);
            Some(CheckKind::Tcp { port_index: tcp.count("portIndex", wrong), port })
        }
        ["exec"] => {
            let exec = check.object("exec", wrong)?;
            Some(CheckKind::Exec { command: CommandLine::read(&exec, wrong, broken)? })
        }
        _ => {
            broken.push(FieldError::new("/check", "must have exactly one of http, tcp and exec"));
            None
        }
    }
}

/// The field `path`, `/` when absent; the first `/` may be left out.
pub(crate) fn url_path(fields: &Fields<'_>, wrong: &mut Errors, broken: &mut Errors) -> String {
    let given = fields.text("path", wrong).unwrap_or_default();
    let path = if given.starts_with('/') { given } else { format!("/{given}") };
    if path.chars().any(|c| c.is_control() || c.is_whitespace()) {
        broken.push(FieldError::new(fields.path("path"), "must have neither spaces nor control characters"));
    }
    path
}

/// A time of 0 or more.
pub(crate) fn seconds(
    fields: &Fields<'_>,
    name: &str,
    default: f64,
    wrong: &mut Errors,
    broken: &mut Errors,
) -> Seconds {
    let seconds = fields.number(name, wrong).unwrap_or(default);
    if seconds < 0.0 {
        broken.push(FieldError::new(fields.path(name), "must be greater than or equal to 0"));
    }
    Seconds(seconds)
}

/// What is wrong with the check of an app that has so many ports.
pub(super) fn rules(check: &Check, ports: usize) -> Errors {
    match &check.asks {
        CheckKind::Http { port_index, port, .. } => port_rules("/check/http", *port_index, *port, ports),
        CheckKind::Tcp { port_index, port } => port_rules("/check/tcp", *port_index, *port, ports),
        CheckKind::Exec { .. } => Errors::new(),
    }
}

/// What is wrong with how a check at `path` names its port.
pub(super) fn port_rules(path: &str, index: Option<u32>, port: Option<u16>, ports: usize) -> Errors {
    let error = match (port, index) {
        (Some(_), Some(_)) => FieldError::new(path, "must not have both port and portIndex"),
        (Some(0), None) => FieldError::new(format!("{path}/port"), "must be a port from 1 to 65535"),
        (None, Some(index)) if index as usize >= ports => {
            let error = format!("must be the index of one of the app's {ports} ports");
            FieldError::new(format!("{path}/portIndex"), error)
        }
        (None, None) if ports != 1 => {
            FieldError::new(path, "must name a port or a portIndex unless the app has exactly one port")
        }
        (Some(_) | None, _) => return Errors::new(),
    };
    vec![error]
}
