//! Resources as the operator names them: as text, as a JSON array of Mesos' `Resource` messages, or as a file with either.

use std::fs;
use std::path::Path;

use chapada_model::{DiskKind, ReservationKind, Resource, ResourceValue, Resources};
use chapada_wire::convert::{InvalidField, resources_from_json};

use crate::error::AgentError;
use chapada_model::chain;

const FILE: &str = "file://";

/// Reads what `--resources` says.
///
/// # Errors
/// [`AgentError::Flag`] names the part or the field, and what it has to be.
pub(crate) fn named(flag: &str) -> Result<Resources, AgentError> {
    let flag = flag.trim();
    let text = match flag.strip_prefix(FILE) {
        Some(path) => of_file(path)?,
        None => flag.to_owned(),
    };
    let refused = |problem: String| AgentError::flag("resources", problem);
    if !text.trim_start().starts_with('[') {
        return text.parse().map_err(|error| refused(chain(&error)));
    }
    let list = resources_from_json(&text).map_err(|error| refused(error.to_string()))?;
    for (index, resource) in list.iter().enumerate() {
        check(resource)
            .map_err(|error| refused(error.within(format_args!("resources[{index}]")).to_string()))?;
    }
    Resources::from_list(list).map_err(|error| refused(error.to_string()))
}

fn of_file(path: &str) -> Result<String, AgentError> {
    if !Path::new(path).is_absolute() {
        return Err(AgentError::flag(
            "resources",
            format!("write {FILE} and an absolute path, not '{path}'"),
        ));
    }
    fs::read_to_string(path)
        .map_err(|error| AgentError::flag("resources", format!("cannot read {path}: {error}")))
}

/// What only comes to be at run time cannot be configured.
fn check(resource: &Resource) -> Result<(), InvalidField> {
    let refuse = |field: &str, problem: &str| Err(InvalidField::new(field, problem));
    if resource.reservations.iter().any(|reservation| reservation.kind == ReservationKind::Dynamic) {
        return refuse("reservations", "must be STATIC; what is DYNAMIC is made by RESERVE");
    }
    let run_time = [
        ("allocation_info", resource.allocation_role.is_some()),
        ("provider_id", resource.provider.is_some()),
        ("revocable", resource.revocable),
        ("shared", resource.shared),
    ];
    if let Some((field, _)) = run_time.into_iter().find(|(_, is_there)| *is_there) {
        return refuse(field, "is not for an agent to say; leave it out");
    }
    let Some(disk) = &resource.disk else { return Ok(()) };
    if &*resource.name != "disk" || !matches!(resource.value, ResourceValue::Scalar(_)) {
        return refuse("disk", "is for a SCALAR named 'disk'");
    }
    if disk.persistence.is_some() {
        return refuse("disk.persistence", "is made by CREATE; leave it out");
    }
    if disk.volume.is_some() {
        return refuse("disk.volume", "is made by CREATE; leave it out");
    }
    let Some(source) = &disk.source else {
        return refuse("disk.source", "is required where there is 'disk'");
    };
    match (source.kind, &source.root) {
        (DiskKind::Block | DiskKind::Raw, _) => refuse("disk.source.type", "must be PATH or MOUNT"),
        (DiskKind::Path, None) => refuse("disk.source.path.root", "is required"),
        (DiskKind::Mount, None) => refuse("disk.source.mount.root", "is required"),
        (DiskKind::Path | DiskKind::Mount, Some(_)) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn disk(more: Value) -> Value {
        let mut disk = json!({ "name": "disk", "type": "SCALAR", "scalar": { "value": 64 } });
        disk.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        disk
    }

    #[test]
    fn text_json_and_a_file_say_the_same() {
        let text = "cpus:2;disk(ops):64";
        let json = json!([
            { "name": "cpus", "type": "SCALAR", "scalar": { "value": 2 } },
            disk(json!({ "reservations": [{ "type": "STATIC", "role": "ops" }] })),
        ]);
        let old = json!([
            { "name": "cpus", "type": "SCALAR", "scalar": { "value": 2 } },
            disk(json!({ "role": "ops" })),
        ]);
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), json.to_string()).unwrap();
        let of_file = named(&format!("file://{}", file.path().display())).unwrap();
        for one in [named(text).unwrap(), named(&json.to_string()).unwrap(), named(&old.to_string()).unwrap()]
        {
            assert_eq!(one, of_file);
        }
        for bad in ["file://etc/x", "file:///nowhere/at/all"] {
            let error = named(bad).unwrap_err().to_string();
            assert!(error.starts_with("--resources: "), "{error}");
        }
    }

    #[test]
    fn what_is_not_for_an_agent_to_say_is_refused_by_its_field() {
        let source = |kind: &str| json!({ "disk": { "source": { "type": kind } } });
        let cases = [
            (json!({ "reservations": [{ "type": "DYNAMIC", "role": "ops" }] }), "reservations: must"),
            (json!({ "revocable": {} }), "revocable: is not"),
            (json!({ "shared": {} }), "shared: is not"),
            (json!({ "provider_id": { "value": "p" } }), "provider_id: is not"),
            (json!({ "allocation_info": { "role": "ops" } }), "allocation_info: is not"),
            (json!({ "name": "mem", "disk": {} }), "disk: is for"),
            (json!({ "disk": {} }), "disk.source: is required"),
            (json!({ "disk": { "persistence": { "id": "v" } } }), "disk.persistence: is made"),
            (
                json!({ "disk": { "volume": { "container_path": "v", "mode": "RW" } } }),
                "disk.volume: is made",
            ),
            (source("RAW"), "disk.source.type: must"),
            (source("BLOCK"), "disk.source.type: must"),
            (source("PATH"), "disk.source.path.root: is required"),
            (source("MOUNT"), "disk.source.mount.root: is required"),
        ];
        for (more, begin) in cases {
            let error = named(&json!([disk(json!({})), disk(more)]).to_string()).unwrap_err().to_string();
            let begin = format!("--resources: resources[1].{begin}");
            assert!(error.starts_with(&begin), "'{error}' does not start with '{begin}'");
        }
    }
}
