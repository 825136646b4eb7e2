//! The command line.

use std::time::Duration;

use chapada_sdk::{MasterAddress, TlsFiles};
use clap::{Parser, ValueEnum};

use crate::grid::Parameter;

/// Runs a shell command once for every combination of the parameters' values, each as a task of its own, and prints for each the last line
/// that it wrote to its standard output.
///
/// Exits with 0 when every point has a result, 1 when some have none, 2 when the sweep could not be run.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Flags {
    /// The master: host:port, host:port,host:port or zk://h1,h2,h3/path.
    #[arg(long, default_value = "127.0.0.1:5050", env = "CHAPADA_MASTER")]
    pub(crate) master: MasterAddress,
    #[command(flatten)]
    pub(crate) tls: TlsFiles,
    /// The framework's name.
    #[arg(long, default_value = "sweep")]
    pub(crate) name: String,
    /// One parameter and its values; the command finds the value in the environment variable of that name. May be repeated.
    #[arg(long, value_name = "NAME=VALUE,VALUE,…", required = true)]
    pub(crate) param: Vec<Parameter>,
    /// CPUs of each task.
    #[arg(long, default_value_t = 0.1)]
    pub(crate) cpus: f64,
    /// Memory of each task in MiB.
    #[arg(long, default_value_t = 32.0)]
    pub(crate) mem: f64,
    /// How often a point is tried whose command fails. Tasks lost without a fault of the command are not counted.
    #[arg(long, default_value_t = 3)]
    pub(crate) attempts: u32,
    /// Tasks at the same time.
    #[arg(long, default_value_t = 100)]
    pub(crate) parallel: usize,
    /// How long one task may take.
    #[arg(long, default_value = "1h", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Duration,
    /// For how long tasks run on when this program is cut off.
    #[arg(long, default_value = "1m", value_parser = humantime::parse_duration)]
    pub(crate) failover_timeout: Duration,
    /// How the results are printed.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
    /// The command, handed to /bin/sh -c.
    pub(crate) command: String,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}
