//! JSON as clients of Mesos send it, and bodies that are wrong.

use chapada_wire::{DecodeError, Json, decode_binary, v1};
use proptest::prelude::*;
use prost::Message as _;
use v1::scheduler::{Call, Event};

/// Deep enough to overflow any stack that follows it.
const VERY_DEEP: usize = 100_000;

fn call(body: &str) -> Call {
    Call::from_json(body.as_bytes()).unwrap_or_else(|error| panic!("{body}: {error}"))
}

fn refused<T: Json + std::fmt::Debug>(body: &str) -> String {
    T::from_json(body.as_bytes()).expect_err(body).to_string()
}

#[test]
fn null_is_unset_anywhere() {
    let with = call(
        r#"{"type":"SUBSCRIBE","framework_id":null,"kill":null,"subscribe":{"suppressed_roles":null,"framework_info":
            {"user":"u","name":"n","hostname":null,"roles":["a",null,"b"],"labels":{"labels":[null]},"offer_filters":null,
             "checkpoint":null,"capabilities":[{"type":null}]}}}"#,
    );
    let without = call(
        r#"{"type":"SUBSCRIBE","subscribe":{"framework_info":
            {"user":"u","name":"n","roles":["a","b"],"labels":{},"capabilities":[{}]}}}"#,
    );
    assert_eq!(with, without);
}

#[test]
fn strings_are_taken_for_numbers_and_booleans() {
    let info = |port: &str, checkpoint: &str, timeout: &str| {
        let body = format!(
            r#"{{"user":"u","name":"n","failover_timeout":{timeout},"checkpoint":{checkpoint},"hostname":"{port}"}}"#
        );
        v1::FrameworkInfo::from_json(body.as_bytes())
    };
    assert_eq!(info("h", "\"true\"", "\"12.5\""), info("h", "true", "12.5"));
    let range = v1::value::Range::from_json(br#"{"begin":"31000","end":18446744073709551615}"#);
    assert_eq!(range, Ok(v1::value::Range { begin: Some(31_000), end: Some(u64::MAX) }));
}

#[test]
fn whole_numbers_may_be_written_as_floats_but_nothing_is_rounded() {
    assert!(v1::Address::from_json(br#"{"port":5050.0}"#).is_ok());
    let error = refused::<v1::Address>(r#"{"port":5050.5}"#);
    assert!(
        error.starts_with("port: invalid value: floating point `5050.5`, expected a whole number"),
        "{error}"
    );
    assert!(refused::<v1::Address>(r#"{"port":2147483648}"#).starts_with("port: "));
    assert!(refused::<v1::value::Range>(r#"{"begin":-1,"end":1}"#).starts_with("begin: "));
}

#[test]
fn infinity_and_nan_are_strings() {
    for (text, value) in [("Infinity", f64::INFINITY), ("-Infinity", f64::NEG_INFINITY)] {
        let body = format!(r#"{{"value":"{text}"}}"#);
        let scalar = v1::value::Scalar::from_json(body.as_bytes()).expect("it is a number");
        assert_eq!(scalar.value, Some(value));
        assert_eq!(scalar.to_json(), body.as_bytes());
    }
    let nan = v1::value::Scalar::from_json(br#"{"value":"NaN"}"#).expect("it is a number, so to speak");
    assert_eq!(nan.to_json(), br#"{"value":"NaN"}"#);
}

#[test]
fn a_lone_value_is_a_list_of_one() {
    let alone = call(r#"{"type":"DECLINE","decline":{"offer_ids":{"value":"o1"}}}"#);
    assert_eq!(alone, call(r#"{"type":"DECLINE","decline":{"offer_ids":[{"value":"o1"}]}}"#));
    let alone = call(r#"{"type":"REVIVE","revive":{"roles":"ops"}}"#);
    assert_eq!(alone, call(r#"{"type":"REVIVE","revive":{"roles":["ops"]}}"#));
}

#[test]
fn unknown_fields_are_ignored_and_unknown_enum_values_dropped() {
    let known = call(r#"{"type":"DECLINE","decline":{"offer_ids":[]}}"#);
    assert_eq!(known, call(r#"{"x":[1,{"y":null}],"type":"DECLINE","decline":{"offer_ids":[],"z":{}}}"#));
    assert_eq!(call(r#"{"type":"DANCE"}"#), Call::default());
    let capability = br#"{"user":"u","name":"n","capabilities":[{"type":"FROM_THE_FUTURE"},{"type":6}]}"#;
    let info = v1::FrameworkInfo::from_json(capability).expect("unknown capabilities are no error");
    let types: Vec<_> = info.capabilities.iter().map(|capability| capability.r#type).collect();
    assert_eq!(types, [None, Some(6)]);
    let error = refused::<v1::Attribute>(r#"{"name":"rack","type":"SHELF"}"#);
    assert!(error.starts_with("type: this is not a value the field can have"), "{error}");
}

#[test]
fn escaped_names_are_names() {
    assert_eq!(call("{\"t\\u0079pe\":\"HEARTBEAT\"}"), Call::default());
    assert_eq!(call("{\"t\\u0079pe\":\"TEARDOWN\"}"), call(r#"{"type":"TEARDOWN"}"#));
}

#[test]
fn what_is_written_is_one_line_of_ascii() {
    let event = Event {
        error: Some(v1::scheduler::event::Error {
            message: Some("\n\u{0}ä€😀\u{2028}\"\\".to_owned()),
            code: None,
        }),
        ..Event::default()
    };
    let text = String::from_utf8(event.to_json()).expect("it is ASCII");
    assert_eq!(text, r#"{"error":{"message":"\n\u0000\u00e4\u20ac\ud83d\ude00\u2028\"\\"}}"#);
    assert_eq!(Event::from_json(text.as_bytes()), Ok(event));
}

#[test]
fn declared_defaults_are_written_unless_deprecated() {
    let info = v1::FrameworkInfo { user: Some("u".into()), name: Some("n".into()), ..Default::default() };
    let text = String::from_utf8(info.to_json()).expect("it is ASCII");
    assert_eq!(text, r#"{"user":"u","name":"n","failover_timeout":0.0,"checkpoint":false}"#);
}

#[test]
fn a_duration_is_a_message_as_any_other() {
    let body = br#"{"agent_id":{"value":"a"},"max_grace_period":{"seconds":1,"nanos":5},"mark_gone":false}"#;
    let drain = v1::master::call::DrainAgent::from_json(body).expect("it is complete");
    assert_eq!(drain.max_grace_period, Some(prost_types::Duration { seconds: 1, nanos: 5 }));
    assert_eq!(drain.to_json(), body);
}

#[test]
fn a_missing_required_field_is_named_with_its_path() {
    for (body, path) in [
        (r#"{"type":"KILL","kill":{}}"#, "kill.task_id"),
        (r#"{"type":"KILL","kill":{"task_id":{"value":null}}}"#, "kill.task_id.value"),
        (r#"{"type":"DECLINE","decline":{"offer_ids":[{"value":"o"},{}]}}"#, "decline.offer_ids[1].value"),
    ] {
        assert_eq!(refused::<Call>(body), format!("{path} is required"));
    }
    // The same through protobuf, where prost alone would take no bytes at all for a status.
    let kill = Call { kill: Some(v1::scheduler::call::Kill::default()), ..Call::default() };
    let missing = DecodeError::Missing { path: "kill.task_id".to_owned() };
    assert_eq!(decode_binary::<Call>(&kill.encode_to_vec()), Err(missing));
    assert_eq!(
        decode_binary::<v1::TaskStatus>(&[]),
        Err(DecodeError::Missing { path: "task_id".to_owned() })
    );
}

#[test]
fn a_missing_value_in_a_map_is_named_by_its_key() {
    let body = r#"{"name":"t","task_id":{"value":"t"},"agent_id":{"value":"a"},"limits":{"mem":{}}}"#;
    assert_eq!(refused::<v1::TaskInfo>(body), r#"limits["mem"].value is required"#);
}

#[test]
fn a_wrong_value_is_named_with_its_path() {
    for (body, start) in [
        (
            r#"{"type":"ACCEPT","accept":{"offer_ids":[{"value":7}]}}"#,
            "accept.offer_ids[0].value: invalid value",
        ),
        (r#"{"type":"ACCEPT","accept":{"offer_ids":"o1"}}"#, "accept.offer_ids: invalid type: string \"o1\""),
        (r#"{"type":"ACCEPT","accept":[]}"#, "accept: invalid type: sequence, expected an object"),
        (r#"{"type":true}"#, "type: invalid value: boolean `true`"),
        (r#"{"acknowledge":{"uuid":"***"}}"#, "acknowledge.uuid: invalid value"),
        (r#"{"type":"KILL""#, "EOF while parsing an object"),
        (r#"{"type":"KILL"} x"#, "trailing characters"),
        ("", "EOF while parsing a value"),
        ("null", "expected an object, found null"),
        ("[]", "invalid type: sequence, expected an object"),
        ("\u{feff}{}", "expected value"),
    ] {
        let error = refused::<Call>(body);
        assert!(error.starts_with(start), "{body}: {error}");
    }
    assert!(Call::from_json(b"{\"type\":\"\xff\"}").is_err(), "not UTF-8");
}

#[test]
fn depth_is_bounded_where_it_is_read_and_harmless_where_it_is_skipped() {
    let nested = |open: &str, close: &str| open.repeat(VERY_DEEP) + "null" + &close.repeat(VERY_DEEP);
    let skipped = format!(r#"{{"unknown":{},"type":"TEARDOWN"}}"#, nested("[", "]"));
    assert_eq!(call(&skipped), call(r#"{"type":"TEARDOWN"}"#));
    let skipped = format!(r#"{{"unknown":{}}}"#, nested("{\"a\":", "}"));
    assert_eq!(call(&skipped), Call::default());
    assert!(refused::<Call>(&nested("[", "]")).contains("expected an object"));
    assert!(refused::<Call>(&format!(r#"{{"type":{}}}"#, nested("[", "]"))).starts_with("type: "));
    let error = refused::<v1::ContainerId>(&nested("{\"parent\":", "}"));
    assert!(error.contains("recursion limit exceeded"), "{}", &error[error.len().saturating_sub(100)..]);
}

#[test]
fn depth_is_bounded_in_protobuf_too() {
    // A container in a container …: each level is a tag, a length and what is inside. Written back to front.
    let mut reversed: Vec<u8> = Vec::new();
    for _ in 0..VERY_DEEP {
        let mut length = Vec::new();
        prost::encoding::encode_varint(reversed.len() as u64, &mut length);
        reversed.extend(length.iter().rev());
        reversed.push(0x12);
    }
    reversed.reverse();
    let error = decode_binary::<v1::ContainerId>(&reversed).expect_err("it is too deep");
    assert!(matches!(error, DecodeError::Binary(_)), "{error}");
    // The same below a field that is unknown there.
    let mut unknown = vec![0xfa, 0x3f];
    prost::encoding::encode_varint(reversed.len() as u64, &mut unknown);
    unknown.extend(&reversed);
    assert_eq!(Call::decode(&unknown[..]), Ok(Call::default()));
}

#[test]
fn unknown_groups_are_bounded_too() {
    // Start-group tags of an unknown field, nested without end.
    assert!(Call::decode(&[0xfb, 0x3f].repeat(VERY_DEEP)[..]).is_err());
}

const CALLS: &str = include_str!("data/recordings/scheduler.Call.jsonl");

/// A good body with a few bytes changed, cut off or added.
fn spoiled() -> impl Strategy<Value = Vec<u8>> {
    let bodies: Vec<&str> = CALLS.lines().collect();
    let change = (any::<prop::sample::Index>(), prop::sample::select(&b"{}[]\",:0e-\\\xff n\0"[..]));
    (prop::sample::select(bodies), prop::collection::vec(change, 0..4), any::<prop::sample::Index>())
        .prop_map(|(body, changes, cut)| {
            let body = body.split_once("\"body\": ").map_or(body, |(_, body)| body);
            let mut bytes = body.as_bytes()[..body.len() - 1].to_vec();
            for (place, byte) in changes {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            if cut.index(3) == 0 {
                bytes.truncate(cut.index(bytes.len()));
            }
            bytes
        })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_body_can_break_it(body in spoiled()) {
        match Call::from_json(&body) {
            Ok(call) => {
                let text = call.to_json();
                let again = Call::from_json(&text).expect("we read what we write");
                prop_assert_eq!(again.to_json(), text);
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    #[test]
    fn no_bytes_can_break_it(body in spoiled(), flips in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 0..4)) {
        let mut bytes = Call::from_json(&body).map_or(body, |call| call.encode_to_vec());
        prop_assume!(!bytes.is_empty());
        for (place, byte) in flips {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Ok(call) = decode_binary::<Call>(&bytes) {
            let again = decode_binary::<Call>(&call.encode_to_vec());
            prop_assert!(again.is_ok());
            prop_assert!(Call::from_json(&call.to_json()).is_ok());
        }
    }
}
