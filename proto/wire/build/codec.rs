//! Writes the JSON codec and the check of required fields of each message of the API.
//!
//! The generated code is a list of calls, one a field; how a field is read, written or checked is in `src/json`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};

use crate::names;

/// Only what is spoken over HTTP needs JSON; the agent link is binary.
const API_PACKAGE: &str = "chapada.v1";

/// Lists that are written even when they are empty, as clients of these calls have come to expect.
const LISTS_ALWAYS_WRITTEN: [(&str, &[&str]); 5] = [
    (".chapada.v1.master.Response.GetAgents", &["agents", "recovered_agents"]),
    (".chapada.v1.master.Response.GetExecutors", &["executors"]),
    (".chapada.v1.master.Response.GetFrameworks", &["frameworks", "completed_frameworks"]),
    (".chapada.v1.master.Response.GetTasks", &["tasks", "unreachable_tasks", "completed_tasks"]),
    (
        ".chapada.v1.agent.Response.GetTasks",
        &["pending_tasks", "queued_tasks", "launched_tasks", "terminated_tasks", "completed_tasks"],
    ),
];

struct Generator {
    /// Full name to package, for every message and enum.
    packages: BTreeMap<String, String>,
    out: String,
}

/// One field as the generated code sees it.
struct Field<'a> {
    descriptor: &'a FieldDescriptorProto,
    /// Its name in JSON, which is the one in the `.proto` file.
    name: &'a str,
    /// `self.name`.
    place: String,
    kind: Kind,
}

enum Kind {
    Scalar,
    Message,
    Enum(String),
    Map,
}

/// The source of all codecs.
pub(crate) fn generate(set: &FileDescriptorSet) -> String {
    let mut generator = Generator { packages: BTreeMap::new(), out: String::new() };
    for file in &set.file {
        for message in &file.message_type {
            generator.learn_message(&format!(".{}", file.package()), file.package(), message);
        }
        for each in &file.enum_type {
            generator.learn(&format!(".{}.{}", file.package(), each.name()), file.package());
        }
    }
    for file in &set.file {
        let package = file.package();
        if package != API_PACKAGE && !package.starts_with(&format!("{API_PACKAGE}.")) {
            continue;
        }
        for message in &file.message_type {
            generator.message(&format!(".{package}"), message);
        }
        for each in &file.enum_type {
            generator.enumeration(&format!(".{package}"), each);
        }
    }
    generator.out
}

impl Generator {
    fn learn(&mut self, full_name: &str, package: &str) {
        self.packages.insert(full_name.to_owned(), package.to_owned());
    }

    fn learn_message(&mut self, scope: &str, package: &str, message: &DescriptorProto) {
        let full_name = format!("{scope}.{}", message.name());
        self.learn(&full_name, package);
        for nested in &message.nested_type {
            self.learn_message(&full_name, package, nested);
        }
        for each in &message.enum_type {
            self.learn(&format!("{full_name}.{}", each.name()), package);
        }
    }

    fn path(&self, full_name: &str) -> String {
        names::type_path(full_name, &self.packages[full_name])
    }

    fn line(&mut self, line: &str) {
        self.out.push_str(line);
        self.out.push('\n');
    }

    fn enumeration(&mut self, scope: &str, each: &EnumDescriptorProto) {
        let path = self.path(&format!("{scope}.{}", each.name()));
        let _ = writeln!(
            self.out,
            "impl Enumeration for {path} {{\n\
             fn name_of(number: i32) -> Option<&'static str> {{ Self::try_from(number).ok().map(|v| v.as_str_name()) }}\n\
             fn number_of(name: &str) -> Option<i32> {{ Self::from_str_name(name).map(|v| v as i32) }}\n}}"
        );
    }

    fn message(&mut self, scope: &str, message: &DescriptorProto) {
        let full_name = format!("{scope}.{}", message.name());
        for nested in &message.nested_type {
            if !is_map_entry(nested) {
                self.message(&full_name, nested);
            }
        }
        for each in &message.enum_type {
            self.enumeration(&full_name, each);
        }
        let path = self.path(&full_name);
        let fields: Vec<Field<'_>> = message.field.iter().map(|field| self.field(message, field)).collect();
        let unused = if fields.is_empty() { "_" } else { "" };
        self.line(&format!("impl JsonFields for {path} {{"));
        self.line("fn read_field<'de, A: MapAccess<'de>>(&mut self, name: &str, value: Value<'_, A>) -> Result<(), A::Error> { match name {");
        for field in &fields {
            let line = self.read(&path, message, field);
            self.line(&line);
        }
        self.line("_ => value.ignore(), } }");
        self.line(&format!("fn write_fields(&self, {unused}object: &mut Object<'_>) {{"));
        let always = LISTS_ALWAYS_WRITTEN.iter().find(|(message, _)| *message == full_name);
        let always = always.map_or(&[][..], |(_, fields)| fields);
        for field in &fields {
            let line = self.write(&path, message, field, always.contains(&field.name));
            self.line(&line);
        }
        self.line("}");
        let checks: Vec<String> =
            fields.iter().filter_map(|field| self.check(&path, message, field)).collect();
        let unused = if checks.is_empty() { "_" } else { "" };
        self.line(&format!("fn is_complete(&self, {unused}at: &mut Path) -> bool {{"));
        let all = if checks.is_empty() { "true".to_owned() } else { checks.join("\n&& ") };
        self.line(&all);
        self.line("} }");
    }

    fn field<'a>(&self, message: &DescriptorProto, descriptor: &'a FieldDescriptorProto) -> Field<'a> {
        let kind = match descriptor.r#type() {
            Type::Message if is_map(message, descriptor) => Kind::Map,
            Type::Message => Kind::Message,
            Type::Enum => Kind::Enum(self.path(descriptor.type_name())),
            _ => Kind::Scalar,
        };
        let name = descriptor.name();
        Field { descriptor, name, place: format!("self.{}", names::field(name)), kind }
    }

    fn read(&self, path: &str, message: &DescriptorProto, field: &Field<'_>) -> String {
        let Field { name, place, .. } = field;
        let required = field.descriptor.label() == Label::Required;
        let repeated = field.descriptor.label() == Label::Repeated;
        let call = |place: &str| match &field.kind {
            Kind::Map => format!("value.map({name:?}, {place})"),
            Kind::Message if repeated => format!("value.messages({name:?}, {place})"),
            Kind::Message => format!("value.message({name:?}, {place})"),
            Kind::Scalar if repeated => format!("value.scalars({name:?}, {place})"),
            Kind::Scalar => format!("value.scalar({name:?}, {place})"),
            Kind::Enum(path) if repeated => format!("value.enumerations::<{path}>({name:?}, {place})"),
            Kind::Enum(path) => format!("value.enumeration::<{path}>({name:?}, {place}, {required})"),
        };
        match oneof(message, field.descriptor) {
            None => format!("{name:?} => {},", call(&format!("&mut {place}"))),
            Some(oneof) => format!(
                "{name:?} => {{ let mut read = None; {}?; if let Some(read) = read {{ self.{} = Some({}::{}(read)); }} Ok(()) }}",
                call("&mut read"),
                names::field(oneof),
                names::oneof_path(path, message.name(), oneof),
                names::variant(name),
            ),
        }
    }

    fn write(&self, path: &str, message: &DescriptorProto, field: &Field<'_>, lists_always: bool) -> String {
        let key = format!("{:?}", format!("\"{}\":", field.name));
        let repeated = field.descriptor.label() == Label::Repeated;
        let call = |place: &str| match &field.kind {
            Kind::Map => format!("object.map({key}, {place});"),
            Kind::Message if repeated => format!("object.messages({key}, {place}, {lists_always});"),
            Kind::Message => format!("object.message({key}, {place}.as_ref());"),
            Kind::Scalar if repeated => format!("object.scalars({key}, {place}, {lists_always});"),
            Kind::Scalar => format!("object.scalar({key}, {place}.as_ref(), {:?});", default_text(field)),
            Kind::Enum(path) if repeated => format!("object.enumerations::<{path}>({key}, {place});"),
            Kind::Enum(path) => {
                format!("object.enumeration::<{path}>({key}, {place}, {:?});", default_text(field))
            }
        };
        match oneof(message, field.descriptor) {
            None => {
                let by_value = matches!(&field.kind, Kind::Enum(_)) && !repeated;
                let option = !repeated && !by_value && !matches!(field.kind, Kind::Map);
                let place = &field.place;
                if by_value || option { call(place) } else { call(&format!("&{place}")) }
            }
            Some(oneof) => {
                let place = if matches!(&field.kind, Kind::Enum(_)) { "Some(*set)" } else { "Some(set)" };
                let call = call(place).replace("Some(set).as_ref()", "Some(set)");
                format!(
                    "if let Some({}::{}(set)) = &self.{} {{ {call} }}",
                    names::oneof_path(path, message.name(), oneof),
                    names::variant(field.name),
                    names::field(oneof),
                )
            }
        }
    }

    fn check(&self, path: &str, message: &DescriptorProto, field: &Field<'_>) -> Option<String> {
        let Field { name, place, descriptor, .. } = field;
        let (required, repeated) =
            (descriptor.label() == Label::Required, descriptor.label() == Label::Repeated);
        if let Some(oneof) = oneof(message, descriptor) {
            return matches!(field.kind, Kind::Message).then(|| {
                format!(
                    "(match &self.{} {{ Some({}::{}(set)) => at.inside({name:?}, set), _ => true }})",
                    names::field(oneof),
                    names::oneof_path(path, message.name(), oneof),
                    names::variant(name),
                )
            });
        }
        match &field.kind {
            Kind::Map => Some(format!("at.values({name:?}, &{place})")),
            Kind::Message if repeated => Some(format!("at.elements({name:?}, &{place})")),
            Kind::Message => Some(format!("at.message({name:?}, {place}.as_ref(), {required})")),
            Kind::Enum(path) if required => Some(format!("at.enumeration::<{path}>({name:?}, {place})")),
            Kind::Scalar if required => Some(format!("at.set({name:?}, {place}.is_some())")),
            Kind::Scalar | Kind::Enum(_) => None,
        }
    }
}

fn is_map_entry(message: &DescriptorProto) -> bool {
    message.options.as_ref().is_some_and(|options| options.map_entry())
}

fn is_map(message: &DescriptorProto, field: &FieldDescriptorProto) -> bool {
    message
        .nested_type
        .iter()
        .any(|nested| is_map_entry(nested) && field.type_name().ends_with(&format!(".{}", nested.name())))
}

fn oneof<'a>(message: &'a DescriptorProto, field: &FieldDescriptorProto) -> Option<&'a str> {
    let index = usize::try_from(field.oneof_index?).expect("an index is not negative");
    Some(message.oneof_decl[index].name())
}

/// What is written for an unset field that declares a default; nothing for deprecated fields, as Mesos does it.
fn default_text(field: &Field<'_>) -> Option<String> {
    let descriptor = field.descriptor;
    let text = descriptor.default_value.as_deref()?;
    if descriptor.label() == Label::Required
        || descriptor.options.as_ref().is_some_and(|options| options.deprecated())
    {
        return None;
    }
    Some(match descriptor.r#type() {
        Type::Double | Type::Float => {
            format!("{:?}", text.parse::<f64>().expect("the default of a number is a number"))
        }
        Type::Enum | Type::String => format!("{text:?}"),
        _ => text.to_owned(),
    })
}
