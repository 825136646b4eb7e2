//! Networks of containers, made by CNI plugins: programs that put interfaces into a network namespace and take them out
//! again. What is made is written down before it is made, so that whoever comes after a crash can take it away.
//!
//! Start at [`Networks`]; [`NetworkList`] is one configuration, [`Wish`] what a container asks for.

#![forbid(unsafe_code)]

mod bridge;
mod chains;
mod conversation;
mod directory;
mod error;
mod list;
mod networks;
mod outcome;
mod plugin;
mod records;
mod strays;
mod wish;

pub use bridge::Bridge;
pub use error::NetworkError;
pub use list::{NetworkList, VERSIONS};
pub use networks::{Networks, Settings};
pub use outcome::{Address, Dns};
pub use wish::{Attached, Interface, PortMapping, Protocol, Wish};
