//! Our descriptors against the facts about the Mesos v1 API, field by field.

use std::collections::BTreeMap;

use chapada_wire::DESCRIPTORS;
use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};
use serde::Deserialize;

const PACKAGE: &str = "chapada.v1.";

/// Messages of our own; all others must be in the facts.
const OURS: [&str; 11] = [
    "master.Call.AllowAgentRemovals",
    "master.Call.CancelDrain",
    "master.Call.DrainAgents",
    "master.Call.Subscribe",
    "master.Position",
    "LinuxInfo.DiskLimit",
    "LinuxInfo.HugePageLimit",
    "PressureStall",
    "PressureStall.Waiting",
    "scheduler.CallAccepted",
    "Volume.Source.Tmpfs",
];

/// Enums of our own; all others must be in the facts.
const OUR_ENUMS: [&str; 2] = ["master.Event.Subscribed.NotResumed", "scheduler.Event.Error.Code"];

/// Fields and values of our own have numbers from here on.
const FIRST_OWN_NUMBER: i32 = 10_000;

#[derive(Deserialize)]
struct Facts {
    messages: BTreeMap<String, Vec<Fact>>,
    enums: BTreeMap<String, BTreeMap<String, i32>>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Fact {
    name: String,
    number: i32,
    r#type: String,
    label: String,
    default: Option<String>,
    oneof: Option<String>,
    #[serde(default)]
    deprecated: bool,
}

#[derive(Default)]
struct Carried {
    messages: BTreeMap<String, Vec<Fact>>,
    enums: BTreeMap<String, BTreeMap<String, i32>>,
}

impl Carried {
    fn message(&mut self, scope: &str, message: &DescriptorProto) {
        let name = format!("{scope}{}", message.name());
        for nested in &message.nested_type {
            if !nested.options.as_ref().is_some_and(|options| options.map_entry()) {
                self.message(&format!("{name}."), nested);
            }
        }
        for each in &message.enum_type {
            self.enumeration(&format!("{name}."), each);
        }
        let fields = message.field.iter().filter(|field| field.number() < FIRST_OWN_NUMBER);
        self.messages.insert(name, fields.map(|field| fact(message, field)).collect());
    }

    fn enumeration(&mut self, scope: &str, each: &EnumDescriptorProto) {
        let values = each.value.iter().filter(|value| value.number() < FIRST_OWN_NUMBER);
        let values = values.map(|value| (value.name().to_owned(), value.number()));
        self.enums.insert(format!("{scope}{}", each.name()), values.collect());
    }
}

fn fact(message: &DescriptorProto, field: &FieldDescriptorProto) -> Fact {
    let entry = message.nested_type.iter().find(|nested| {
        nested.options.as_ref().is_some_and(|options| options.map_entry())
            && field.type_name().ends_with(&format!("{}.{}", message.name(), nested.name()))
    });
    let (label, kind) = match entry {
        Some(entry) => ("map", format!("map<{},{}>", type_name(&entry.field[0]), type_name(&entry.field[1]))),
        None => match field.label() {
            Label::Required => ("required", type_name(field)),
            Label::Repeated => ("repeated", type_name(field)),
            Label::Optional => ("optional", type_name(field)),
        },
    };
    let oneof = field.oneof_index.map(|index| message.oneof_decl[index as usize].name().to_owned());
    Fact {
        name: field.name().to_owned(),
        number: field.number(),
        r#type: kind,
        label: label.to_owned(),
        default: field.default_value.clone(),
        oneof,
        deprecated: field.options.as_ref().is_some_and(|options| options.deprecated()),
    }
}

fn type_name(field: &FieldDescriptorProto) -> String {
    match field.r#type() {
        Type::Double => "double".to_owned(),
        Type::Float => "float".to_owned(),
        Type::Int32 => "int32".to_owned(),
        Type::Int64 => "int64".to_owned(),
        Type::Uint32 => "uint32".to_owned(),
        Type::Uint64 => "uint64".to_owned(),
        Type::Bool => "bool".to_owned(),
        Type::String => "string".to_owned(),
        Type::Bytes => "bytes".to_owned(),
        Type::Message | Type::Enum => {
            let name = field.type_name().trim_start_matches('.');
            name.strip_prefix(PACKAGE).unwrap_or(name).to_owned()
        }
        other => format!("{other:?}"),
    }
}

fn carried() -> Carried {
    let set = FileDescriptorSet::decode(DESCRIPTORS).expect("the build wrote descriptors");
    let mut carried = Carried::default();
    for file in &set.file {
        let package = format!("{}.", file.package());
        let Some(scope) = package.strip_prefix(PACKAGE) else { continue };
        for message in &file.message_type {
            carried.message(scope, message);
        }
        for each in &file.enum_type {
            carried.enumeration(scope, each);
        }
    }
    carried
}

fn facts() -> Facts {
    serde_json::from_str(include_str!("data/mesos-v1-wire.json")).expect("the facts are JSON")
}

#[test]
fn every_message_and_field_is_as_mesos_has_it() {
    let (mut carried, facts) = (carried(), facts());
    for ours in OURS {
        assert!(carried.messages.remove(ours).is_some(), "{ours} is not in our descriptors");
    }
    for (name, mut fields) in carried.messages {
        let Some(known) = facts.messages.get(&name) else { panic!("the facts know no message {name}") };
        let mut known: Vec<&Fact> = known.iter().collect();
        known.sort_by_key(|fact| fact.number);
        fields.sort_by_key(|fact| fact.number);
        assert_eq!(fields.iter().collect::<Vec<_>>(), known, "in message {name}");
    }
}

#[test]
fn every_enum_value_is_as_mesos_has_it() {
    let mut carried = carried();
    for ours in OUR_ENUMS {
        assert!(carried.enums.remove(ours).is_some(), "{ours} is not in our descriptors");
    }
    for (name, values) in carried.enums {
        assert_eq!(Some(&values), facts().enums.get(&name), "in enum {name}");
    }
}

#[test]
fn nothing_of_the_api_is_left_out() {
    let (carried, facts) = (carried(), facts());
    for name in facts.messages.keys() {
        assert!(carried.messages.contains_key(name), "message {name} is not carried");
    }
    for name in facts.enums.keys() {
        assert!(carried.enums.contains_key(name), "enum {name} is not carried");
    }
}
