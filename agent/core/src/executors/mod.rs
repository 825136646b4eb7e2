//! The life of executors that are not the built-in command executor: frameworks' own, which speak to the agent, and pods.
//!
//! `launch` takes tasks on, `speech` is what is said to and by executors, `end` is how they end, `pod` has the rules of
//! task groups, `recovery` what a restart of the agent makes of all of it.

mod end;
mod launch;
mod pod;
mod recovery;
mod speech;

pub(crate) use end::Gone;
