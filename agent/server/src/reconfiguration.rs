//! An agent that is started again with other resources, attributes or another domain than before.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use chapada_agent_core::{Agent, View};
use chapada_model::{
    Attribute, AttributeValue, ExecutorDescription, ResourceValue, Resources, TaskDescription,
};
use chapada_wire::convert::resources_from_wire;
use chapada_wire::v1;
use prost::Message;
use serde::{Deserialize, Serialize};

use crate::error::AgentError;

/// What may have changed since the agent was last started with the same work directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReconfigurationPolicy {
    /// Anything but the hostname. What tasks have stays with them, and the rest is offered.
    #[default]
    Any,
    /// There may be more of everything, and nothing less or different, as with Mesos' policy of this name.
    Additive,
    /// Nothing, as with Mesos' policy of this name.
    Equal,
}

/// What tasks and executors have that have not ended, as far as is known.
fn in_use(view: &View) -> Resources {
    let tasks = view.tasks.iter().filter(|task| task.phase.is_live()).filter_map(|task| {
        let info = v1::TaskInfo::decode(task.record.info.as_bytes()).ok()?;
        Some(TaskDescription::try_from(&info).ok()?.resources)
    });
    let executors = view.executors.iter().filter_map(|executor| {
        let info = v1::ExecutorInfo::decode(executor.record.info.as_bytes()).ok()?;
        Some(ExecutorDescription::try_from(&info).ok()?.resources)
    });
    let mut all = Resources::EMPTY;
    for resources in tasks.chain(executors) {
        let resources = resources.unallocated();
        if let Err(error) = all.add(&resources.unshared()).and_then(|()| all.share(&resources)) {
            tracing::warn!(%error, "two tasks have one resource");
        }
    }
    all
}

/// Gives the core what this machine has now. What was made of resources that are gone waits for their return.
pub(crate) fn configure(agent: &mut Agent, resources: &Resources) -> Result<(), AgentError> {
    let in_use = in_use(&agent.view());
    agent.configure(resources, &in_use).map_err(AgentError::Made)?;
    if !agent.absent().is_empty() {
        let absent = agent.absent();
        tracing::warn!(%absent, "reservations and volumes of resources that this agent has no more are kept as they are until it has them again");
    }
    Ok(())
}

/// Compares what the agent says of itself with what it said when it was started before, and keeps it for the next time.
///
/// # Errors
/// [`AgentError::Reconfigured`] when the policy does not allow the change, [`AgentError::Renamed`] when the hostname is another,
/// which no policy allows: the master would take it for another machine with this agent's id. What is kept is then as before.
pub(crate) fn check(
    policy: ReconfigurationPolicy,
    path: &Path,
    now: &v1::AgentInfo,
) -> Result<(), AgentError> {
    let failed = |operation| move |source| AgentError::directory(operation, path)(source);
    let before = read(path).map_err(failed("read"))?;
    if let Some(before) = &before {
        if before.hostname() != now.hostname() {
            let (was, is) = (before.hostname().to_owned(), now.hostname().to_owned());
            return Err(AgentError::Renamed { was, is });
        }
        let change = match policy {
            ReconfigurationPolicy::Any => None,
            ReconfigurationPolicy::Additive => lost(before, now),
            ReconfigurationPolicy::Equal => differing(before, now),
        };
        if let Some(change) = change {
            return Err(AgentError::Reconfigured(change));
        }
    }
    // The port is not compared.
    if before.is_some_and(|before| v1::AgentInfo { port: now.port, ..before } == *now) {
        return Ok(());
    }
    match (write(path, now), policy) {
        // What runs has to be adopted, whatever others have filled the disk with.
        (Err(error), ReconfigurationPolicy::Any) => {
            tracing::warn!(path = %path.display(), %error, "the next start compares with what was written before");
            Ok(())
        }
        (written, _) => written.map_err(failed("write")),
    }
}

fn read(path: &Path) -> io::Result<Option<v1::AgentInfo>> {
    match fs::read(path) {
        Ok(bytes) => v1::AgentInfo::decode(&*bytes).map(Some).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whole or not at all.
fn write(path: &Path, info: &v1::AgentInfo) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(&info.encode_to_vec())?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

/// The first thing that is not the same.
fn differing(before: &v1::AgentInfo, now: &v1::AgentInfo) -> Option<String> {
    let (was, is) = (resources(before), resources(now));
    let change = |what: &str, was: String, is: String| (was != is).then(|| format!("{what} {was} to {is}"));
    change("resources", was.to_string(), is.to_string())
        .or_else(|| change("attributes", shown(before), shown(now)))
        .or_else(|| change("domain", domain(before), domain(now)))
}

/// The first thing that was there and is not, or is another.
fn lost(before: &v1::AgentInfo, now: &v1::AgentInfo) -> Option<String> {
    let (was, is) = (resources(before), resources(now));
    if !is.contains(&was) {
        return Some(format!("resources {was} to {is}"));
    }
    let mut grown = now.clone();
    grown.resources.clone_from(&before.resources);
    let has = |attribute: &Attribute| attributes(now).iter().any(|other| extends(other, attribute));
    if attributes(before).iter().all(has) {
        grown.attributes.clone_from(&before.attributes);
    }
    if before.domain.is_none() {
        grown.domain = None;
    }
    differing(before, &grown)
}

/// Whether an attribute has all that another has.
fn extends(now: &Attribute, before: &Attribute) -> bool {
    now.name == before.name
        && match (&now.value, &before.value) {
            (AttributeValue::Ranges(now), AttributeValue::Ranges(before)) => {
                ResourceValue::Ranges(now.clone()).contains(&ResourceValue::Ranges(before.clone()))
            }
            (now, before) => now == before,
        }
}

fn resources(info: &v1::AgentInfo) -> Resources {
    resources_from_wire("resources", &info.resources).unwrap_or_default()
}

fn attributes(info: &v1::AgentInfo) -> Vec<Attribute> {
    info.attributes.iter().filter_map(|attribute| attribute.try_into().ok()).collect()
}

fn shown(info: &v1::AgentInfo) -> String {
    format!("{:?}", attributes(info))
}

fn domain(info: &v1::AgentInfo) -> String {
    info.domain.as_ref().map_or_else(|| "none".to_owned(), |domain| format!("{domain:?}"))
}

#[cfg(test)]
mod tests {
    use chapada_wire::convert::{ReservationFormat, domain_from_json, resources_to_wire};

    use super::*;

    fn info(resources: &str, attributes: &str, zone: Option<&str>) -> v1::AgentInfo {
        let resources: Resources = resources.parse().unwrap();
        let zone = zone.map(|zone| {
            let text =
                format!(r#"{{"fault_domain":{{"region":{{"name":"r"}},"zone":{{"name":"{zone}"}}}}}}"#);
            (&domain_from_json(&text).unwrap()).into()
        });
        v1::AgentInfo {
            hostname: Some("h".to_owned()),
            resources: resources_to_wire(&resources, ReservationFormat::Stacked),
            attributes: Attribute::parse_list(attributes).unwrap().iter().map(Into::into).collect(),
            domain: zone,
            ..v1::AgentInfo::default()
        }
    }

    /// What each policy makes of a change: equal, additive, any.
    fn allowed(before: &v1::AgentInfo, now: &v1::AgentInfo) -> [bool; 3] {
        use ReconfigurationPolicy::{Additive, Any, Equal};
        [Equal, Additive, Any].map(|policy| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("agent.info");
            check(policy, &path, before).expect("there is nothing to compare with");
            let outcome = check(policy, &path, now);
            let kept = read(&path).unwrap().unwrap();
            assert_eq!(kept, if outcome.is_ok() { now.clone() } else { before.clone() });
            outcome.is_ok()
        })
    }

    #[test]
    fn policies_allow_what_those_of_mesos_do() {
        let before = info("cpus:2;ports:[1-5]", "rack:a;ports:[1-5]", None);
        let cases = [
            (before.clone(), [true, true, true]),
            (info("cpus:3;mem:5;ports:[1-9]", "rack:a;ports:[1-5]", None), [false, true, true]),
            (info("cpus:1;ports:[1-5]", "rack:a;ports:[1-5]", None), [false, false, true]),
            (info("cpus:2;ports:[2-6]", "rack:a;ports:[1-5]", None), [false, false, true]),
            (info("cpus:2;ports:[1-5]", "rack:a;ports:[1-9];new:1", None), [false, true, true]),
            (info("cpus:2;ports:[1-5]", "rack:b;ports:[1-5]", None), [false, false, true]),
            (info("cpus:2;ports:[1-5]", "ports:[1-5]", None), [false, false, true]),
            (info("cpus:2;ports:[1-5]", "rack:a;ports:[1-5]", Some("z")), [false, true, true]),
        ];
        for (now, expected) in cases {
            assert_eq!(allowed(&before, &now), expected, "{now:?}");
        }
        let renamed = v1::AgentInfo { hostname: Some("other".to_owned()), ..before.clone() };
        assert_eq!(allowed(&before, &renamed), [false; 3]);
        let placed = info("cpus:2", "", Some("z"));
        assert_eq!(allowed(&placed, &info("cpus:2", "", Some("y"))), [false, false, true]);
        let error = check_after(&before, &info("cpus:1", "", None));
        assert!(error.contains("resources cpus:2; ports:[1-5] to cpus:1"), "{error}");
    }

    #[test]
    fn what_cannot_be_written_keeps_nobody_from_starting_unless_it_will_be_compared() {
        let folder = tempfile::tempdir().unwrap();
        let nowhere = folder.path().join("none/agent.info");
        let now = info("cpus:2", "", None);
        check(ReconfigurationPolicy::Any, &nowhere, &now).unwrap();
        let error = check(ReconfigurationPolicy::Equal, &nowhere, &now).unwrap_err();
        assert!(error.to_string().contains("none/agent.info"), "{error}");
    }

    #[test]
    fn what_has_not_changed_is_not_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.info");
        let now = info("cpus:2", "rack:a", None);
        check(ReconfigurationPolicy::Equal, &path, &now).unwrap();
        // What is not there cannot be written beside it.
        fs::create_dir(path.with_extension("new")).unwrap();
        let on_another_port = v1::AgentInfo { port: Some(5052), ..now };
        check(ReconfigurationPolicy::Equal, &path, &on_another_port).unwrap();
    }

    fn check_after(before: &v1::AgentInfo, now: &v1::AgentInfo) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.info");
        check(ReconfigurationPolicy::Equal, &path, before).unwrap();
        check(ReconfigurationPolicy::Equal, &path, now).unwrap_err().to_string()
    }
}
