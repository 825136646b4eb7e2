//! Options of `docker run` that a container may be given: those that mean something to the agents. What another would mean
//! is refused where it is written, not discovered when a task starts.

use serde::Serialize;

use super::reader::{Errors, FieldError, Fields};

/// One option, by its long name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Parameter {
    /// Which.
    pub key: String,
    /// What it is set to.
    pub value: String,
}

/// `parameters` of an image.
pub(super) fn read_parameters(docker: &Fields<'_>, wrong: &mut Errors) -> Vec<Parameter> {
    let mut found = Vec::new();
    for parameter in docker.objects("parameters", wrong).unwrap_or_default() {
        for name in ["key", "value"] {
            if parameter.get(name).is_none() {
                wrong.push(FieldError::new(parameter.path(name), "error.path.missing"));
            }
        }
        if let (Some(key), Some(value)) = (parameter.text("key", wrong), parameter.text("value", wrong)) {
            found.push(Parameter { key, value });
        }
    }
    found
}

/// What is wrong with the parameters at `path`.
pub(super) fn parameter_rules(path: &str, parameters: &[Parameter]) -> Errors {
    let mut errors = Errors::new();
    for (index, Parameter { key, value }) in parameters.iter().enumerate() {
        if let Some(error) = error(key, value) {
            errors.push(FieldError::new(format!("{path}({index})"), error));
        }
    }
    errors
}

/// Source: `agent/server`, `containers/parameters.rs`, which does what is let through here.
fn error(key: &str, value: &str) -> Option<String> {
    let is_flag = ["", "true", "false", "0", "1"].contains(&value);
    let wanted = match key {
        "env" if value.split_once('=').is_none_or(|(name, _)| name.is_empty()) => "NAME=VALUE",
        "group-add" if value.parse::<u32>().is_err() => "the number of a group",
        "init" | "privileged" | "read-only" if !is_flag => "true or false",
        "ipc" if value != "private" => "private",
        "security-opt" if !is_security(value) => "no-new-privileges or seccomp=…",
        "shm-size" if !is_size(value) => "a size such as 64m",
        "tmpfs" if !value.starts_with('/') => "/PATH or /PATH:size=SIZE",
        "ulimit" if !value.contains('=') => "NAME=SOFT[:HARD]",
        "userns" if value != "host" => "host",
        "volume" if !is_volume(value) => "/PATH:/TARGET[:ro|:rw]",
        "workdir" if !value.starts_with('/') => "an absolute path",
        "cap-add" | "cap-drop" | "hostname" | "user" if value.is_empty() => "not empty",
        "cap-add" | "cap-drop" | "env" | "group-add" | "hostname" | "init" | "ipc" | "label"
        | "privileged" | "read-only" | "security-opt" | "shm-size" | "tmpfs" | "ulimit" | "user"
        | "userns" | "volume" | "workdir" => {
            return value.contains('\0').then(|| "must not contain a NUL character".to_owned());
        }
        other => return Some(format!("the option {other} means nothing to agents")),
    };
    Some(format!("the value of {key} must be {wanted}"))
}

fn is_security(value: &str) -> bool {
    match value.split_once(['=', ':']).unwrap_or((value, "true")) {
        ("no-new-privileges", "true") => true,
        ("seccomp", profile) => !profile.is_empty(),
        _ => false,
    }
}

fn is_size(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    let digits = lower.trim_end_matches(['b', 'k', 'm', 'g']);
    let unit = ["", "b", "k", "kb", "m", "mb", "g", "gb"].contains(&&lower[digits.len()..]);
    unit && digits.parse::<u64>().is_ok_and(|size| size > 0)
}

fn is_volume(value: &str) -> bool {
    let parts: Vec<&str> = value.split(':').collect();
    match parts.as_slice() {
        [host, target] | [host, target, "ro" | "rw"] => host.starts_with('/') && target.starts_with('/'),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_agents_would_refuse_is_refused_here() {
        for (key, value, taken) in [
            ("env", "A=b=c", true),
            ("env", "A", false),
            ("volume", "/data:/srv:ro", true),
            ("volume", "named:/srv", false),
            ("shm-size", "1g", true),
            ("shm-size", "much", false),
            ("cap-add", "NET_RAW", true),
            ("label", "x=y", true),
            ("security-opt", "apparmor=unconfined", false),
            ("read-only", "perhaps", false),
            ("network", "host", false),
            ("device", "/dev/sda", false),
            ("pid", "host", false),
        ] {
            assert_eq!(error(key, value).is_none(), taken, "{key} {value}");
        }
    }
}
