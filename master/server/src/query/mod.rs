//! `/query/v1`: what the web UI and the command line ask. Paged and filtered reads, streams of changes to what is on a
//! screen, and the files of tasks. Read-only; never the whole state.
//!
//! - `ask`: what a request asks for;
//! - `page`: a page of it, from the books;
//! - `items`: single things as JSON;
//! - `watch`: a page that keeps itself up to date;
//! - `explain`: why a framework is offered an agent or not;
//! - `files`: sandboxes, relayed from the agents.

mod ask;
mod drains;
mod endpoints;
mod explain;
mod files;
mod items;
mod overview;
mod page;
mod task_item;
mod watch;

pub(crate) use endpoints::{answer_once, routes};
pub(crate) use explain::ExplainGrpc;
