//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use clap_complete::Shell;

use crate::client::{ClientCommand, MasterCommand};
use crate::dev::DevArgs;

/// A two-level resource-offer cluster manager.
#[derive(Debug, Parser)]
#[command(name = "chapada", version, about, propagate_version = true, subcommand_required = true)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no such thing, 4 nobody answered. `exec`: the command's."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs a master: pools the machines and offers their resources. Or has the one that leads step down.
    Master(Box<MasterArgs>),
    /// Runs an agent: launches tasks on this machine, in containers.
    Agent(Box<DaemonArgs<chapada_agent::AgentConfig>>),
    /// Runs the services framework: keeps long-running apps up.
    Services(Box<DaemonArgs<chapada_services::ServicesConfig>>),
    /// Runs a whole cluster on this machine and deploys a sample app.
    Dev(DevArgs),
    /// Prints a completion script for a shell.
    Completions {
        /// The shell to complete for.
        shell: Shell,
    },
    #[command(flatten)]
    Client(Box<ClientCommand>),
}

/// A master, or a word to the one that leads.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct MasterArgs {
    #[command(subcommand)]
    pub(crate) command: Option<MasterCommand>,
    #[command(flatten)]
    pub(crate) daemon: DaemonArgs<chapada_master::MasterConfig>,
}

/// What every daemon takes beside its own configuration.
#[derive(Debug, clap::Args)]
pub(crate) struct DaemonArgs<C: clap::Args> {
    /// A TOML file with any of these flags as keys, without the dashes in front. A flag beats the environment, which
    /// beats the file.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Prints the configuration that would be used, and where each value comes from, and exits.
    #[arg(long)]
    pub(crate) print_config: bool,
    /// What to log: error, warn, info, debug, trace, or a filter such as `info,chapada_master=debug`.
    #[arg(long, default_value = "info", env = "CHAPADA_LOG", value_name = "FILTER")]
    pub(crate) logging_level: String,
    /// Logs as lines of JSON.
    #[arg(long)]
    pub(crate) log_json: bool,
    #[command(flatten)]
    pub(crate) component: C,
}
