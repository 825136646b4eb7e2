//! `ha --store zk://…/ha -n 3 'my command'`.
#![forbid(unsafe_code)]

use std::time::Duration;

use chapada_example_ha::{Ha, SCHEMA};
use chapada_sdk::{
    CancellationToken, Candidate, Dialer, FrameworkConfig, MasterAddress, StoreAddress, TlsFiles, ZkOptions,
    run_elected,
};
use clap::Parser;

/// Keeps copies of a shell command running; they outlive this program.
#[derive(Parser)]
struct Flags {
    /// host:port or zk://h1,h2,h3/path.
    #[arg(long, default_value = "127.0.0.1:5050")]
    master: MasterAddress,
    #[command(flatten)]
    tls: TlsFiles,
    /// A file, or zk://h1,h2,h3/path.
    #[arg(long)]
    store: StoreAddress,
    /// How long ZooKeeper waits for a silent process before another takes over.
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    zk_session_timeout: Duration,
    /// How many copies.
    #[arg(long, short = 'n', default_value_t = 1)]
    instances: usize,
    /// Handed to /bin/sh -c.
    command: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let Flags { master, tls, store, zk_session_timeout, instances, command } = Flags::parse();
    let coordination = store.coordination(ZkOptions { session_timeout: zk_session_timeout })?;
    let make = |opened: &_| Ha::restore(opened, instances, &command);
    let candidate = Candidate::new(SCHEMA);
    let config = FrameworkConfig { dialer: Dialer::with(&tls)?, ..FrameworkConfig::new("ha", master) };
    tokio::select! {
        outcome = run_elected(&coordination, candidate, config, make, CancellationToken::new()) => Ok(outcome?),
        outcome = tokio::signal::ctrl_c() => Ok(outcome?),
    }
}
