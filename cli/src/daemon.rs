//! Runs one daemon until it is told to stop.

use std::error::Error;
use std::future::Future;
use std::io::IsTerminal;
use std::sync::Arc;

use anyhow::{Context, Result};
use chapada_master::SetLevel;
use clap::parser::ValueSource;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::reload::Handle;

use crate::args::DaemonArgs;

/// The core has a thread of its own in every daemon; what is left is I/O, and two threads carry that.
const WORKER_THREADS: usize = 2;

/// Starts logging and the runtime, runs the daemon, and stops it at SIGTERM or SIGINT; a second signal exits at once.
pub(crate) fn run<C, F, E>(
    name: &'static str,
    args: Box<DaemonArgs<C>>,
    matches: &clap::ArgMatches,
    daemon: impl FnOnce(C, SetLevel, CancellationToken) -> F,
) -> Result<()>
where
    C: clap::Args,
    F: Future<Output = Result<(), E>>,
    E: Error + Send + Sync + 'static,
{
    if args.print_config {
        print_config(matches.subcommand_matches(name).expect("this subcommand was parsed"));
        return Ok(());
    }
    let set_level = start_logging(&args.logging_level, args.log_json)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let outcome = runtime.block_on(async {
        let stop = CancellationToken::new();
        let signals = tokio::spawn(stop_at_signal(stop.clone()));
        let outcome = daemon(args.component, set_level, stop).await;
        signals.abort();
        outcome
    });
    runtime.shutdown_background();
    outcome.with_context(|| format!("{name} stopped"))
}

/// Starts the log, and gives what changes how much goes into it.
fn start_logging(filter: &str, json: bool) -> Result<SetLevel> {
    let parsed = EnvFilter::try_new(filter)
        .with_context(|| format!("--logging-level {filter:?} is no filter; try info or debug"))?;
    let lines = tracing_subscriber::fmt().with_env_filter(parsed).with_writer(std::io::stderr);
    if json {
        let lines = lines.json().with_filter_reloading();
        let set_level = set_level(filter, lines.reload_handle());
        lines.init();
        return Ok(set_level);
    }
    let lines = lines.with_ansi(std::io::stderr().is_terminal()).with_filter_reloading();
    let set_level = set_level(filter, lines.reload_handle());
    lines.init();
    Ok(set_level)
}

/// Puts what a level adds behind the filter that the process was started with.
fn set_level<S: 'static>(filter: &str, handle: Handle<EnvFilter, S>) -> SetLevel {
    let filter = filter.to_owned();
    Arc::new(move |level| {
        let more = match level {
            0 => "",
            1 => ",chapada=debug",
            _ => ",chapada=trace",
        };
        let filter = EnvFilter::try_new(format!("{filter}{more}")).map_err(|error| error.to_string())?;
        handle.reload(filter).map_err(|error| error.to_string())
    })
}

async fn stop_at_signal(stop: CancellationToken) {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("cannot listen for signals; only SIGKILL will end this process");
        return;
    };
    for first in [true, false] {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if first {
            tracing::info!("stopping; a second signal exits at once");
            stop.cancel();
        } else {
            std::process::exit(1);
        }
    }
}

/// One line a value, with where it comes from. Values that may be secret are not printed.
fn print_config(matches: &clap::ArgMatches) {
    for id in matches.ids() {
        let Some(values) = matches.try_get_raw(id.as_str()).ok().flatten() else { continue };
        let name = id.as_str().replace('_', "-");
        let source = match matches.value_source(id.as_str()) {
            Some(ValueSource::CommandLine) => "flag",
            Some(ValueSource::EnvVariable) => "environment",
            Some(ValueSource::DefaultValue) | None => "file or default",
            Some(_) => "other",
        };
        let secret = ["credential", "secret", "password", "token"].iter().any(|word| name.contains(word));
        let text: Vec<_> = values.map(|value| value.to_string_lossy().into_owned()).collect();
        let text = if secret { "(not shown)".to_owned() } else { text.join(",") };
        println!("{name} = {text:?}  # {source}");
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::{Registry, reload};

    use super::*;

    #[test]
    fn a_level_adds_to_the_filter_and_is_taken_back() {
        let (layer, handle) = reload::Layer::new(EnvFilter::new("warn"));
        let set_level = set_level("warn", handle);
        tracing::subscriber::with_default(Registry::default().with(layer), || {
            let logged = || {
                (
                    tracing::enabled!(target: "chapada_master", tracing::Level::INFO),
                    tracing::enabled!(target: "chapada_master_core", tracing::Level::DEBUG),
                    tracing::enabled!(target: "chapada_agent", tracing::Level::TRACE),
                    tracing::enabled!(target: "hyper", tracing::Level::DEBUG),
                )
            };
            assert_eq!(logged(), (false, false, false, false));
            set_level(1).unwrap();
            assert_eq!(logged(), (true, true, false, false));
            set_level(7).unwrap();
            assert_eq!(logged(), (true, true, true, false));
            set_level(0).unwrap();
            assert_eq!(logged(), (false, false, false, false));
        });
    }
}
