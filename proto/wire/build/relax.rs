//! The copy of the descriptors that code is generated from.

use prost_types::field_descriptor_proto::Label;
use prost_types::{DescriptorProto, FileDescriptorSet};

/// Makes what is required optional, so that a missing field can be told from an empty one, and drops the marks of
/// deprecation: old fields are part of the API and reading them deserves no warning.
pub(crate) fn relaxed(mut set: FileDescriptorSet) -> FileDescriptorSet {
    for file in &mut set.file {
        file.message_type.iter_mut().for_each(relax_message);
    }
    set
}

fn relax_message(message: &mut DescriptorProto) {
    for field in &mut message.field {
        if field.label() == Label::Required {
            field.set_label(Label::Optional);
        }
        if let Some(options) = &mut field.options {
            options.deprecated = None;
        }
    }
    message.nested_type.iter_mut().for_each(relax_message);
}
