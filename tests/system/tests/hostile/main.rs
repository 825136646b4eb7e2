//! Nothing a client sends stops or slows the master for others: each test is one kind of hostile client of a real master over
//! real sockets, with an honest framework beside it whose tasks go on being run, `/health` that answers, and memory that stays
//! within a bound.

mod bodies;
mod calls;
mod heads;
mod honest;
mod identities;
mod paths;
mod raw;
mod readers;
mod roles;
mod services;
mod storms;
mod victim;
