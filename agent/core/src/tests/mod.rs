//! The core against a pretend disk, pretend containers and a scripted master.

mod basics;
mod deliver;
mod histories;
mod kill;
mod link;
mod operations;
mod recovery;
mod world;
