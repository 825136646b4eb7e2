//! What an agent decides: `(now, Event) -> Vec<Effect>`. It owns the phases of tasks and their containers, the status
//! updates until they are acknowledged, what is written down and what may be said before it is. It knows nothing of
//! sockets, processes, files, protobuf, clocks or chance. Start at [`Agent::apply`].
#![forbid(unsafe_code)]

mod agent;
mod checks;
mod deliver;
mod effect;
mod event;
mod executor;
mod executors;
mod exit;
mod ids;
mod kill;
mod launch;
mod limitation;
mod link;
mod operations;
mod outcome;
mod phase;
mod record;
mod recovery;
mod stream;
mod task;
mod timers;
mod view;

pub use agent::{Agent, MAX_TASKS};
pub use checks::{Answer, Check, CheckKind, CheckStatus, HealthCheck, Purpose, Schedule, Watch};
pub use effect::{Effect, HeldTask, Holding, Signal};
pub use event::{AgentDrain, Command, Event, FromMaster};
pub use executor::{
    ExecutorPhase, ExecutorRefused, ExecutorTimeouts, GivenUp, Report, Subscription, ToExecutor,
};
pub use exit::{Exit, ExitCause, MemoryExceeded, signal_name};
pub use kill::KillCause;
pub use limitation::Limitation;
pub use link::MAX_HELD_MESSAGES;
pub use operations::{MAX_OPERATIONS, Operate};
pub use phase::{Ending, TaskPhase};
pub use record::{ExecutorRecord, FrameworkRecord, Record, Runner, TaskRecord, Update};
pub use recovery::{FoundContainer, FoundState};
pub use stream::{FIRST_REPEAT, LAST_REPEAT};
pub use task::{ExecutorLaunch, GroupLaunch, GroupTask, LaunchRefusal, TaskLaunch};
pub use view::{ExecutorView, OperationView, TaskView, View};

#[cfg(test)]
mod tests;
