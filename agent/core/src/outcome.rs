//! From the way a container ended to what is said about its task. Source: Mesos' command executor and the
//! recordings of it.

use chapada_model::{Reason, Resources, Source, TaskState};

use crate::executor::GivenUp;
use crate::exit::{Exit, ExitCause, signal_name};
use crate::kill::KillCause;
use crate::limitation::Limitation;
use crate::task::LaunchRefusal;

/// What an update says, before it has a time and an id.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) state: TaskState,
    pub(crate) source: Source,
    pub(crate) reason: Option<Reason>,
    pub(crate) message: String,
    /// What it took too much of.
    pub(crate) exceeded: Resources,
}

impl Statement {
    pub(crate) fn executor(state: TaskState) -> Self {
        Self {
            state,
            source: Source::Executor,
            reason: None,
            message: String::new(),
            exceeded: Resources::EMPTY,
        }
    }

    pub(crate) fn agent(state: TaskState, reason: Reason, message: String) -> Self {
        Self { state, source: Source::Agent, reason: Some(reason), message, exceeded: Resources::EMPTY }
    }

    pub(crate) fn refused(refusal: LaunchRefusal) -> Self {
        Self::agent(refusal.state, refusal.reason, refusal.message)
    }

    pub(crate) fn killed_during_launch() -> Self {
        let message = "killed before its command was started".to_owned();
        Self::agent(TaskState::Killed, Reason::TaskKilledDuringLaunch, message)
    }

    pub(crate) fn given_up(why: GivenUp) -> Self {
        let (reason, message) = match why {
            GivenUp::NotRegistered(limit) => {
                (Reason::ExecutorRegistrationTimeout, format!("Executor did not register within {limit:?}"))
            }
            GivenUp::NotReturned(limit) => (
                Reason::ExecutorReregistrationTimeout,
                format!("Executor did not reregister within {limit:?}"),
            ),
            GivenUp::Limited => (Reason::ContainerLimitation, "Executor took more than it may".to_owned()),
        };
        Self::agent(TaskState::Failed, reason, message)
    }

    /// A success stays one even after a kill; anything else after a kill is TASK_KILLED. One that ran for too long has
    /// failed, whatever it made of the signal.
    pub(crate) fn of_exit(exit: &Exit, killed: Option<KillCause>) -> Self {
        if let (Some(memory), false) = (exit.memory, exit.cause == ExitCause::Code(0) || killed.is_some()) {
            return Self::limited(Limitation::of_memory(memory));
        }
        match killed {
            Some(cause) => Self::of_cause(&exit.cause, TaskState::Killed).for_cause(cause),
            None => Self::of_cause(&exit.cause, TaskState::Failed),
        }
    }

    /// What is said of the end of a task that ran for too long; that of others is as it is.
    pub(crate) fn for_cause(self, cause: KillCause) -> Self {
        match cause {
            KillCause::Asked | KillCause::Unhealthy => self,
            KillCause::TooLong => {
                let reason = Some(Reason::MaxCompletionTimeReached);
                Self { state: TaskState::Failed, reason, ..self }
            }
        }
    }

    fn of_cause(cause: &ExitCause, failed: TaskState) -> Self {
        match cause {
            ExitCause::Code(0) => Self::with(TaskState::Finished, "Command exited with status 0".to_owned()),
            ExitCause::Code(code) => Self::with(failed, format!("Command exited with status {code}")),
            ExitCause::Signal(signal) => {
                Self::with(failed, format!("Command terminated with signal {}", signal_name(*signal)))
            }
            ExitCause::NotStarted { message } => {
                Self::agent(failed, Reason::ContainerLaunchFailed, message.clone())
            }
            ExitCause::Unknown { message } => {
                Self::agent(failed, Reason::ExecutorTerminated, message.clone())
            }
        }
    }

    pub(crate) fn limited(limitation: Limitation) -> Self {
        let statement = Self::agent(TaskState::Failed, limitation.reason, limitation.message);
        Self { exceeded: limitation.resources, ..statement }
    }

    fn with(state: TaskState, message: String) -> Self {
        Self { message, ..Self::executor(state) }
    }
}
