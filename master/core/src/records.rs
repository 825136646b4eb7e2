//! The records of the books. Each is immutable once shared: a change makes a new one, so a snapshot stays as it was.
pub(crate) mod agent;
pub(crate) mod framework;
pub(crate) mod offer;
pub(crate) mod operation;
pub(crate) mod plan;
pub(crate) mod task;
