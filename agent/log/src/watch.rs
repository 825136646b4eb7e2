//! What a task's description says of its checks and of its longest time, in the core's words.

use std::time::Duration;

use chapada_agent_core::{Check, CheckKind, HealthCheck, Schedule, Watch};
use chapada_wire::v1;
use chapada_wire::v1::{check_info, health_check};

/// What a task without its own executor is watched for.
pub fn watch_of(info: &v1::TaskInfo) -> Watch {
    let nanos = info.max_completion_time.as_ref().and_then(|time| time.nanoseconds);
    Watch {
        max_completion: nanos.and_then(|nanos| u64::try_from(nanos).ok()).map(Duration::from_nanos),
        check: info.check.as_ref().and_then(check_of),
        health: info.health_check.as_ref().and_then(health_of),
    }
}

fn check_of(check: &v1::CheckInfo) -> Option<Check> {
    let kind = match check.r#type() {
        check_info::Type::Unknown => return None,
        check_info::Type::Command => CheckKind::Command,
        check_info::Type::Http => CheckKind::Http,
        check_info::Type::Tcp => CheckKind::Tcp,
    };
    let schedule = schedule(check.delay_seconds(), check.interval_seconds(), check.timeout_seconds());
    Some(Check { kind, schedule })
}

fn health_of(check: &v1::HealthCheck) -> Option<HealthCheck> {
    (check.r#type() != health_check::Type::Unknown).then(|| HealthCheck {
        schedule: schedule(check.delay_seconds(), check.interval_seconds(), check.timeout_seconds()),
        grace: seconds(check.grace_period_seconds()),
        failures: check.consecutive_failures(),
        statuses: check.http.iter().flat_map(|http| http.statuses.clone()).collect(),
    })
}

/// A timeout of 0 is none, as Mesos has it.
fn schedule(delay: f64, interval: f64, timeout: f64) -> Schedule {
    let timeout = Some(seconds(timeout)).filter(|timeout| !timeout.is_zero());
    Schedule { delay: seconds(delay), interval: seconds(interval), timeout }
}

/// The master lets nothing negative through; what is out of all bounds is very long.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(if seconds > 0.0 { Duration::MAX } else { Duration::ZERO })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_mesos() {
        let health = v1::HealthCheck {
            r#type: Some(health_check::Type::Http as i32),
            http: Some(health_check::HttpCheckInfo { port: Some(80), ..Default::default() }),
            ..v1::HealthCheck::default()
        };
        let check = v1::CheckInfo {
            r#type: Some(check_info::Type::Tcp as i32),
            tcp: Some(check_info::Tcp { port: Some(81) }),
            timeout_seconds: Some(0.0),
            ..v1::CheckInfo::default()
        };
        let info = v1::TaskInfo { health_check: Some(health), check: Some(check), ..v1::TaskInfo::default() };
        let watch = watch_of(&info);
        let span = Duration::from_secs;
        let usual = Schedule { delay: span(15), interval: span(10), timeout: Some(span(20)) };
        let expected = HealthCheck { schedule: usual, grace: span(10), failures: 3, statuses: Vec::new() };
        assert_eq!(watch.health, Some(expected));
        let schedule = Schedule { timeout: None, ..usual };
        assert_eq!(watch.check, Some(Check { kind: CheckKind::Tcp, schedule }));
        assert_eq!(watch.max_completion, None);
    }

    #[test]
    fn what_is_out_of_bounds_is_long_or_nothing() {
        assert_eq!(seconds(f64::INFINITY), Duration::MAX);
        assert_eq!(seconds(f64::NAN), Duration::ZERO);
        assert_eq!(seconds(-1.0), Duration::ZERO);
        assert_eq!(seconds(0.25), Duration::from_millis(250));
    }
}
