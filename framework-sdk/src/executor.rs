//! Describing an executor.

use std::time::Duration;

use chapada_model::{ExecutorDescription, ExecutorId};
use chapada_sdk_core::Placement;
use chapada_wire::convert::{InvalidField, ReservationFormat, duration_to_wire, resources_to_wire};
use chapada_wire::v1;
use chapada_wire::v1::executor_info::Type;

use crate::command;

/// Puts an executor's description together; [`ExecutorBuilder::place`] ends it.
///
/// Two descriptions of one id on one agent must be the same, or the master refuses the later task.
#[derive(Clone, Debug)]
pub struct ExecutorBuilder {
    info: v1::ExecutorInfo,
}

/// Why a description makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum InvalidExecutor {
    /// The built-in executor was given an environment, a user or a file, which it has no use for.
    #[error("the built-in executor takes no command; give it to the tasks")]
    Command,
    /// A field.
    #[error("the executor's description is not valid")]
    Field(#[source] InvalidField),
}

impl ExecutorBuilder {
    /// The built-in executor for a task group: a *pod*. It ends when none of its tasks runs.
    pub fn pod(id: &ExecutorId) -> Self {
        Self::new(id, Type::Default, None)
    }

    /// A program of one's own that speaks the executor API, begun by handing `command` to `/bin/sh -c`.
    pub fn shell(id: &ExecutorId, command: impl Into<String>) -> Self {
        Self::new(id, Type::Custom, Some(command::shell(command.into())))
    }

    /// A program of one's own that speaks the executor API, begun without a shell. `arguments` begins with what the program is
    /// to see as its own name.
    pub fn program(
        id: &ExecutorId,
        path: impl Into<String>,
        arguments: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self::new(id, Type::Custom, Some(command::program(path.into(), arguments)))
    }

    fn new(id: &ExecutorId, kind: Type, command: Option<v1::CommandInfo>) -> Self {
        let mut info =
            v1::ExecutorInfo { executor_id: Some(id.into()), command, ..v1::ExecutorInfo::default() };
        info.set_type(kind);
        Self { info }
    }

    /// For people.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.info.name = Some(name.into());
        self
    }

    /// One variable of the program's environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        command::add_variable(self.command(), name.into(), value.into());
        self
    }

    /// Whom the program runs as, when not as the framework says.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.command().user = Some(user.into());
        self
    }

    /// A file to fetch into the sandbox before the program starts; archives are unpacked.
    #[must_use]
    pub fn fetch(mut self, uri: impl Into<String>) -> Self {
        command::add_uri(self.command(), uri.into());
        self
    }

    /// What the program finds in its SUBSCRIBED event.
    #[must_use]
    pub fn data(mut self, data: impl Into<Vec<u8>>) -> Self {
        self.info.data = Some(data.into());
        self
    }

    /// How long it may take to end when it is told to. Without it the agent's own default holds.
    #[must_use]
    pub fn shutdown_grace_period(mut self, grace_period: Duration) -> Self {
        self.info.shutdown_grace_period = Some(duration_to_wire(grace_period));
        self
    }

    /// Anything else, such as a container, in the API's own terms.
    #[must_use]
    pub fn customise(mut self, change: impl FnOnce(&mut v1::ExecutorInfo)) -> Self {
        change(&mut self.info);
        self
    }

    /// The executor with these resources, which it holds beside those of its tasks for as long as it runs. A pod needs at least
    /// 0.01 CPU, 32 MiB of memory and some disk.
    ///
    /// # Errors
    /// [`InvalidExecutor`] says what makes no sense.
    pub fn place(mut self, placement: &Placement) -> Result<ExecutorDescription, InvalidExecutor> {
        if self.info.r#type() == Type::Default && self.info.command.is_some() {
            return Err(InvalidExecutor::Command);
        }
        self.info.resources = resources_to_wire(&placement.resources, ReservationFormat::Stacked);
        ExecutorDescription::try_from(&self.info).map_err(InvalidExecutor::Field)
    }

    fn command(&mut self) -> &mut v1::CommandInfo {
        self.info.command.get_or_insert_default()
    }
}
