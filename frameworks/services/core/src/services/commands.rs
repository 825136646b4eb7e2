//! What clients ask for.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use chapada_model::{Now, TaskId};
use serde_json::{Map, Value};

use super::ports::GivenPorts;
use super::sentence::{Sentence, Told};
use super::{AppState, Services};
use crate::app::{App, Kind};
use crate::definition::persistent::changed;
use crate::definition::{AppDefinition, FieldError, InvalidDefinition, merged};
use crate::deployment::Change;
use crate::event::{Command, Effect, Refusal, Reply, Update, Which};
use crate::id::{AppId, DeploymentId, InstanceId};
use crate::instance::Task;
use crate::pod::moved;
use crate::records::Key;
use crate::timestamp::Timestamp;

impl From<InvalidDefinition> for Refusal {
    fn from(invalid: InvalidDefinition) -> Self {
        match invalid {
            InvalidDefinition::WrongType(errors) => Self::WrongType(errors),
            InvalidDefinition::BreaksRule(errors) => Self::Invalid(errors),
        }
    }
}

pub(super) fn invalid(path: &str, error: impl Into<String>) -> Refusal {
    Refusal::Invalid(vec![FieldError::new(path, error)])
}

impl Services {
    pub(super) fn on_command(&mut self, now: Now, request: u64, command: Command) {
        let answer = match command {
            Command::Create { definition, force } => self.create(now, &definition, force),
            Command::Update { updates, force } => self.update(now, updates, force),
            Command::Delete { app, force } => self.delete(now, &app, force),
            Command::Restart { app, force } => self.restart(now, &app, force),
            Command::Kill { which, scale, force } => {
                let sentence = self.killing(now, which, scale, force);
                return self.condemn(now, request, sentence);
            }
            Command::Wipe { which } => return self.condemn(now, request, self.to_wipe(which)),
            Command::Cancel { deployment, force } => self.cancel_or_undo(now, deployment, force),
            Command::CreatePod { definition, force } => self.create_pod(now, &definition, force),
            Command::ReplacePod { pod, definition, force } => self.replace_pod(now, &pod, &definition, force),
            Command::DeletePod { pod, force } => self.delete_pod(now, &pod, force),
            Command::KillInstances { pod, instances, all } => {
                return self.condemn(now, request, self.of_pod(&pod, (&instances, all), false));
            }
            Command::WipeInstances { pod, instances, all } => {
                return self.condemn(now, request, self.of_pod(&pod, (&instances, all), true));
            }
            Command::Group { group, change, force } => self.change_group(now, group, change, force),
            Command::Promote(deployment) => self.promote(deployment),
            Command::Pause(deployment) => self.pause(now, deployment),
            Command::Resume(deployment) => self.resume(now, deployment),
            Command::ResetDelay { app } => self.reset_delay(app),
        };
        self.outbox.push(Effect::Answer { request, answer });
    }

    fn existing(&self, id: &AppId) -> Result<&AppState, Refusal> {
        self.app(id).ok_or_else(|| Refusal::NoApp(id.clone()))
    }

    fn create(&mut self, now: Now, fields: &Map<String, Value>, force: bool) -> Result<Reply, Refusal> {
        let definition = self.definition(fields)?;
        let id = definition.id.clone();
        if let Some(state) = self.spec(&id) {
            return Err(Refusal::Exists { kind: state.app.kind(), id });
        }
        let version = self.next_version(now);
        let change = self.change(definition, version)?;
        let app = change.to.clone();
        let deployment = self.deploy(version, BTreeMap::from([(id, change)]), force)?;
        match app {
            Some(app) => Ok(Reply::Created { app: Box::new(app), deployment }),
            None => Ok(Reply::Done),
        }
    }

    fn definition(&self, fields: &Map<String, Value>) -> Result<AppDefinition, Refusal> {
        self.definition_in(fields, None)
    }

    /// From what is there to `definition`.
    pub(super) fn change(&self, definition: AppDefinition, version: Timestamp) -> Result<Change, Refusal> {
        self.change_among(definition, version, &mut GivenPorts::none_of(&self.settings.service_ports))
    }

    /// From what is there to `definition`, in a change that has given these service ports to others.
    pub(super) fn change_among(
        &self,
        mut definition: AppDefinition,
        version: Timestamp,
        ports: &mut GivenPorts,
    ) -> Result<Change, Refusal> {
        let id = definition.id.clone();
        let from = self.spec(&id).map(|state| state.app.clone());
        match &from {
            None => self.check_new(&id)?,
            Some(from) if from.is_pod() != definition.pod.is_some() => {
                return Err(Refusal::Exists { kind: from.kind(), id });
            }
            Some(_) => {}
        }
        let previous = from.as_ref().map(|app| &*app.definition);
        let errors = previous.filter(|app| app.is_resident()).map(|app| changed(app, &definition));
        if let Some(errors) = errors.filter(|errors| !errors.is_empty()) {
            let of_pod = definition.pod.is_some();
            return Err(Refusal::Invalid(if of_pod { moved(errors) } else { errors }));
        }
        self.assign_service_ports(&mut definition, previous, ports);
        let to = match &from {
            Some(app) if *app.definition == definition => app.clone(),
            from => App::accepted(definition, version, from.as_ref()),
        };
        Ok(Change { from, to: Some(to) })
    }

    fn check_new(&self, id: &AppId) -> Result<(), Refusal> {
        let text = id.as_str();
        let prefix = format!("{text}/");
        let mut after = self.apps.range::<str, _>((Bound::Included(prefix.as_str()), Bound::Unbounded));
        let below = after.next().filter(|(other, _)| other.is_below(text));
        let parents = text.match_indices('/').skip(1).filter_map(|(at, _)| text[..at].parse::<AppId>().ok());
        let parent = parents.into_iter().find(|parent| self.apps.contains_key(parent));
        if self.groups.contains_key(text) || below.is_some() {
            return Err(Refusal::Exists { kind: Kind::Group, id: id.clone() });
        }
        match parent {
            Some(other) => Err(invalid(
                "/id",
                format!("an app and a group may not share a path; there is the app {other}"),
            )),
            None => Ok(()),
        }
    }

    fn update(&mut self, now: Now, updates: Vec<Update>, force: bool) -> Result<Reply, Refusal> {
        let version = self.next_version(now);
        let changes = self.changes(updates, version)?;
        let is_new = |(app, change): (&AppId, &Change)| change.from.is_none().then(|| app.clone());
        let created = changes.iter().filter_map(is_new).collect();
        let deployment = self.deploy(version, changes, force)?;
        Ok(Reply::Deployed { deployment, version, created })
    }

    /// What the updates would change, as `version`.
    pub(super) fn changes(
        &self,
        updates: Vec<Update>,
        version: Timestamp,
    ) -> Result<BTreeMap<AppId, Change>, Refusal> {
        let mut changes: BTreeMap<AppId, Change> = BTreeMap::new();
        let mut ports = GivenPorts::none_of(&self.settings.service_ports);
        for update in updates {
            let app = update.app.clone();
            // What the list says of an app twice adds up.
            let before = changes.get(&app).and_then(|change| change.to.as_ref());
            let before = before.or_else(|| self.app(&app).map(|state| &state.app));
            let definition = self.updated(update, before.map(|app| &*app.definition))?;
            changes.insert(app, self.change_among(definition, version, &mut ports)?);
        }
        Ok(changes)
    }

    /// The definition that an update makes of the one before.
    fn updated(&self, update: Update, before: Option<&AppDefinition>) -> Result<AppDefinition, Refusal> {
        let Update { app, mut fields, partial, create } = update;
        if before.is_none() && !create {
            return Err(Refusal::NoApp(app));
        }
        if let Some(id) = fields.get("id").filter(|id| !id.is_null()) {
            let names = id.as_str().and_then(|id| id.parse::<AppId>().ok());
            if names.as_ref() != Some(&app) {
                return Err(invalid("/id", format!("must be {app}, as in the path")));
            }
        }
        fields.insert("id".to_owned(), Value::String(app.to_string()));
        // A whole definition says which version it was read from, which is nothing that it asks for.
        let Some(before) = before.filter(|_| partial) else { return self.definition(&fields) };
        match fields.get("version").filter(|version| !version.is_null()) {
            Some(version) => self.rolled_back(&app, version, &fields),
            None => self.definition(&merged(before, &fields)),
        }
    }

    fn rolled_back(
        &self,
        app: &AppId,
        version: &Value,
        fields: &Map<String, Value>,
    ) -> Result<AppDefinition, Refusal> {
        let others = |name: &str, value: &Value| !matches!(name, "id" | "version") && !value.is_null();
        if fields.iter().any(|(name, value)| others(name, value)) {
            return Err(invalid("/version", "The 'version' field may only be combined with the 'id' field."));
        }
        let text = version.as_str().unwrap_or_default();
        let version: Timestamp = text.parse().map_err(|_| {
            Refusal::WrongType(vec![FieldError::new("/version", "error.expected: a timestamp")])
        })?;
        let state = self.existing(app)?;
        let found = state.versions.get(&version).ok_or_else(|| Refusal::NoVersion(app.clone(), version))?;
        Ok(AppDefinition::clone(&found.definition))
    }

    fn delete(&mut self, now: Now, app: &AppId, force: bool) -> Result<Reply, Refusal> {
        let from = Some(self.existing(app)?.app.clone());
        let version = self.next_version(now);
        let changes = BTreeMap::from([(app.clone(), Change { from, to: None })]);
        let deployment = self.deploy(version, changes, force)?;
        Ok(Reply::Deployed { deployment, version, created: Vec::new() })
    }

    fn restart(&mut self, now: Now, app: &AppId, force: bool) -> Result<Reply, Refusal> {
        let from = self.existing(app)?.app.clone();
        let version = self.next_version(now);
        let to = Some(from.restarted(version));
        let changes = BTreeMap::from([(app.clone(), Change { from: Some(from), to })]);
        let deployment = self.deploy(version, changes, force)?;
        Ok(Reply::Deployed { deployment, version, created: Vec::new() })
    }

    /// The tasks that are killed, and fewer instances of their apps when these are to shrink.
    fn killing(&mut self, now: Now, which: Which, scale: bool, force: bool) -> Result<Sentence, Refusal> {
        let instances = self.chosen(which)?;
        let told = match scale && !instances.is_empty() {
            true => Told::This(self.scale_down(now, &instances, force)?),
            false => Told::Tasks(Vec::new()),
        };
        Ok(Sentence { instances: instances.into(), wipe: false, told })
    }

    /// The instances with a task that a client means.
    pub(super) fn chosen(&self, which: Which) -> Result<Vec<InstanceId>, Refusal> {
        let placed = |state: &AppState, suits: &dyn Fn(&Task) -> bool| -> Vec<InstanceId> {
            let instances = state.instances.values().filter(|instance| instance.task().is_some_and(suits));
            instances.map(|instance| instance.id.clone()).collect()
        };
        match which {
            Which::Of { app, host } => {
                let on_host = |task: &Task| host.as_ref().is_none_or(|host| *host == task.hostname);
                Ok(placed(self.existing(&app)?, &on_host))
            }
            Which::One { app, task } => {
                let state = self.existing(&app)?;
                let found =
                    self.find(&task).filter(|id| id.app() == &app && state.instances.contains_key(id));
                Ok(vec![found.ok_or(Refusal::NoTask(task))?])
            }
            Which::Any(ids) => {
                let mut found = BTreeSet::new();
                for (index, id) in ids.iter().enumerate() {
                    if InstanceId::of_task(id).is_none() && id.parse::<InstanceId>().is_err() {
                        let error = format!("`{id}` is neither a task id nor an instance id");
                        return Err(invalid(&format!("/ids({index})"), error));
                    }
                    found.extend(self.find(id));
                }
                Ok(found.into_iter().collect())
            }
        }
    }

    /// The instance of a task or instance id, if it is there with that very task.
    fn find(&self, text: &str) -> Option<InstanceId> {
        let id = InstanceId::of_task(text).or_else(|| text.parse().ok())?;
        let task = self.spec(id.app())?.instances.get(&id)?.task()?;
        let names_it = text.parse::<TaskId>().is_ok_and(|named| task.goes_by(&named));
        (names_it || InstanceId::of_task(text).is_none()).then_some(id)
    }

    fn scale_down(&mut self, now: Now, chosen: &[InstanceId], force: bool) -> Result<Reply, Refusal> {
        let version = self.next_version(now);
        let mut fewer: BTreeMap<AppId, u32> = BTreeMap::new();
        for id in chosen {
            *fewer.entry(id.app().clone()).or_default() += 1;
        }
        let mut changes = BTreeMap::new();
        for (app, count) in fewer {
            let state = self.spec(&app).ok_or_else(|| Refusal::NoApp(app.clone()))?;
            let mut definition = AppDefinition::clone(&state.app.definition);
            definition.instances = definition.instances.saturating_sub(count);
            changes.insert(app, self.change(definition, version)?);
        }
        let deployment = self.deploy(version, changes, force)?;
        Ok(Reply::Deployed { deployment, version, created: Vec::new() })
    }

    fn cancel_or_undo(&mut self, now: Now, id: DeploymentId, force: bool) -> Result<Reply, Refusal> {
        let undone = self.deployments.get(&id).ok_or(Refusal::NoDeployment(id))?.clone();
        if force {
            self.cancel(id);
            return Ok(Reply::Done);
        }
        let version = self.next_version(now);
        let changes = self.inverse(&undone, version);
        let deployment = self.deploy(version, changes, true)?;
        self.note_undone(deployment, id);
        Ok(Reply::Deployed { deployment, version, created: Vec::new() })
    }

    fn reset_delay(&mut self, app: AppId) -> Result<Reply, Refusal> {
        match self.apps.get_mut(&app).filter(|state| !state.deleting && state.instances.waiting() > 0) {
            None => Err(Refusal::NotQueued(app)),
            Some(state) => {
                state.delay = None;
                self.save(Key::Failed(app.clone()));
                self.touched.insert(app);
                Ok(Reply::Done)
            }
        }
    }
}
