//! What a check found and why a task is killed, as bytes.

use chapada_agent_core::{CheckStatus, KillCause, Watch};
use chapada_wire::v1;
use prost::Message;

use crate::watch::watch_of;

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct CheckEntry {
    #[prost(oneof = "FoundEntry", tags = "1, 2, 3")]
    found: Option<FoundEntry>,
}

#[derive(Clone, Copy, PartialEq, prost::Oneof)]
enum FoundEntry {
    #[prost(message, tag = "1")]
    Command(NumberEntry),
    #[prost(message, tag = "2")]
    Http(NumberEntry),
    #[prost(message, tag = "3")]
    Tcp(NumberEntry),
}

/// A result, absent when there was none.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct NumberEntry {
    #[prost(int64, optional, tag = "1")]
    number: Option<i64>,
}

pub(crate) fn check_entry(status: CheckStatus) -> CheckEntry {
    let entry = |number| NumberEntry { number };
    CheckEntry {
        found: Some(match status {
            CheckStatus::Command(code) => FoundEntry::Command(entry(code.map(i64::from))),
            CheckStatus::Http(status) => FoundEntry::Http(entry(status.map(i64::from))),
            CheckStatus::Tcp(accepted) => FoundEntry::Tcp(entry(accepted.map(i64::from))),
        }),
    }
}

/// `None` when it makes no sense.
pub(crate) fn check_of(entry: CheckEntry) -> Option<CheckStatus> {
    Some(match entry.found? {
        FoundEntry::Command(code) => CheckStatus::Command(number(code)?),
        FoundEntry::Http(status) => CheckStatus::Http(number(status)?),
        FoundEntry::Tcp(accepted) => CheckStatus::Tcp(accepted.number.map(|number| number != 0)),
    })
}

fn number<T: TryFrom<i64>>(entry: NumberEntry) -> Option<Option<T>> {
    entry.number.map(|number| T::try_from(number).ok()).map_or(Some(None), |number| number.map(Some))
}

pub(crate) fn cause_number(cause: KillCause) -> u32 {
    match cause {
        KillCause::Asked => 0,
        KillCause::Unhealthy => 1,
        KillCause::TooLong => 2,
    }
}

pub(crate) fn cause_of(number: u32) -> Option<KillCause> {
    [KillCause::Asked, KillCause::Unhealthy, KillCause::TooLong]
        .into_iter()
        .find(|cause| cause_number(*cause) == number)
}

/// What a task is watched for stands in its description.
pub(crate) fn watched(info: &[u8]) -> Watch {
    v1::TaskInfo::decode(info).map(|info| watch_of(&info)).unwrap_or_default()
}
