//! The project's own commands: `cargo xtask dev|check|test|bench|sim|fuzz|fix|install|ui`.

#![forbid(unsafe_code)]

mod bench;
mod cgroup2;
mod check;
mod dev;
mod former;
mod fuzz;
mod install;
mod run;
mod sim;
mod test;
mod ui;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Builds, checks, tests and measures Chapada")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Builds everything, starts a cluster on this machine and deploys a sample app; Ctrl-C ends it.
    Dev {
        /// Passed on to `chapada dev`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Formatting, lints, unit and property tests, docs, licences; edits nothing.
    Check,
    /// Installs what the tests need, then `check`, then every test that needs real components.
    Test(test::TestArgs),
    /// Runs one bench in a release build, or all of them.
    Bench {
        /// `tasks`, `allocator`, `peers`, …; all when absent.
        name: Option<String>,
        /// Passed on to the bench: `--quick`, `--json`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Runs simulated clusters: `--seeds N [--from S]`, or `--seed N` to replay one run and print its history.
    Sim {
        /// Passed on to the simulator.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Feeds the decoders and the cores with what is made of real messages; installs cargo-fuzz and a nightly toolchain.
    Fuzz(fuzz::FuzzArgs),
    /// Formats, and applies what clippy can mend by itself.
    Fix,
    /// Installs what the tests need: Debian packages, cargo tools.
    Install,
    /// Builds the web UI into the folder that the binary embeds.
    Ui,
}

fn main() -> ExitCode {
    let outcome = match Args::parse().task {
        Task::Dev { args } => dev::dev(&args),
        Task::Check => check::check(),
        Task::Test(args) => test::test(&args),
        Task::Bench { name, args } => bench::bench(name.as_deref(), &args),
        Task::Sim { args } => sim::sim(&args),
        Task::Fuzz(args) => fuzz::fuzz(&args),
        Task::Fix => check::fix(),
        Task::Install => install::install(),
        Task::Ui => ui::build(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
