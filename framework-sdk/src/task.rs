//! Describing a task.

use std::time::Duration;

use chapada_model::{ExecutorDescription, InvalidId, KillPolicy, Label, Limit, TaskDescription, TaskId};
use chapada_sdk_core::{Offer, Placement};
use chapada_wire::convert::{InvalidField, ReservationFormat, duration_to_wire, resources_to_wire};
use chapada_wire::v1;

use crate::command;

/// Puts a task's description together; [`TaskBuilder::place`] ends it.
#[derive(Clone, Debug)]
pub struct TaskBuilder {
    info: v1::TaskInfo,
}

/// Why a description makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum InvalidTask {
    /// The id cannot be one.
    #[error("the task's id is not valid")]
    Id(#[from] InvalidId),
    /// A task for an executor of one's own was given an environment, a user or a file, which are the executor's.
    #[error("the task's environment, user and files are those of its executor")]
    Command,
    /// A field.
    #[error("the task's description is not valid")]
    Field(#[source] InvalidField),
}

impl TaskBuilder {
    /// A task that hands `command` to `/bin/sh -c`. Its name is its id until said otherwise.
    pub fn shell(id: &TaskId, command: impl Into<String>) -> Self {
        Self::new(id, Some(command::shell(command.into())))
    }

    /// A task that runs a program without a shell. `arguments` begins with what the program is to see as its own name.
    pub fn program(
        id: &TaskId,
        path: impl Into<String>,
        arguments: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self::new(id, Some(command::program(path.into(), arguments)))
    }

    /// A task that an executor of one's own runs as it sees fit; [`TaskBuilder::data`] says what. The executor starts with its
    /// first task and stays until it ends itself or [`Driver::shutdown_executor`](crate::Driver::shutdown_executor).
    pub fn by_executor(id: &TaskId, executor: &ExecutorDescription) -> Self {
        let mut builder = Self::new(id, None);
        builder.info.executor = Some(executor.into());
        builder
    }

    fn new(id: &TaskId, command: Option<v1::CommandInfo>) -> Self {
        let info = v1::TaskInfo {
            name: Some(id.to_string()),
            task_id: Some(id.into()),
            command,
            ..v1::TaskInfo::default()
        };
        Self { info }
    }

    /// For people.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.info.name = Some(name.into());
        self
    }

    /// One variable of the task's environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        command::add_variable(self.command(), name.into(), value.into());
        self
    }

    /// Whom it runs as, when not as the framework says.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.command().user = Some(user.into());
        self
    }

    /// A file to fetch into the sandbox before it starts; archives are unpacked.
    #[must_use]
    pub fn fetch(mut self, uri: impl Into<String>) -> Self {
        command::add_uri(self.command(), uri.into());
        self
    }

    /// For the executor: what the task is to it. A task that is a command has no use for it.
    #[must_use]
    pub fn data(mut self, data: impl Into<Vec<u8>>) -> Self {
        self.info.data = Some(data.into());
        self
    }

    /// A label.
    #[must_use]
    pub fn label(mut self, label: Label) -> Self {
        let label = v1::Label {
            key: Some(label.key.to_string()),
            value: label.value.as_ref().map(ToString::to_string),
        };
        self.info.labels.get_or_insert_default().labels.push(label);
        self
    }

    /// From SIGTERM to SIGKILL when it is killed.
    #[must_use]
    pub fn kill_grace_period(mut self, grace_period: Duration) -> Self {
        self.info.kill_policy = Some((&KillPolicy { grace_period: Some(grace_period) }).into());
        self
    }

    /// It is ended when it takes longer.
    #[must_use]
    pub fn max_completion_time(mut self, time: Duration) -> Self {
        self.info.max_completion_time = Some(duration_to_wire(time));
        self
    }

    /// How far it may go above what it asked for, for `cpus` and `mem`.
    #[must_use]
    pub fn limit(mut self, resource: impl Into<String>, limit: Limit) -> Self {
        let value = match limit {
            Limit::Amount(amount) => amount.to_f64(),
            Limit::Infinite => f64::INFINITY,
        };
        self.info.limits.insert(resource.into(), v1::value::Scalar { value: Some(value) });
        self
    }

    /// Anything else, such as a container image or a health check, in the API's own terms.
    #[must_use]
    pub fn customise(mut self, change: impl FnOnce(&mut v1::TaskInfo)) -> Self {
        change(&mut self.info);
        self
    }

    /// The task on this offer's agent with these resources.
    ///
    /// # Errors
    /// [`InvalidTask`] names the field that makes no sense.
    pub fn place(mut self, offer: &Offer, placement: &Placement) -> Result<TaskDescription, InvalidTask> {
        if self.info.executor.is_some() && self.info.command.is_some() {
            return Err(InvalidTask::Command);
        }
        self.info.agent_id = Some((&offer.agent).into());
        self.info.resources = resources_to_wire(&placement.resources, ReservationFormat::Stacked);
        TaskDescription::try_from(&self.info).map_err(InvalidTask::Field)
    }

    fn command(&mut self) -> &mut v1::CommandInfo {
        self.info.command.get_or_insert_default()
    }
}
