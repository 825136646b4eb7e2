//! Attributes of agents.

use chapada_model::{Attribute, AttributeValue};

use super::InvalidField;
use super::ranges::{ranges, ranges_to_wire, scalar, scalar_to_wire, set, set_to_wire};
use crate::v1;
use crate::v1::value::Type;

impl TryFrom<&v1::Attribute> for Attribute {
    type Error = InvalidField;

    fn try_from(attribute: &v1::Attribute) -> Result<Self, InvalidField> {
        let name = attribute.name.as_deref().ok_or_else(|| InvalidField::missing("name"))?;
        let kind = attribute
            .r#type
            .and_then(|number| Type::try_from(number).ok())
            .ok_or_else(|| InvalidField::missing("type"))?;
        let value = match kind {
            Type::Scalar => AttributeValue::Scalar(scalar("scalar", attribute.scalar.as_ref())?),
            Type::Ranges => AttributeValue::Ranges(ranges("ranges", attribute.ranges.as_ref())?),
            Type::Set => AttributeValue::Set(set("set", attribute.set.as_ref())?),
            Type::Text => {
                let text = attribute.text.as_ref().and_then(|text| text.value.as_deref());
                AttributeValue::Text(text.ok_or_else(|| InvalidField::missing("text.value"))?.into())
            }
        };
        Ok(Self { name: name.into(), value })
    }
}

impl From<&Attribute> for v1::Attribute {
    fn from(attribute: &Attribute) -> Self {
        let mut wire = Self { name: Some(attribute.name.to_string()), ..Self::default() };
        match &attribute.value {
            AttributeValue::Scalar(milli) => {
                wire.set_type(Type::Scalar);
                wire.scalar = Some(scalar_to_wire(*milli));
            }
            AttributeValue::Ranges(value) => {
                wire.set_type(Type::Ranges);
                wire.ranges = Some(ranges_to_wire(value));
            }
            AttributeValue::Set(value) => {
                wire.set_type(Type::Set);
                wire.set = Some(set_to_wire(value));
            }
            AttributeValue::Text(value) => {
                wire.set_type(Type::Text);
                wire.text = Some(v1::value::Text { value: Some(value.to_string()) });
            }
        }
        wire
    }
}
