//! What a container wants fetched before it is made.

use chapada_wire::v1;
use prost::Message;

use super::start::{Order, StartError, What, described, room, user_of};
use super::{Means, image, limits};
use crate::fetch::{self, Payer, Wanted};

/// The command of this order, when it wants something fetched.
pub(super) fn command(order: &Order) -> Option<v1::CommandInfo> {
    // What cannot be read is told by who starts it.
    let command = match &order.what {
        What::Task { task, .. } => v1::TaskInfo::decode(task.info.as_bytes()).ok()?.command,
        What::Executor { executor, .. } => v1::ExecutorInfo::decode(executor.info.as_bytes()).ok()?.command,
    };
    command.filter(|command| !command.uris.is_empty())
}

/// What is to be fetched for this command. Makes the sandbox. Blocks.
pub(super) fn wanted(means: &Means, order: &Order, command: &v1::CommandInfo) -> Result<Wanted, StartError> {
    let items = fetch::items(command, means.settings.frameworks_home.as_deref());
    let items = items.map_err(StartError::Description)?;
    let sandbox = match &order.what {
        What::Task { task, .. } => means.layout.make_sandbox(&order.agent, task),
        What::Executor { executor, .. } => means.layout.make_executor_sandbox(&order.agent, executor),
    };
    let sandbox = sandbox.map_err(StartError::Sandbox)?;
    let limits = match &order.what {
        What::Task { task, .. } => limits::of(&described(task)?.1, means.settings.enforce_cpu),
        What::Executor { executor, tasks } => room(means, executor, tasks)?,
    };
    let payer = Payer { container: order.container().to_string(), limits };
    let has_image = image::container_of(order)
        .is_some_and(|container| matches!(image::image_of("container", &container), Ok(Some(_))));
    let user = match has_image {
        true => Some(fetch::NOBODY.to_string()),
        false => user_of(means, command, &order.framework),
    };
    Ok(Wanted { payer, sandbox, user, items })
}
