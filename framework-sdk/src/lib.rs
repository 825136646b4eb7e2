//! Write a scheduler for Chapada: say what to run, and let the library find the leading master, subscribe, come back after
//! every failure, acknowledge, reconcile, persist and elect.
//!
//! Start at [`Scheduler`] and [`run`]; the tutorial is this crate's README. For a program with a loop of its own,
//! [`connect`] gives a [`Driver`] and a stream of [`Event`]s instead. [`Store`] keeps what must outlive the process, and
//! [`run_elected`] runs one scheduler among several processes.
//!
//! What decides without doing lives in `chapada-sdk-core` and is re-exported: [`fits`], [`Intents`], [`Backoff`].
#![forbid(unsafe_code)]

mod command;
mod config;
mod connection;
mod convert;
mod driver;
pub mod edge;
mod elected;
mod election;
mod event;
mod executor;
mod intents;
mod link;
pub mod operation;
mod parts;
mod random;
mod run;
mod sandbox;
mod scheduler;
mod store;
mod task;

pub use chapada_coordination::{
    AddressError, Campaign, Change, Coordination, Detector, LeaderInfo, Leadership, LostReason,
    MAX_RECORD_BYTES, MasterAddress, MemoryStore, OpenRegistryError, Record, RecordKey, Schema, Term,
    WriteError, ZkAddress, ZkOptions,
};
pub use chapada_model as model;
pub use chapada_sdk_core::{
    Backoff, Constraint, Delay, DelayRule, DiskWish, Field, Heard, Intent, IntentChange, Intents,
    InvalidConstraint, Mismatch, MismatchKind, NotAnIncarnation, Offer, Outbox, Pattern, Phase, Place,
    Placed, Placement, PortWish, Reconciliation, ReconciliationConfig, Request, Round, Rule, Tally, TaskName,
    WhyNot, explain, fits, place,
};
pub use chapada_tls::{Dialer, TlsError, TlsFiles};
/// What a status says that [`TaskStatus`](chapada_model::TaskStatus) has no field for.
pub use chapada_wire::convert::{check_status, container_status};
/// The API messages, for what the typed builders do not cover.
pub use chapada_wire::v1 as wire;
pub use config::{Acknowledge, FrameworkConfig, Reconcile};
pub use driver::{CallError, Driver};
pub use elected::run_elected;
pub use election::{Candidate, Ending, Over, Replica, Turn, run_in_turns};
pub use event::{Event, ExecutorMessage, Failure, InverseOffer, Subscribed};
pub use executor::{ExecutorBuilder, InvalidExecutor};
pub use intents::{DamagedIntent, DurableIntents};
pub use link::{Knock, Link};
pub use random::random;
pub use run::{Events, RunError, connect, drive, run};
pub use sandbox::SandboxError;
pub use scheduler::{Scheduler, SchedulerError};
pub use store::{OpenedStore, Store, StoreAddress};
pub use task::{InvalidTask, TaskBuilder};
pub use tokio_util::sync::CancellationToken;

/// The tutorial's code is compiled, and run where it can be, as documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Tutorial;
