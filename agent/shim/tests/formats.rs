//! What version 1 of the protocol wrote to disk and said, word for word: agents and shims of other builds live beside each other, so
//! whoever changes a name here takes tasks from agents that are upgraded.

use chapada_shim::{
    ContainerState, Event, ExitReport, OomReport, Outcome, PROTOCOL_VERSION, Request, Statistics,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

const STATE: &str = r#"{"version":1,"pid":71,"start_time":4711,"shim_pid":70,"boot_id":"b"}"#;
/// As the first builds wrote it, which counted less.
const EXIT: &str = r#"{"version":1,"outcome":{"signaled":{"signal":9}},"oom":{"limit_bytes":67108864,"peak_bytes":null,"kills":1},
    "ended_ms":1700000000000,"usage":{"cpu_usage_ns":5,"memory_peak_bytes":67108864,"oom_kills":1}}"#;

fn read<T: DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn written(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("it can be written")
}

fn report() -> ExitReport {
    ExitReport {
        version: 1,
        outcome: Outcome::Signaled { signal: 9 },
        oom: Some(OomReport { limit_bytes: Some(64 << 20), peak_bytes: None, kills: 1 }),
        ended_ms: 1_700_000_000_000,
        usage: Statistics {
            cpu_usage_ns: 5,
            memory_peak_bytes: Some(64 << 20),
            oom_kills: 1,
            ..Statistics::default()
        },
    }
}

#[test]
fn records_of_version_1_are_read_and_written() {
    assert_eq!(PROTOCOL_VERSION, 1, "a new version keeps these as those of the former one");
    let state =
        ContainerState { version: 1, pid: 71, start_time: 4711, shim_pid: 70, boot_id: "b".to_owned() };
    assert_eq!(read::<ContainerState>(STATE), state);
    assert_eq!(written(&state), STATE);
    assert_eq!(read::<ExitReport>(EXIT), report());
    let ours: serde_json::Value = read(&written(&report()));
    for (name, value) in read::<serde_json::Value>(EXIT).as_object().expect("an object") {
        match value.as_object() {
            // What is counted since then stands beside it.
            Some(part) if name == "usage" => {
                part.iter().for_each(|(name, value)| assert_eq!(ours["usage"][name], *value))
            }
            _ => assert_eq!(ours[name], *value, "{name}"),
        }
    }
    let not_started = r#"{"not_started":{"error":{"failure":"user","message":"m","errno":2}}}"#;
    let exited = r#"{"exited":{"code":3}}"#;
    for text in [not_started, exited] {
        assert_eq!(written(&read::<Outcome>(text)), text);
    }
}

#[test]
fn agents_and_shims_of_version_1_understand_each_other() {
    for (text, request) in [
        (r#""status""#, Request::Status),
        (r#"{"kill":{"signal":15}}"#, Request::Kill { signal: 15 }),
        (r#""destroy""#, Request::Destroy),
        (r#""attach""#, Request::Attach),
        (r#""take_terminal""#, Request::TakeTerminal),
        (r#"{"signal_session":{"signal":2}}"#, Request::SignalSession { signal: 2 }),
    ] {
        assert_eq!(written(&request), text);
        assert_eq!(read::<Request>(text), request);
    }
    let refused = Event::Refused { request: Request::Status, message: "m".to_owned() };
    for (text, event) in [
        (r#""starting""#, Event::Starting),
        (r#"{"started":{"pid":71,"start_time":4711}}"#, Event::Started { pid: 71, start_time: 4711 }),
        (r#""session_terminal""#, Event::SessionTerminal),
        (r#"{"session_started":{"pid":72}}"#, Event::SessionStarted { pid: 72 }),
        (r#""attached""#, Event::Attached),
        (r#""terminal""#, Event::Terminal),
        (r#"{"refused":{"request":"status","message":"m"}}"#, refused),
    ] {
        assert_eq!(written(&event), text);
        assert_eq!(read::<Event>(text), event);
    }
    let ended = format!(r#"{{"exited":{{"report":{EXIT}}}}}"#);
    assert_eq!(read::<Event>(&ended), Event::Exited { report: Box::new(report()) });
    let session = r#"{"session_ended":{"outcome":{"exited":{"code":0}}}}"#;
    assert_eq!(read::<Event>(session), Event::SessionEnded { outcome: Outcome::Exited { code: 0 } });
}
