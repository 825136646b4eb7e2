//! Keeps a number of copies of a command running on the cluster, whatever dies: a copy, an agent, the master, or this program.
#![forbid(unsafe_code)]

mod copies;
mod flags;
mod keeper;

use std::net::Ipv4Addr;
use std::process::ExitCode;

use anyhow::Context;
use chapada_sdk::model::Text;
use chapada_sdk::{
    CancellationToken, Candidate, Dialer, FrameworkConfig, LeaderInfo, ZkOptions, run_elected,
};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::copies::{Copies, SCHEMA};
use crate::flags::Flags;
use crate::keeper::Keeper;

#[tokio::main]
async fn main() -> ExitCode {
    let flags = Flags::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()),
        )
        .init();
    match keep(flags).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("keeper: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn keep(flags: Flags) -> anyhow::Result<()> {
    let store = flags.store.clone();
    let coordination =
        tokio::task::spawn_blocking(move || store.coordination(ZkOptions::default())).await??;
    let hostname = hostname();
    let info = LeaderInfo {
        id: uuid::Uuid::new_v4().to_string(),
        hostname: hostname.clone(),
        ip: Ipv4Addr::LOCALHOST.into(),
        // It listens nowhere; the others only see who leads.
        port: 1,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        capabilities: Vec::new(),
    };
    let config = FrameworkConfig {
        hostname: Some(Text::from(hostname)),
        tick: flags.tick(),
        dialer: Dialer::with(&flags.tls)?,
        ..FrameworkConfig::new(flags.name.as_str(), flags.master.clone())
    };
    let stop = CancellationToken::new();
    tokio::spawn(stop_on_signal(stop.clone())?);
    let candidate = Candidate { info, schema: SCHEMA };
    let make = |opened: &chapada_sdk::OpenedStore| {
        let copies = Copies::restore(&opened.records, &flags)?;
        Ok(Keeper::new(copies, opened.store.clone(), flags.clone()))
    };
    run_elected(&coordination, candidate, config, make, stop).await.with_context(|| {
        format!(
            "if the master has removed this framework, begin anew with another --store than {}",
            flags.store
        )
    })
}

/// The first signal lets the copies run on and ends this program; the tasks are found again at the next start.
fn stop_on_signal(stop: CancellationToken) -> anyhow::Result<impl Future<Output = ()> + Send> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    })
}

fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned())
}
