//! The allocator from outside: what a master tells it, and who is offered what then.

mod changes;
mod cluster;
mod eligible;
mod fairness;
mod histories;
mod policies;
mod quota;
mod tickets;
