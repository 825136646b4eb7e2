//! What agents ask tasks.

use std::time::Duration;

use chapada_sdk::wire;
use chapada_services_core::{CommandLine, LaunchCheck, LaunchHealth, LaunchQuestion};
use wire::health_check::{HttpCheckInfo, TcpCheckInfo};
use wire::network_info::Protocol;
use wire::{check_info, health_check};

/// How an agent tells whether a task is well.
pub(crate) fn health_check(health: &LaunchHealth) -> wire::HealthCheck {
    let mut info = wire::HealthCheck {
        delay_seconds: Some(health.delay.as_secs_f64()),
        grace_period_seconds: Some(health.grace.as_secs_f64()),
        interval_seconds: Some(health.interval.as_secs_f64()),
        timeout_seconds: Some(health.timeout.as_secs_f64()),
        consecutive_failures: Some(health.failures.unwrap_or(u32::MAX)),
        ..wire::HealthCheck::default()
    };
    match &health.asks {
        LaunchQuestion::Http { tls, port, path, ipv6 } => {
            let mut http = HttpCheckInfo {
                scheme: Some(if *tls { "https" } else { "http" }.to_owned()),
                port: Some((*port).into()),
                path: Some(path.clone()),
                ..HttpCheckInfo::default()
            };
            http.set_protocol(family(*ipv6));
            info.set_type(health_check::Type::Http);
            info.http = Some(http);
        }
        LaunchQuestion::Tcp { port, ipv6 } => {
            let mut tcp = TcpCheckInfo { port: Some((*port).into()), ..TcpCheckInfo::default() };
            tcp.set_protocol(family(*ipv6));
            info.set_type(health_check::Type::Tcp);
            info.tcp = Some(tcp);
        }
        LaunchQuestion::Command(line) => {
            info.set_type(health_check::Type::Command);
            info.command = Some(command(line));
        }
    }
    info
}

/// What an agent asks a task for people to see.
pub(crate) fn check_info(check: &LaunchCheck) -> wire::CheckInfo {
    let seconds = |time: Duration| Some(time.as_secs_f64());
    let mut info = wire::CheckInfo {
        delay_seconds: seconds(check.delay),
        interval_seconds: seconds(check.interval),
        timeout_seconds: seconds(check.timeout),
        ..wire::CheckInfo::default()
    };
    match &check.asks {
        LaunchQuestion::Http { port, path, .. } => {
            info.set_type(check_info::Type::Http);
            info.http = Some(check_info::Http { port: Some((*port).into()), path: Some(path.clone()) });
        }
        LaunchQuestion::Tcp { port, .. } => {
            info.set_type(check_info::Type::Tcp);
            info.tcp = Some(check_info::Tcp { port: Some((*port).into()) });
        }
        LaunchQuestion::Command(line) => {
            info.set_type(check_info::Type::Command);
            info.command = Some(check_info::Command { command: Some(command(line)) });
        }
    }
    info
}

fn command(line: &CommandLine) -> wire::CommandInfo {
    match line {
        CommandLine::Shell(line) => super::command(Some(line.clone()), Vec::new(), false),
        CommandLine::Argv(argv) => super::command(None, argv.clone(), false),
    }
}

fn family(ipv6: bool) -> Protocol {
    if ipv6 { Protocol::IPv6 } else { Protocol::IPv4 }
}
