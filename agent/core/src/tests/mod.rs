//! The core against a pretend disk, pretend containers and a scripted master.

mod basics;
mod checks;
mod deliver;
mod executors;
mod histories;
mod kill;
mod limitation;
mod link;
mod operations;
mod pods;
mod recovery;
mod world;
