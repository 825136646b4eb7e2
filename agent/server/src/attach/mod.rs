//! Who reads and writes what runs in containers: their commands, and programs beside these that run for as long as somebody
//! holds their connection.

mod command;
mod fanout;
mod path;
mod ready;
mod run;
mod sessions;
mod stdin;

pub(crate) use command::{Terminals, read_along, window_size};
pub(crate) use fanout::Piece;
pub(crate) use path::ContainerPath;
pub(crate) use ready::watched;
pub(crate) use run::NotBegun;
pub(crate) use sessions::{Session, Sessions};
pub(crate) use stdin::Stdin;
