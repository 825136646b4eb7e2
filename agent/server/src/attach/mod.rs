//! What runs beside the commands of tasks for as long as somebody holds its connection, and who reads and writes it.

mod fanout;
mod path;
mod ready;
mod run;
mod sessions;
mod stdin;

pub(crate) use fanout::Piece;
pub(crate) use path::ContainerPath;
pub(crate) use ready::watched;
pub(crate) use run::NotBegun;
pub(crate) use sessions::{Session, Sessions};
pub(crate) use stdin::Stdin;
