//! Runs one command for every point of a grid of parameters on the cluster, and exits with a table of the results.
#![forbid(unsafe_code)]

mod flags;
mod grid;
mod plan;
mod results;
mod sweep;

use std::process::ExitCode;

use chapada_sdk::{CancellationToken, Dialer, FrameworkConfig, run};
use clap::Parser;

use crate::flags::Flags;
use crate::plan::Plan;
use crate::sweep::Sweep;

/// Some points have no result.
const SOME_FAILED: u8 = 1;
/// The sweep could not be run.
const NOT_RUN: u8 = 2;

#[tokio::main]
async fn main() -> ExitCode {
    let flags = Flags::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into()),
        )
        .init();
    match Box::pin(sweep(flags)).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(SOME_FAILED),
        Err(error) => {
            eprintln!("sweep: {error:#}");
            ExitCode::from(NOT_RUN)
        }
    }
}

/// Whether every point has a result.
async fn sweep(flags: Flags) -> anyhow::Result<bool> {
    let points = grid::points(&flags.param)?;
    let config = FrameworkConfig {
        // Nobody comes back for the tasks of a sweep that was cut short.
        failover_timeout: flags.failover_timeout,
        dialer: Dialer::with(&flags.tls)?,
        ..FrameworkConfig::new(flags.name.as_str(), flags.master.clone())
    };
    let stop = CancellationToken::new();
    let interrupted = stop.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            interrupted.cancel();
        }
    });
    let plan = Plan::new(points, flags.attempts, flags.parallel);
    let output = flags.output;
    let finished = run(config, None, Sweep::new(plan, flags), stop).await?;
    let outcomes = finished.into_outcomes();
    println!("{}", results::shown(&outcomes, output));
    Ok(outcomes.iter().all(|outcome| outcome.result.is_ok()))
}
