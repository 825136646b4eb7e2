//! Operations on resources: checked one file each, done in the books, and followed until acknowledged.

mod by_operator;
mod check;
mod create;
mod destroy;
mod follow;
mod grow;
mod held;
mod reconcile;
mod reserve;
mod shrink;
mod start;
mod unreserve;

pub(crate) use check::{By, Ground};
