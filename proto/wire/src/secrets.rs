//! The values of secrets in descriptions of tasks and executors: where they are, and how they are taken out before a
//! description is written down or shown.

use crate::v1;

/// A message with secrets in it.
pub trait HoldsSecrets {
    /// Visits each secret, always in the same order. A registry's password, which no message of this kind is asked for any
    /// more, is taken out on the way.
    fn each_secret(&mut self, visit: &mut dyn FnMut(&mut v1::Secret));
}

/// Takes the values out; they are in the order in which [`put_back`] wants them. Empty when there were none.
pub fn take(message: &mut impl HoldsSecrets) -> Vec<Vec<u8>> {
    let mut values = Vec::new();
    message.each_secret(&mut |secret| {
        let data = secret.value.as_mut().and_then(|value| value.data.as_mut());
        values.extend(data.map(std::mem::take));
    });
    values
}

/// Undoes [`take`]; `false` when these are not the values of this message.
pub fn put_back(message: &mut impl HoldsSecrets, values: &[Vec<u8>]) -> bool {
    let mut rest = values.iter();
    let mut enough = true;
    message.each_secret(&mut |secret| {
        if let Some(data) = secret.value.as_mut().and_then(|value| value.data.as_mut()) {
            match rest.next() {
                Some(value) => data.clone_from(value),
                None => enough = false,
            }
        }
    });
    enough && rest.next().is_none()
}

impl<T: HoldsSecrets> HoldsSecrets for Option<T> {
    fn each_secret(&mut self, visit: &mut dyn FnMut(&mut v1::Secret)) {
        self.iter_mut().for_each(|message| message.each_secret(visit));
    }
}

impl<T: HoldsSecrets> HoldsSecrets for Vec<T> {
    fn each_secret(&mut self, visit: &mut dyn FnMut(&mut v1::Secret)) {
        self.iter_mut().for_each(|message| message.each_secret(visit));
    }
}

impl HoldsSecrets for v1::TaskInfo {
    fn each_secret(&mut self, visit: &mut dyn FnMut(&mut v1::Secret)) {
        self.command.each_secret(visit);
        self.container.each_secret(visit);
        self.executor.each_secret(visit);
        self.resources.each_secret(visit);
        self.health_check.each_secret(visit);
        let check = self.check.as_mut().and_then(|check| check.command.as_mut());
        check.into_iter().for_each(|check| check.command.each_secret(visit));
    }
}

impl HoldsSecrets for v1::ExecutorInfo {
    fn each_secret(&mut self, visit: &mut dyn FnMut(&mut v1::Secret)) {
        self.command.each_secret(visit);
        self.container.each_secret(visit);
        self.resources.each_secret(visit);
    }
}

impl HoldsSecrets for v1::HealthCheck {
    fn each_secret(&mut self, visit: &mut dyn FnMut(&mut v1::Secret)) {
        self.command.each_secret(visit);
    }
}

impl HoldsSecrets for v1::CommandInfo {
    fn each_secret(&mut self, visit: &mut dyn FnMut(&mut v1::Secret)) {
        let variables = self.environment.iter_mut().flat_map(|environment| &mut environment.variables);
        variables.filter_map(|variable| variable.secret.as_mut()).for_each(visit);
    }
}

impl HoldsSecrets for v1::ContainerInfo {
    fn each_secret(&mut self, visit: &mut dyn FnMut(&mut v1::Secret)) {
        self.volumes.each_secret(visit);
        self.mesos.iter_mut().for_each(|mesos| mesos.image.each_secret(visit));
    }
}

impl HoldsSecrets for v1::Resource {
    fn each_secret(&mut self, visit: &mut dyn FnMut(&mut v1::Secret)) {
        self.disk.iter_mut().for_each(|disk| disk.volume.each_secret(visit));
    }
}

impl HoldsSecrets for v1::Volume {
    fn each_secret(&mut self, visit: &mut dyn FnMut(&mut v1::Secret)) {
        self.image.each_secret(visit);
        let Some(source) = &mut self.source else { return };
        source.secret.iter_mut().for_each(&mut *visit);
        let csi = source.csi_volume.as_mut().and_then(|csi| csi.static_provisioning.as_mut());
        let Some(csi) = csi else { return };
        // Maps have an order of their own for each message, and a message that is read again has another.
        for secrets in [&mut csi.node_stage_secrets, &mut csi.node_publish_secrets] {
            let mut sorted: Vec<_> = secrets.iter_mut().collect();
            sorted.sort_unstable_by_key(|(name, _)| *name);
            sorted.into_iter().for_each(|(_, secret)| visit(secret));
        }
    }
}

impl HoldsSecrets for v1::Image {
    fn each_secret(&mut self, visit: &mut dyn FnMut(&mut v1::Secret)) {
        let Some(docker) = &mut self.docker else { return };
        docker.config.iter_mut().for_each(visit);
        docker.credential.iter_mut().for_each(|credential| credential.secret = None);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message as _;
    use prost_types::{DescriptorProto, FileDescriptorSet};

    use super::*;

    fn secret(value: &str) -> v1::Secret {
        let value = Some(v1::secret::Value { data: Some(value.as_bytes().to_vec()) });
        v1::Secret { r#type: Some(v1::secret::Type::Value as i32), value, ..v1::Secret::default() }
    }

    fn command(value: &str) -> v1::CommandInfo {
        let variable = v1::environment::Variable {
            name: Some("PASSWORD".to_owned()),
            secret: Some(secret(value)),
            ..Default::default()
        };
        let environment = Some(v1::Environment { variables: vec![variable] });
        v1::CommandInfo { environment, ..v1::CommandInfo::default() }
    }

    #[test]
    fn values_leave_and_come_back() {
        let source = v1::volume::Source { secret: Some(secret("canary-3")), ..Default::default() };
        let volumes = vec![v1::Volume { source: Some(source), ..Default::default() }];
        let whole = v1::TaskInfo {
            command: Some(command("canary-1")),
            container: Some(v1::ContainerInfo { volumes, ..Default::default() }),
            executor: Some(v1::ExecutorInfo { command: Some(command("canary-2")), ..Default::default() }),
            ..v1::TaskInfo::default()
        };
        let mut open = whole.clone();
        let values = take(&mut open);
        assert_eq!(values, [b"canary-1", b"canary-3", b"canary-2"]);
        assert!(!format!("{open:?}").contains("canary"));
        let bytes = open.encode_to_vec();
        assert!(!bytes.windows(6).any(|window| window == b"canary"));
        let mut back = v1::TaskInfo::decode(bytes.as_slice()).unwrap();
        assert!(put_back(&mut back, &values));
        assert_eq!(back, whole);
        assert!(!put_back(&mut back, &values[..2]) && !put_back(&mut back, &[]));
    }

    /// The fields that lead from a message to a secret, one line a way.
    fn ways(
        set: &FileDescriptorSet,
        message: &DescriptorProto,
        above: &str,
        seen: &[&str],
        found: &mut BTreeSet<String>,
    ) {
        for field in &message.field {
            let kind = field.type_name().strip_prefix(".chapada.v1.").unwrap_or_default();
            let here = format!("{above}.{}", field.name());
            if kind == "Secret" {
                found.insert(here);
            } else if let (Some(below), false) = (find(set, kind), seen.contains(&kind)) {
                ways(set, below, &here, &[seen, &[kind]].concat(), found);
            }
        }
    }

    fn find<'a>(set: &'a FileDescriptorSet, name: &str) -> Option<&'a DescriptorProto> {
        let mut parts = name.split('.');
        let first = parts.next()?;
        let in_package = set.file.iter().filter(|file| file.package() == "chapada.v1");
        let top = in_package.flat_map(|file| &file.message_type).find(|message| message.name() == first)?;
        parts.try_fold(top, |message, part| message.nested_type.iter().find(|nested| nested.name() == part))
    }

    #[test]
    fn no_way_to_a_secret_is_forgotten() {
        let set = FileDescriptorSet::decode(crate::DESCRIPTORS).unwrap();
        let mut found = BTreeSet::new();
        ways(&set, find(&set, "TaskInfo").unwrap(), "task", &[], &mut found);
        let command = |above: &str| vec![format!("{above}.environment.variables.secret")];
        let csi = "source.csi_volume.static_provisioning";
        let volume = |above: &str| {
            vec![
                format!("{above}.image.docker.config"),
                format!("{above}.source.secret"),
                format!("{above}.{csi}.node_stage_secrets.value"),
                format!("{above}.{csi}.node_publish_secrets.value"),
            ]
        };
        let holder = |above: &str| {
            [
                command(&format!("{above}.command")),
                volume(&format!("{above}.container.volumes")),
                vec![format!("{above}.container.mesos.image.docker.config")],
                volume(&format!("{above}.resources.disk.volume")),
            ]
            .concat()
        };
        let mut known: BTreeSet<String> = holder("task").into_iter().chain(holder("task.executor")).collect();
        known.extend(command("task.health_check.command"));
        known.extend(command("task.check.command.command"));
        assert_eq!(found, known);
    }
}
