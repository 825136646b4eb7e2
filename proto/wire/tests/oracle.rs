//! The generated JSON codec against an independent one, prost-reflect, over random messages.
//!
//! The other codec writes the standard proto3 form; it agrees with ours in everything but declared defaults, which
//! the random messages therefore always set, and `google.protobuf.Duration`, which they leave out.

use std::fmt::Debug;

use chapada_wire::{DESCRIPTORS, Json, decode_binary, v1};
use proptest::prelude::*;
use prost::Message as _;
use prost_reflect::{
    Cardinality, DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor,
    SerializeOptions, Value,
};

/// Below this, only required fields are set.
const DEPTH: u32 = 5;

/// Draws everything from one seed, so that a failure is one number.
struct Dice(u64);

impl Dice {
    /// SplitMix64.
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.roll() % bound as u64) as usize
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    fn text(&mut self) -> String {
        const LETTERS: [&str; 14] =
            ["a", "Z", "0", " ", "\"", "\\", "/", "\n", "\u{1}", "\u{7f}", "ä", "€", "😀", "\u{2028}"];
        (0..self.below(6)).map(|_| self.one_of(&LETTERS)).collect()
    }

    fn message(&mut self, kind: &MessageDescriptor, depth: u32) -> DynamicMessage {
        let mut message = DynamicMessage::new(kind.clone());
        let chosen: Vec<Option<FieldDescriptor>> = kind
            .oneofs()
            .map(|oneof| {
                let fields: Vec<_> = oneof.fields().collect();
                (depth < DEPTH).then(|| fields[self.below(fields.len())].clone())
            })
            .collect();
        for field in kind.fields() {
            let in_oneof = field.containing_oneof().is_some();
            let set = match field.cardinality() {
                _ if in_oneof => chosen.contains(&Some(field.clone())),
                _ if is_duration(&field) => false,
                Cardinality::Required => true,
                _ if field.field_descriptor_proto().default_value.is_some() => true,
                _ => depth < DEPTH && self.below(5) < 2,
            };
            if set {
                let value = self.field(&field, depth);
                message.set_field(&field, value);
            }
        }
        message
    }

    fn field(&mut self, field: &FieldDescriptor, depth: u32) -> Value {
        if field.is_map() {
            let Kind::Message(entry) = field.kind() else { unreachable!("the type of a map is an entry") };
            let values = entry.map_entry_value_field();
            let pairs = (0..1 + self.below(2))
                .map(|_| (MapKey::String(self.text()), self.single(&values, depth + 1)));
            return Value::Map(pairs.collect());
        }
        if field.is_list() {
            return Value::List((0..1 + self.below(3)).map(|_| self.single(field, depth + 1)).collect());
        }
        self.single(field, depth + 1)
    }

    fn single(&mut self, field: &FieldDescriptor, depth: u32) -> Value {
        const FLOATS: [f64; 10] =
            [0.0, -0.0, 1.0, 0.1, -2.5, 1e21, 1e-9, f64::MAX, f64::INFINITY, f64::NEG_INFINITY];
        let roll = self.roll();
        match field.kind() {
            Kind::Double => Value::F64(self.one_of(&FLOATS)),
            Kind::Int32 => Value::I32(self.one_of(&[0, 1, -1, i32::MIN, i32::MAX, roll as i32])),
            Kind::Int64 => Value::I64(self.one_of(&[0, 1, -1, i64::MIN, i64::MAX, roll as i64])),
            Kind::Uint32 => Value::U32(self.one_of(&[0, 1, u32::MAX, roll as u32])),
            Kind::Uint64 => Value::U64(self.one_of(&[0, 1, u64::MAX, roll])),
            Kind::Bool => Value::Bool(roll.is_multiple_of(2)),
            Kind::String => Value::String(self.text()),
            Kind::Bytes => {
                let length = self.below(9);
                Value::Bytes(roll.to_le_bytes()[..length.min(8)].to_vec().into())
            }
            Kind::Enum(values) => {
                let numbers: Vec<i32> = values.values().map(|value| value.number()).collect();
                Value::EnumNumber(self.one_of(&numbers))
            }
            Kind::Message(kind) => Value::Message(self.message(&kind, depth)),
            other => unreachable!("no message of the API has a {other:?}"),
        }
    }
}

fn is_duration(field: &FieldDescriptor) -> bool {
    matches!(field.kind(), Kind::Message(kind) if kind.full_name() == "google.protobuf.Duration")
}

fn by_oracle(message: &DynamicMessage) -> serde_json::Value {
    let options = SerializeOptions::new().use_proto_field_name(true).stringify_64_bit_integers(false);
    message.serialize_with_options(serde_json::value::Serializer, &options).expect("it has a JSON form")
}

/// Lists that are written although they are empty say nothing.
fn without_empty_lists(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Object(fields) => fields
            .into_iter()
            .filter(|(_, value)| value.as_array().is_none_or(|list| !list.is_empty()))
            .map(|(key, value)| (key, without_empty_lists(value)))
            .collect(),
        serde_json::Value::Array(list) => list.into_iter().map(without_empty_lists).collect(),
        other => other,
    }
}

fn agree<T: Json + prost::Message + PartialEq + Debug>(name: &str, pool: &DescriptorPool, seed: u64) {
    let kind = pool.get_message_by_name(&format!("chapada.v1.{name}")).expect("it is one of ours");
    let random = Dice(seed).message(&kind, 0);
    let message: T = decode_binary(&random.encode_to_vec()).expect("all that is required is set");
    let text = message.to_json();

    let ours: serde_json::Value = serde_json::from_slice(&text).expect("we write JSON");
    let theirs = by_oracle(&random);
    assert_eq!(without_empty_lists(ours), without_empty_lists(theirs.clone()), "written, {name}");
    assert_eq!(T::from_json(theirs.to_string().as_bytes()), Ok(message), "read by us, {name}");

    let mut deserializer = serde_json::Deserializer::from_slice(&text);
    let read = DynamicMessage::deserialize(kind, &mut deserializer).expect("they read what we write");
    assert_eq!(without_empty_lists(by_oracle(&read)), without_empty_lists(theirs), "read by them, {name}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_codecs_agree(seed: u64) {
        let pool = DescriptorPool::decode(DESCRIPTORS).expect("the build wrote descriptors");
        agree::<v1::scheduler::Call>("scheduler.Call", &pool, seed);
        agree::<v1::scheduler::Event>("scheduler.Event", &pool, seed);
        agree::<v1::executor::Call>("executor.Call", &pool, seed);
        agree::<v1::executor::Event>("executor.Event", &pool, seed);
        agree::<v1::master::Call>("master.Call", &pool, seed);
        agree::<v1::master::Event>("master.Event", &pool, seed);
        agree::<v1::master::Response>("master.Response", &pool, seed);
        agree::<v1::agent::Call>("agent.Call", &pool, seed);
        agree::<v1::agent::Response>("agent.Response", &pool, seed);
        agree::<v1::MasterInfo>("MasterInfo", &pool, seed);
    }
}

#[test]
fn random_messages_say_something() {
    let pool = DescriptorPool::decode(DESCRIPTORS).expect("the build wrote descriptors");
    let kind = pool.get_message_by_name("chapada.v1.scheduler.Event").expect("it is one of ours");
    let longest = (0..50).map(|seed| Dice(seed).message(&kind, 0).encoded_len()).max();
    assert!(longest > Some(500), "the longest has {longest:?} bytes");
}
