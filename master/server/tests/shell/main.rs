//! The master's shell over real sockets: a raw HTTP client on one side, a scripted agent on the real agent link on the
//! other.

mod calls;
mod constraints;
mod doors;
mod draining;
mod events;
mod exchanges;
mod large_records;
mod life;
mod link;
mod maintenance;
mod operations;
mod operator;
mod proxy;
mod query;
mod roles;
mod streams;
mod support;
mod three_doors;
