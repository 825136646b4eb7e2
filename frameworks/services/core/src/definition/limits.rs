//! How far a task may go above what it asked for.

use chapada_model::Milli;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::reader::{Errors, FieldError, Fields};

/// Bounds of a task, each no less than what it asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ResourceLimits {
    /// Of CPUs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<Bound>,
    /// Of MiB of memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mem: Option<Bound>,
}

/// How far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// So far.
    Amount(Milli),
    /// As far as the machine lets it.
    Unlimited,
}

impl Serialize for Bound {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Amount(amount) => super::number(amount, serializer),
            Self::Unlimited => serializer.serialize_str("unlimited"),
        }
    }
}

/// `resourceLimits`, if it says something.
pub(crate) fn read_limits(fields: &Fields<'_>, wrong: &mut Errors) -> Option<ResourceLimits> {
    let limits = fields.object("resourceLimits", wrong)?;
    let mut bound = |name: &str| match limits.get(name) {
        Some(Value::String(text)) if text == "unlimited" => Some(Bound::Unlimited),
        Some(Value::String(_)) => {
            wrong.push(FieldError::new(limits.path(name), "error.expected: a number or \"unlimited\""));
            None
        }
        _ => limits.amount(name, wrong).map(Bound::Amount),
    };
    let limits = ResourceLimits { cpus: bound("cpus"), mem: bound("mem") };
    (limits != ResourceLimits::default()).then_some(limits)
}

/// What is wrong with the limits at `path` of a task that asks for so much.
pub(crate) fn limit_rules(path: &str, limits: Option<&ResourceLimits>, cpus: Milli, mem: Milli) -> Errors {
    let mut errors = Errors::new();
    let bounds = limits.map(|limits| [("cpus", limits.cpus, cpus), ("mem", limits.mem, mem)]);
    for (name, bound, asked) in bounds.into_iter().flatten() {
        if matches!(bound, Some(Bound::Amount(bound)) if bound < asked) {
            let error = format!("must be greater than or equal to the requested {}", asked.to_f64());
            errors.push(FieldError::new(format!("{path}/{name}"), error));
        }
    }
    errors
}
