//! Bodies of the APIs in both forms, records on a stream, and conversions into the model.

use std::fmt::Debug;

use chapada_model::{
    AgentDescription, ExecutorDescription, FrameworkDescription, TaskDescription, TaskStatus,
};
use chapada_wire::convert::{ReservationFormat, resources_from_wire, resources_to_wire};
use chapada_wire::recordio::{Decoder, frame};
use chapada_wire::{Json, decode_binary, v1};
use prost::Message;
use serde_json::Value;

use crate::corpus::recorded;

/// What is read is written so that it reads the same again. A number that is none is equal to nothing, so texts and bytes
/// are compared.
fn same_again<T: Json + Message + Default + Debug>(bytes: &[u8]) {
    if let Ok(message) = decode_binary::<T>(bytes) {
        let binary = message.encode_to_vec();
        let again = decode_binary::<T>(&binary).expect("what was written is read");
        assert_eq!(again.encode_to_vec(), binary);
        json_again(&message);
    }
    if let Ok(message) = T::from_json(bytes) {
        json_again(&message);
    }
}

/// JSON has no infinity: what has one is written, and need not be read again. A default is set once it was written, so it is
/// the second writing that must not differ.
fn json_again<T: Json + Message + Default + Debug>(message: &T) {
    let text = message.to_json();
    if let Ok(read) = T::from_json(&text) {
        let value = |text: &[u8]| serde_json::from_slice::<Value>(text).expect("we write JSON");
        assert!(same(&value(&text), &value(&read.to_json())), "JSON is not stable: {message:?}");
    }
}

/// Equal, but for the last digit of a fraction, which the reader does not promise.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(a), Value::Number(b)) if a.is_f64() || b.is_f64() => {
            let (a, b) = (a.as_f64().unwrap_or_default(), b.as_f64().unwrap_or_default());
            a == b || (a - b).abs() <= a.abs() * 1e-15
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (one, other) => one == other,
    }
}

/// Each body as JSON and as protobuf.
fn both<T: Json + Message + Default>(kind: &str) -> Vec<Vec<u8>> {
    let texts = recorded(kind).into_iter().map(|body| body.to_string().into_bytes());
    texts
        .flat_map(|text| {
            let message = T::from_json(&text).expect("a recording is read");
            [text, message.encode_to_vec()]
        })
        .collect()
}

pub(super) fn scheduler(bytes: &[u8]) {
    same_again::<v1::scheduler::Call>(bytes);
    same_again::<v1::scheduler::Event>(bytes);
}

pub(super) fn scheduler_seeds() -> Vec<Vec<u8>> {
    [both::<v1::scheduler::Call>("scheduler.Call"), both::<v1::scheduler::Event>("scheduler.Event")].concat()
}

pub(super) fn executor(bytes: &[u8]) {
    same_again::<v1::executor::Call>(bytes);
    same_again::<v1::executor::Event>(bytes);
}

pub(super) fn executor_seeds() -> Vec<Vec<u8>> {
    [both::<v1::executor::Call>("executor.Call"), both::<v1::executor::Event>("executor.Event")].concat()
}

pub(super) fn operator(bytes: &[u8]) {
    same_again::<v1::master::Call>(bytes);
    same_again::<v1::master::Response>(bytes);
    same_again::<v1::master::Event>(bytes);
}

pub(super) fn operator_seeds() -> Vec<Vec<u8>> {
    [
        both::<v1::master::Call>("master.Call"),
        both::<v1::master::Response>("master.Response"),
        both::<v1::master::Event>("master.Event"),
    ]
    .concat()
}

pub(super) fn agent(bytes: &[u8]) {
    same_again::<v1::agent::Call>(bytes);
    same_again::<v1::agent::Response>(bytes);
}

pub(super) fn agent_seeds() -> Vec<Vec<u8>> {
    [both::<v1::agent::Call>("agent.Call"), both::<v1::agent::Response>("agent.Response")].concat()
}

/// However a stream is cut, the same records come out.
pub(super) fn recordio(bytes: &[u8]) {
    const LIMIT: usize = 4096;
    let records_of = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let (mut decoder, mut records) = (Decoder::new(LIMIT), Vec::new());
        for piece in pieces {
            decoder.push(piece);
            while let Ok(Some(record)) = decoder.next_record() {
                assert!(record.len() <= LIMIT);
                records.push(record);
            }
        }
        (records, decoder.finish().is_ok())
    };
    let step = usize::from(bytes.first().copied().unwrap_or(1)).max(1);
    let whole = records_of(&mut std::iter::once(bytes));
    let cut = records_of(&mut bytes.chunks(step));
    assert_eq!(whole, cut);
    for record in whole.0 {
        let mut decoder = Decoder::new(LIMIT);
        decoder.push(&frame(&record));
        assert_eq!(decoder.next_record(), Ok(Some(record)));
    }
}

pub(super) fn recordio_seeds() -> Vec<Vec<u8>> {
    let events = recorded("scheduler.Event");
    let streams = events.chunks(5).map(|events| {
        events.iter().flat_map(|event| frame(event.to_string().as_bytes()).to_vec()).collect::<Vec<u8>>()
    });
    streams.chain([b"0\n5\nhello\r\n3\nabc".to_vec(), b"18446744073709551616\n".to_vec()]).collect()
}

/// What the model takes, it gives back so that it takes the same again.
pub(super) fn convert(bytes: &[u8]) {
    converted::<v1::FrameworkInfo, FrameworkDescription>(bytes);
    converted::<v1::TaskInfo, TaskDescription>(bytes);
    converted::<v1::ExecutorInfo, ExecutorDescription>(bytes);
    converted::<v1::AgentInfo, AgentDescription>(bytes);
    converted::<v1::TaskStatus, TaskStatus>(bytes);
    if let Some(offer) = read::<v1::Offer>(bytes)
        && let Ok(resources) = resources_from_wire("resources", &offer.resources)
    {
        for format in [ReservationFormat::Single, ReservationFormat::Stacked, ReservationFormat::Both] {
            let wire = resources_to_wire(&resources, format);
            assert_eq!(resources_from_wire("resources", &wire).as_ref(), Ok(&resources), "{format:?}");
        }
    }
}

fn converted<W, M>(bytes: &[u8])
where
    W: Json + Message + Default + for<'a> From<&'a M>,
    M: for<'a> TryFrom<&'a W, Error: Debug> + Debug,
{
    let Some(message) = read::<W>(bytes) else { return };
    let Ok(model) = M::try_from(&message) else { return };
    let wire = W::from(&model);
    let again = M::try_from(&wire).expect("what the model gave is taken");
    assert_eq!(W::from(&again).encode_to_vec(), wire.encode_to_vec());
}

fn read<T: Json + Message + Default>(bytes: &[u8]) -> Option<T> {
    decode_binary(bytes).or_else(|_| T::from_json(bytes)).ok()
}

/// The parts of recorded calls and events that have a place in the model.
pub(super) fn convert_seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for body in recorded("scheduler.Call").iter().chain(&recorded("scheduler.Event")) {
        let parts = [
            "/subscribe/framework_info",
            "/accept/operations/0/launch/task_infos/0",
            "/accept/operations/0/launch/task_infos/0/executor",
            "/offers/offers/0",
            "/update/status",
        ];
        seeds.extend(parts.iter().filter_map(|part| body.pointer(part)).map(|p| p.to_string().into_bytes()));
    }
    for body in recorded("master.Response") {
        let agents = body.pointer("/get_agents/agents/0/agent_info");
        seeds.extend(agents.map(|info| info.to_string().into_bytes()));
    }
    seeds
}

/// What a master sends, as the SDK reads it.
pub(super) fn sdk_event(bytes: &[u8]) {
    if let Some(event) = read::<v1::scheduler::Event>(bytes) {
        drop(chapada_sdk::edge::event(event));
    }
}
