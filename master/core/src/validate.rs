//! Whether a task may be launched. Each rule has its own message. Source: Mesos' task validation, messages in its words.

use chapada_model::{
    AgentCapability, ExecutorDescription, ExecutorKey, ExecutorKind, Limit, Milli, Resources,
    TaskDescription, TaskKey,
};

use crate::Master;
use crate::accept::Hand;

impl Master {
    /// Checks a task of LAUNCH against the rules and against what is left of the offers.
    pub(crate) fn check_task(&self, hand: &Hand, task: &TaskDescription) -> Result<(), String> {
        self.check_plain(hand, task)?;
        self.check_executor(hand, task)?;
        self.check_fit(hand, task)
    }

    /// The rules that hold for a task by itself, whether in a group or not.
    pub(crate) fn check_plain(&self, hand: &Hand, task: &TaskDescription) -> Result<(), String> {
        let key = TaskKey { framework: hand.framework.clone(), task: task.id.clone() };
        if self.books.tasks.contains_key(&key) {
            return Err(format!("Task has duplicate ID: {}", task.id));
        }
        if task.agent != hand.agent {
            return Err(format!(
                "Task uses invalid agent {} while agent {} is expected",
                task.agent, hand.agent
            ));
        }
        if task.resources.is_empty() {
            return Err("Task uses no resources".to_owned());
        }
        check_resources(hand, &task.resources)?;
        check_limits(task)?;
        self.check_agent_can(hand, task)
    }

    fn check_agent_can(&self, hand: &Hand, task: &TaskDescription) -> Result<(), String> {
        let agent = self.books.agents.get(&hand.agent);
        let can =
            agent.is_some_and(|a| a.description.capabilities.contains(&AgentCapability::TaskResourceLimits));
        match task.limits.is_empty() || can {
            true => Ok(()),
            false => Err("Task has resource limits, but its agent does not support them".to_owned()),
        }
    }

    fn check_executor(&self, hand: &Hand, task: &TaskDescription) -> Result<(), String> {
        if task.has_command == task.executor.is_some() {
            let message =
                "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present";
            return Err(message.to_owned());
        }
        let Some(executor) = &task.executor else { return Ok(()) };
        check_executor_shape(executor)?;
        self.check_executor_fits_in(hand, executor)
    }

    /// The rules for an executor of either kind: it is the framework's own, and the same as the one that runs.
    pub(crate) fn check_executor_fits_in(
        &self,
        hand: &Hand,
        executor: &ExecutorDescription,
    ) -> Result<(), String> {
        if executor.framework.as_ref().is_some_and(|framework| *framework != hand.framework) {
            let framework = executor.framework.as_ref().map_or("", |framework| framework.as_str());
            return Err(format!(
                "ExecutorInfo has an invalid FrameworkID (Actual: {framework} vs Expected: {})",
                hand.framework
            ));
        }
        check_resources(hand, &executor.resources)?;
        if let Some(shared) = executor.resources.iter().find(|resource| resource.shared) {
            return Err(format!("Executor resources must not be shared, as {shared} is"));
        }
        let key = ExecutorKey { framework: hand.framework.clone(), executor: executor.id.clone() };
        let running = self.books.agents.get(&hand.agent).and_then(|agent| agent.executors.get(&key));
        match running.is_none_or(|running| are_alike(&running.description, executor)) {
            true => Ok(()),
            false => Err(format!(
                "ExecutorInfo is not compatible with existing ExecutorInfo with same ExecutorID '{}'",
                executor.id
            )),
        }
    }

    /// Task and, if it does not run yet, executor together must fit into what is left.
    fn check_fit(&self, hand: &Hand, task: &TaskDescription) -> Result<(), String> {
        let mut needed = task.resources.unallocated();
        if let Some(executor) = &task.executor {
            let key = ExecutorKey { framework: hand.framework.clone(), executor: executor.id.clone() };
            let runs =
                self.books.agents.get(&hand.agent).is_some_and(|agent| agent.executors.contains_key(&key));
            if !runs {
                needed
                    .add(&executor.resources.unallocated())
                    .map_err(|error| format!("Task and its executor use the same resource: {error}"))?;
            }
        }
        match hand.left.contains(&needed) {
            true => Ok(()),
            false => Err(format!(
                "Total resources {} required by task and its executor is more than available {}",
                needed.allocated_to(&hand.role),
                hand.left.allocated_to(&hand.role)
            )),
        }
    }
}

/// An agent states the role that an executor's resources are allocated to, and a framework need not name itself.
fn are_alike(one: &ExecutorDescription, other: &ExecutorDescription) -> bool {
    let plain = |executor: &ExecutorDescription| ExecutorDescription {
        framework: None,
        resources: executor.resources.unallocated(),
        ..executor.clone()
    };
    plain(one) == plain(other)
}

fn check_executor_shape(executor: &ExecutorDescription) -> Result<(), String> {
    match executor.kind {
        ExecutorKind::Default => {
            return Err(
                "'ExecutorInfo.type' must be CUSTOM or absent when a task is launched with LAUNCH".to_owned()
            );
        }
        ExecutorKind::Custom | ExecutorKind::Unknown => {}
    }
    if !executor.has_command {
        return Err("'ExecutorInfo.command' must be set for 'CUSTOM' executor".to_owned());
    }
    Ok(())
}

/// The rules that hold for resources of tasks and executors alike.
fn check_resources(hand: &Hand, resources: &Resources) -> Result<(), String> {
    let mut volumes = std::collections::BTreeSet::new();
    for resource in resources {
        if resource.allocation_role.as_ref().is_some_and(|role| *role != hand.role) {
            return Err(format!(
                "Resource {resource} is allocated to another role than the offers' {}",
                hand.role
            ));
        }
        if resource.revocable && (!resource.reservations.is_empty() || resource.disk.is_some()) {
            return Err(format!(
                "Resource {resource} is revocable and must be neither reserved nor a volume"
            ));
        }
        let volume = resource.disk.as_ref().and_then(|disk| disk.persistence.as_ref());
        if let Some(volume) = volume
            && !volumes.insert((resource.reserved_role(), &volume.id))
        {
            return Err(format!("Persistence ID '{}' is there twice", volume.id));
        }
        let is_mixed = |other: &chapada_model::Resource| {
            other.name == resource.name && other.revocable != resource.revocable
        };
        if resources.iter().any(is_mixed) {
            return Err(format!("Resource {} is used both revocable and not", resource.name));
        }
    }
    match resources.scalar("gpus").0 % 1_000 {
        0 => Ok(()),
        _ => Err("The 'gpus' resource must be an unsigned integer".to_owned()),
    }
}

/// Only CPUs and memory can be limited, each above what was asked for.
fn check_limits(task: &TaskDescription) -> Result<(), String> {
    for (name, limit) in &task.limits {
        if !matches!(&**name, "cpus" | "mem") {
            return Err(format!("Resource limits are not supported for {name}: only for cpus and mem"));
        }
        let asked = task.resources.scalar(name);
        if asked == Milli::ZERO {
            return Err(format!("Task has a limit for {name} but requests none"));
        }
        match limit {
            Limit::Amount(limit) if *limit < asked => {
                return Err(format!("Task's limit for {name}, {limit}, is less than its request, {asked}"));
            }
            Limit::Amount(_) | Limit::Infinite => {}
        }
    }
    Ok(())
}
