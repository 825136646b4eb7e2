//! Offer constraints off the wire, compiled here so that the loop need not.

use std::sync::Arc;

use chapada_master_core::{Constraint, OfferConstraints, Predicate, Subject};
use chapada_model::{Role, Text};
use chapada_wire::v1::scheduler as wire;
use wire::attribute_constraint::predicate::Predicate as Kind;
use wire::attribute_constraint::selector::{PseudoattributeType, Selector};

/// Reads, checks and compiles the constraints of a framework.
///
/// # Errors
/// A sentence that names the role and what is wrong.
pub(super) fn constraints(said: Option<&wire::OfferConstraints>) -> Result<Arc<OfferConstraints>, String> {
    let roles = said.iter().flat_map(|said| &said.role_constraints);
    let role = |(name, constraints): (&String, &wire::offer_constraints::RoleConstraints)| {
        let role = Role::new(name.as_str()).map_err(|e| format!("offer_constraints for '{name}': {e}"))?;
        let groups = constraints.groups.iter().map(|group| {
            let each = group.attribute_constraints.iter().map(constraint);
            each.collect::<Result<Vec<_>, _>>().map_err(|e| format!("offer_constraints for '{name}': {e}"))
        });
        Ok((role, groups.collect::<Result<Vec<_>, String>>()?))
    };
    let said = roles.map(role).collect::<Result<_, String>>()?;
    OfferConstraints::new(said).map(Arc::new).map_err(|error| error.to_string())
}

fn constraint(said: &wire::AttributeConstraint) -> Result<Constraint, &'static str> {
    let selector = said.selector.as_ref().and_then(|selector| selector.selector.as_ref());
    let subject = match selector.ok_or("a constraint has no 'selector' that is known")? {
        Selector::AttributeName(name) => Subject::Attribute(name.as_str().into()),
        Selector::PseudoattributeType(number) => match PseudoattributeType::try_from(*number) {
            Ok(PseudoattributeType::Hostname) => Subject::Hostname,
            Ok(PseudoattributeType::Region) => Subject::Region,
            Ok(PseudoattributeType::Zone) => Subject::Zone,
            Ok(PseudoattributeType::Unknown) | Err(_) => {
                return Err("'pseudoattribute_type' must be HOSTNAME, REGION or ZONE");
            }
        },
    };
    let kind = said.predicate.as_ref().and_then(|predicate| predicate.predicate.as_ref());
    let text = |value: &Option<String>| Text::from(value.as_deref().unwrap_or_default());
    let predicate = match kind.ok_or("a constraint has no 'predicate' that is known")? {
        Kind::Exists(_) => Predicate::Exists,
        Kind::NotExists(_) => Predicate::NotExists,
        Kind::TextEquals(said) => Predicate::TextEquals(text(&said.value)),
        Kind::TextNotEquals(said) => Predicate::TextNotEquals(text(&said.value)),
        Kind::TextMatches(said) => Predicate::TextMatches(text(&said.regex)),
        Kind::TextNotMatches(said) => Predicate::TextNotMatches(text(&said.regex)),
    };
    Ok(Constraint { subject, predicate })
}

#[cfg(test)]
mod tests {
    use super::*;
    use chapada_wire::Json;

    fn read(json: &str) -> Result<Arc<OfferConstraints>, String> {
        constraints(Some(&wire::OfferConstraints::from_json(json.as_bytes()).unwrap()))
    }

    #[test]
    fn all_six_predicates_are_read() {
        let group: Vec<String> = [
            r#"{"exists":{}}"#,
            r#"{"not_exists":{}}"#,
            r#"{"text_equals":{"value":"x"}}"#,
            r#"{"text_not_equals":{"value":"x"}}"#,
            r#"{"text_matches":{"regex":"x.*"}}"#,
            r#"{"text_not_matches":{"regex":"x.*"}}"#,
        ]
        .iter()
        .map(|predicate| format!(r#"{{"selector":{{"attribute_name":"rack"}},"predicate":{predicate}}}"#))
        .collect();
        let json = format!(
            r#"{{"role_constraints":{{"ops":{{"groups":[{{"attribute_constraints":[{}]}}]}}}}}}"#,
            group.join(",")
        );
        let read = read(&json).unwrap();
        assert_eq!(read.said()[&"ops".parse::<Role>().unwrap()][0].len(), 6);
        assert_eq!(constraints(None).unwrap(), Arc::default());
    }

    #[test]
    fn each_rule_has_its_words() {
        let of = |groups: &str| format!(r#"{{"role_constraints":{{"ops":{{"groups":{groups}}}}}}}"#);
        let one = |constraint: &str| of(&format!(r#"[{{"attribute_constraints":[{constraint}]}}]"#));
        let cases = [
            (of("[]"), "have no group"),
            (of(r#"[{"attribute_constraints":[]}]"#), "has no constraint"),
            (one(r#"{"selector":{},"predicate":{"exists":{}}}"#), "no 'selector' that is known"),
            (one(r#"{"selector":{"attribute_name":"a"},"predicate":{}}"#), "no 'predicate' that is known"),
            (
                one(r#"{"selector":{"pseudoattribute_type":"UNKNOWN"},"predicate":{"exists":{}}}"#),
                "must be HOSTNAME, REGION or ZONE",
            ),
            (
                one(r#"{"selector":{"attribute_name":"a"},"predicate":{"text_matches":{"regex":"("}}}"#),
                "regular expression '('",
            ),
        ];
        for (json, words) in cases {
            let said = read(&json).unwrap_err();
            assert!(said.contains(words), "'{said}' has no '{words}'");
        }
    }
}
