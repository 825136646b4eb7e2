//! How a new configuration is brought out, beyond what Marathon knows: canaries, going back by itself, a deadline.

use serde::Serialize;

use super::Seconds;
use super::reader::{Errors, FieldError, Fields};

/// The most stages of one canary.
const MAX_STAGES: usize = 20;

/// How a new configuration is brought out. A change of this alone replaces no task.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// How many instances are replaced before the deployment waits; stage by stage, then all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub canary: Vec<CanaryStage>,
    /// After how many failed tasks of the new configuration the deployment goes back to the old one; never when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollback_after_failures: Option<u32>,
    /// How long a deployment may take before it goes back; for ever when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_seconds: Option<Seconds>,
}

/// One stage of a canary.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CanaryStage {
    /// How many instances have the new configuration.
    #[serde(flatten)]
    pub size: CanarySize,
    /// For how long all of them must have been well before the next stage begins by itself; only by hand when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promote_after_seconds: Option<Seconds>,
}

/// How many instances have the new configuration in a stage.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum CanarySize {
    /// So many.
    Instances(u32),
    /// This share of them, rounded up.
    Fraction(f64),
}

impl CanaryStage {
    /// How many of `target` instances have the new configuration.
    pub fn of(self, target: u32) -> u32 {
        match self.size {
            CanarySize::Instances(count) => count.min(target),
            CanarySize::Fraction(share) => ((f64::from(target) * share).ceil() as u32).min(target),
        }
    }
}

/// Reads the object `rollout`, if there is one.
pub(super) fn read(fields: &Fields<'_>, wrong: &mut Errors, broken: &mut Errors) -> Option<Rollout> {
    let fields = fields.object("rollout", wrong)?;
    let stages = fields.objects("canary", wrong).unwrap_or_default();
    let rollout = Rollout {
        canary: stages.iter().filter_map(|stage| read_stage(stage, wrong, broken)).collect(),
        rollback_after_failures: fields.count("rollbackAfterFailures", wrong),
        deadline_seconds: positive(&fields, "deadlineSeconds", wrong, broken),
    };
    if rollout.rollback_after_failures == Some(0) {
        broken.push(FieldError::new(fields.path("rollbackAfterFailures"), "must be 1 or more"));
    }
    if rollout.canary.len() > MAX_STAGES {
        broken.push(FieldError::new(fields.path("canary"), format!("must not be more than {MAX_STAGES}")));
    }
    Some(rollout)
}

fn read_stage(fields: &Fields<'_>, wrong: &mut Errors, broken: &mut Errors) -> Option<CanaryStage> {
    let (instances, fraction) = (fields.count("instances", wrong), fields.number("fraction", wrong));
    let size = match (instances, fraction) {
        (Some(count), None) if count > 0 => Some(CanarySize::Instances(count)),
        (None, Some(share)) if share > 0.0 && share < 1.0 => Some(CanarySize::Fraction(share)),
        _ => {
            let error = "must have either instances, 1 or more, or a fraction between 0 and 1";
            broken.push(FieldError::new(fields.path("").trim_end_matches('/'), error));
            None
        }
    };
    let promote_after_seconds = positive(fields, "promoteAfterSeconds", wrong, broken);
    Some(CanaryStage { size: size?, promote_after_seconds })
}

fn positive(fields: &Fields<'_>, name: &str, wrong: &mut Errors, broken: &mut Errors) -> Option<Seconds> {
    let seconds = fields.number(name, wrong)?;
    if !seconds.is_finite() || seconds <= 0.0 {
        broken.push(FieldError::new(fields.path(name), "must be greater than 0"));
    }
    Some(Seconds(seconds))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::{AppDefinition, InvalidDefinition};

    fn parse(rollout: Value) -> Result<AppDefinition, InvalidDefinition> {
        let json = json!({"id": "/a", "cmd": "x", "instances": 10, "rollout": rollout});
        AppDefinition::from_json(json.as_object().unwrap(), "*")
    }

    #[test]
    fn what_is_written_is_read_back_the_same() {
        let app = parse(json!({
            "canary": [{"instances": 1}, {"fraction": 0.25, "promoteAfterSeconds": 60}],
            "rollbackAfterFailures": 3, "deadlineSeconds": 600,
        }))
        .unwrap();
        let rollout = app.rollout.clone().unwrap();
        assert_eq!(rollout.canary.iter().map(|stage| stage.of(10)).collect::<Vec<_>>(), [1, 3]);
        let written = serde_json::to_value(&app).unwrap();
        assert_eq!(AppDefinition::from_json(written.as_object().unwrap(), "*"), Ok(app.clone()));
        assert!(!app.needs_new_tasks(&parse(json!({})).unwrap()), "a change of it replaces no task");
    }

    #[test]
    fn rules_name_the_field() {
        for (rollout, path) in [
            (json!({"canary": [{}]}), "/rollout/canary(0)"),
            (json!({"canary": [{"instances": 1}, {"instances": 0}]}), "/rollout/canary(1)"),
            (json!({"canary": [{"fraction": 1}]}), "/rollout/canary(0)"),
            (json!({"canary": [{"fraction": 0.5, "instances": 1}]}), "/rollout/canary(0)"),
            (
                json!({"canary": [{"instances": 1, "promoteAfterSeconds": 0}]}),
                "/rollout/canary(0)/promoteAfterSeconds",
            ),
            (json!({"rollbackAfterFailures": 0}), "/rollout/rollbackAfterFailures"),
            (json!({"deadlineSeconds": -1}), "/rollout/deadlineSeconds"),
        ] {
            let Err(InvalidDefinition::BreaksRule(errors)) = parse(rollout.clone()) else {
                panic!("{rollout} was taken")
            };
            assert_eq!(errors.iter().map(|error| error.path.as_str()).collect::<Vec<_>>(), [path]);
        }
    }
}
