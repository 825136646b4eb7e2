//! `chapada`: every daemon and every client command in one binary.

#![forbid(unsafe_code)]

mod args;
mod client;
mod config;
mod daemon;
mod dev;
mod exit;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use crate::args::{Args, Command};
use crate::client::ClientCommand;

/// A launch passes the master in about a hundred small pieces, which this one finds and gives back faster than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if chapada_agent::fetch_if_asked() {
        return ExitCode::SUCCESS;
    }
    let matches = match config::matches(Args::command(), std::env::args_os()) {
        Ok(matches) => matches,
        Err(error) => return exit::usage(&error),
    };
    let args = match Args::from_arg_matches(&matches) {
        Ok(args) => args,
        Err(error) => error.exit(),
    };
    exit::of(run(args, &matches))
}

fn run(args: Args, matches: &clap::ArgMatches) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Client(command) => return client::run(*command),
        Command::Master(args) => match args.command {
            Some(command) => return client::run(ClientCommand::Master(command)),
            None => daemon::run("master", Box::new(args.daemon), matches, async |config, log, stop| {
                chapada_master::Master::bind(config).await?.with_log(log).run(stop).await
            }),
        },
        Command::Agent(daemon) => daemon::run("agent", daemon, matches, chapada_agent::run_with_log),
        Command::Services(daemon) => daemon::run("services", daemon, matches, |config, set_level, stop| {
            chapada_services::run(config, Some(set_level), stop)
        }),
        Command::Dev(dev) => dev::run(dev),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Args::command(), "chapada", &mut std::io::stdout());
            Ok(())
        }
    }?;
    Ok(ExitCode::SUCCESS)
}
