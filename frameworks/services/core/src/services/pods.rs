//! What clients ask for about pods.

use std::collections::{BTreeMap, VecDeque};

use chapada_model::Now;
use serde_json::{Map, Value};

use super::commands::invalid;
use super::sentence::{Sentence, Told};
use super::{AppState, Services};
use crate::definition::AppDefinition;
use crate::deployment::Change;
use crate::event::{Refusal, Reply};
use crate::id::{AppId, InstanceId};
use crate::pod;

impl Services {
    fn existing_pod(&self, id: &AppId) -> Result<&AppState, Refusal> {
        self.pod(id).ok_or_else(|| Refusal::NoPod(id.clone()))
    }

    fn pod_definition(&self, fields: &Map<String, Value>) -> Result<AppDefinition, Refusal> {
        let role = self.default_role(fields, None);
        let definition = pod::read(fields, self.settings.defaults(&role))?;
        self.settings.check(&definition)?;
        self.check_role(&definition, None)?;
        Ok(definition)
    }

    pub(super) fn create_pod(
        &mut self,
        now: Now,
        fields: &Map<String, Value>,
        force: bool,
    ) -> Result<Reply, Refusal> {
        let definition = self.pod_definition(fields)?;
        if let Some(state) = self.spec(&definition.id) {
            return Err(Refusal::Exists { kind: state.app.kind(), id: definition.id });
        }
        self.bring_about(now, definition, force)
    }

    pub(super) fn replace_pod(
        &mut self,
        now: Now,
        pod: &AppId,
        fields: &Map<String, Value>,
        force: bool,
    ) -> Result<Reply, Refusal> {
        let definition = self.pod_definition(fields)?;
        if definition.id != *pod {
            return Err(Refusal::OtherPod);
        }
        self.existing_pod(pod)?;
        self.bring_about(now, definition, force)
    }

    fn bring_about(&mut self, now: Now, definition: AppDefinition, force: bool) -> Result<Reply, Refusal> {
        let version = self.next_version(now);
        let id = definition.id.clone();
        let change = self.change(definition, version)?;
        let app = change.to.clone();
        let deployment = self.deploy(version, BTreeMap::from([(id, change)]), force)?;
        match app {
            Some(app) => Ok(Reply::Pod { app: Box::new(app), deployment }),
            None => Ok(Reply::Done),
        }
    }

    pub(super) fn delete_pod(&mut self, now: Now, pod: &AppId, force: bool) -> Result<Reply, Refusal> {
        let from = Some(self.existing_pod(pod)?.app.clone());
        let version = self.next_version(now);
        let changes = BTreeMap::from([(pod.clone(), Change { from, to: None })]);
        let deployment = self.deploy(version, changes, force)?;
        Ok(Reply::Deployed { deployment, version, created: Vec::new() })
    }

    /// The instances of a pod that are killed; with `wipe` also those that are not there and have a home.
    pub(super) fn of_pod(
        &self,
        pod: &AppId,
        (instances, all): (&[String], bool),
        wipe: bool,
    ) -> Result<Sentence, Refusal> {
        let state = self.existing_pod(pod)?;
        let mut chosen = VecDeque::new();
        for (index, text) in instances.iter().enumerate() {
            let Ok(id) = text.parse::<InstanceId>() else {
                return Err(invalid(&format!("/({index})"), format!("`{text}` is no instance id")));
            };
            match state.instances.contains_key(&id) || (wipe && state.homes.contains_key(&id)) {
                true => chosen.push_back(id),
                false if all => return Err(Refusal::NoInstance(text.clone())),
                false => {}
            }
        }
        Ok(Sentence { instances: chosen, wipe, told: Told::Instances(Vec::new()) })
    }
}
