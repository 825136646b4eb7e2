//! The master's books: who is registered, what is offered, what runs where. `(now, event) -> effects`, and nothing else.
//!
//! It knows no socket, clock, thread or encoding. Start at [`Event`], [`Effect`] and [`Master::apply`].
#![forbid(unsafe_code)]

mod accept;
mod agents;
mod audit;
mod books;
mod brake;
mod call;
mod calls;
mod completed;
mod constraints;
mod draining;
mod early_kills;
mod effect;
mod event;
mod follow;
mod forget;
mod frameworks;
mod greet;
mod group;
mod holdings;
mod index;
mod interned;
mod late_kills;
mod load;
mod maintenance;
mod master;
mod offers;
mod operations;
mod operator;
mod own_ends;
mod patience;
mod pending;
mod planted;
mod quota;
mod reconcile;
mod record_bound;
mod recording;
mod records;
mod registry;
mod resume;
mod role_calls;
mod roles;
mod settings;
mod snapshot;
mod subscribe;
mod tasks;
mod timers;
mod tombstones;
mod update_framework;
mod updates;
mod validate;
mod view;
mod weights;

pub use audit::{Violation, audit};
pub use brake::{Brake, BrakeView, MAX_ALLOWANCE, RateLimit};
pub use call::{
    Accept, Call, CallRefused, Caller, Change, MalformedTask, Operation, Proposal, StreamId, TaskGroup,
};
pub use chapada_allocator::{
    Constraint, Explanation, Expressions, PolicyName, Predicate, Quota, Subject, Why, WhyKind,
};
pub use constraints::{InvalidOfferConstraints, MAX_EXPRESSIONS, OfferConstraints};
pub use draining::{
    AgentCall, Away, Drain, DrainOrder, DrainPlan, DrainStep, DrainWait, KilledBefore, MAX_AGENTS_PER_DRAIN,
    MAX_DRAINS, MAX_NOTICE, PassedOver, Selection,
};
pub use early_kills::{EARLY_KILL_WAIT, MAX_EARLY_KILLS};
pub use effect::{AgentCommand, Effect, ErrorCode, OperatorEvent, RefusedReason, SchedulerEvent, Ticket};
pub use event::{EVENT_KINDS, Event, EventKind, Held, HeldExecutor, HeldTask, LinkId};
pub use follow::{Batch, Cut, CutReason, EventLog, FollowBounds, FollowerId, Next, NotResumed, Position};
pub use late_kills::{MAX_LATE_KILLS, MAX_LATE_KILLS_OF_ALL};
pub use maintenance::{
    InverseAnswer, InverseOffer, MAX_GONE_AGENTS, MAX_MACHINES, MAX_MACHINES_PER_CALL, Machine,
    MaintenanceCall, MaintenanceWindow, machine_of,
};
pub use master::Master;
pub use operator::{OperatorCall, OperatorRefused};
pub use own_ends::{MAX_OWN_ENDS, MAX_OWN_ENDS_OF_ALL};
pub use patience::{LEAST_OFFER_LIFE, MOST_PASSED_OVER};
#[cfg(feature = "testing")]
pub use planted::Bug;
pub use quota::{MAX_QUOTA_NAMES, MAX_QUOTAS, MAX_QUOTAS_PER_CALL, MAX_ROLE_BYTES, largest_amount};
pub use record_bound::RecordBound;
pub use records::agent::{Agent, AgentState, Executor, Stray};
pub use records::framework::{Framework, FrameworkState};
pub use records::offer::Offer;
pub use records::operation::{MAX_OPERATIONS, OfferOperation};
pub use records::plan::LastPlan;
pub use records::task::{MAX_STATUSES, MAX_UNACKNOWLEDGED, Task, TaskPhase};
pub use registry::{
    AgentRecord, FrameworkRecord, REGISTRY_VERSION, RegistryChange, RegistryState, Removal, Standing,
};
pub use role_calls::RoleCall;
pub use settings::{
    MAX_COMPLETED_FRAMEWORKS, MAX_COMPLETED_TASKS, MAX_REMOVED_FRAMEWORKS, MAX_UNREACHABLE_AGENTS,
    MAX_UNREACHABLE_TASKS, Settings,
};
pub use snapshot::{Counters, RoleView, Snapshot};
pub use tombstones::MAX_AGENTS_PER_PART;
pub use weights::{MAX_WEIGHTS, MAX_WEIGHTS_PER_CALL};
