//! Offer constraints off the wire, compiled here so that the loop need not.

use std::sync::Arc;

use chapada_master_core::{Constraint, Expressions, OfferConstraints, Predicate, Subject};
use chapada_model::{Role, Text};
use chapada_wire::v1::scheduler as wire;
use wire::attribute_constraint::predicate::Predicate as Kind;
use wire::attribute_constraint::selector::{PseudoattributeType, Selector};

/// The expressions that frameworks use now: each is compiled once, however many say it.
static EXPRESSIONS: Expressions = Expressions::new();

/// Reads, checks and compiles the constraints of a framework.
///
/// # Errors
/// A sentence that names the field and what is wrong.
pub(super) fn constraints(said: Option<&wire::OfferConstraints>) -> Result<Arc<OfferConstraints>, String> {
    let roles = said.iter().flat_map(|said| &said.role_constraints);
    let said = roles.map(|(name, said)| of_role(name, said)).collect::<Result<_, String>>()?;
    OfferConstraints::new(said, &EXPRESSIONS).map(Arc::new).map_err(|error| error.to_string())
}

fn of_role(
    name: &str,
    said: &wire::offer_constraints::RoleConstraints,
) -> Result<(Role, Vec<Vec<Constraint>>), String> {
    let field = format!("offer_constraints.role_constraints[{name}]");
    let role = Role::new(name).map_err(|error| format!("'{field}': {error}"))?;
    let group = |(group, said): (usize, &wire::offer_constraints::role_constraints::Group)| {
        let each = said.attribute_constraints.iter().enumerate().map(|(index, said)| {
            let place = format!("{field}.groups[{group}].attribute_constraints[{index}]");
            constraint(said).map_err(|(part, problem)| format!("'{place}.{part}' {problem}"))
        });
        each.collect::<Result<Vec<_>, _>>()
    };
    Ok((role, said.groups.iter().enumerate().map(group).collect::<Result<Vec<_>, _>>()?))
}

/// Reads one constraint; an error names the part of it.
fn constraint(said: &wire::AttributeConstraint) -> Result<Constraint, (&'static str, &'static str)> {
    let selector = said.selector.as_ref().and_then(|selector| selector.selector.as_ref());
    let unknown = ("selector", "must have 'attribute_name' or 'pseudoattribute_type'");
    let subject = match selector.ok_or(unknown)? {
        Selector::AttributeName(name) => Subject::Attribute(name.as_str().into()),
        Selector::PseudoattributeType(number) => match PseudoattributeType::try_from(*number) {
            Ok(PseudoattributeType::Hostname) => Subject::Hostname,
            Ok(PseudoattributeType::Region) => Subject::Region,
            Ok(PseudoattributeType::Zone) => Subject::Zone,
            Ok(PseudoattributeType::Unknown) | Err(_) => {
                return Err(("selector.pseudoattribute_type", "must be HOSTNAME, REGION or ZONE"));
            }
        },
    };
    let kind = said.predicate.as_ref().and_then(|predicate| predicate.predicate.as_ref());
    let text = |value: &Option<String>| Text::from(value.as_deref().unwrap_or_default());
    let unknown = ("predicate", "must be one of the six that are known");
    let predicate = match kind.ok_or(unknown)? {
        Kind::Exists(_) => Predicate::Exists,
        Kind::NotExists(_) => Predicate::NotExists,
        Kind::TextEquals(said) => Predicate::TextEquals(text(&said.value)),
        Kind::TextNotEquals(said) => Predicate::TextNotEquals(text(&said.value)),
        Kind::TextMatches(said) => Predicate::TextMatches(text(&said.regex)),
        Kind::TextNotMatches(said) => Predicate::TextNotMatches(text(&said.regex)),
    };
    Ok(Constraint { subject, predicate })
}

/// The constraints as they were said, for those who look at the framework.
pub(crate) fn constraints_said(constraints: &OfferConstraints) -> wire::OfferConstraints {
    use wire::offer_constraints::{RoleConstraints, role_constraints::Group};
    let group = |group: &Vec<Constraint>| Group { attribute_constraints: group.iter().map(said).collect() };
    let of_role = |(role, groups): (&Role, &Vec<Vec<Constraint>>)| {
        (role.to_string(), RoleConstraints { groups: groups.iter().map(group).collect() })
    };
    wire::OfferConstraints { role_constraints: constraints.said().iter().map(of_role).collect() }
}

fn said(constraint: &Constraint) -> wire::AttributeConstraint {
    use wire::attribute_constraint::{self as one, predicate};
    let pseudo = |kind: PseudoattributeType| Selector::PseudoattributeType(kind.into());
    let selector = match &constraint.subject {
        Subject::Attribute(name) => Selector::AttributeName(name.to_string()),
        Subject::Hostname => pseudo(PseudoattributeType::Hostname),
        Subject::Region => pseudo(PseudoattributeType::Region),
        Subject::Zone => pseudo(PseudoattributeType::Zone),
    };
    let text = |text: &Text| Some(text.to_string());
    let predicate = match &constraint.predicate {
        Predicate::Exists => Kind::Exists(predicate::Exists {}),
        Predicate::NotExists => Kind::NotExists(predicate::NotExists {}),
        Predicate::TextEquals(wanted) => Kind::TextEquals(predicate::TextEquals { value: text(wanted) }),
        Predicate::TextNotEquals(unwanted) => {
            Kind::TextNotEquals(predicate::TextNotEquals { value: text(unwanted) })
        }
        Predicate::TextMatches(regex) => Kind::TextMatches(predicate::TextMatches { regex: text(regex) }),
        Predicate::TextNotMatches(regex) => {
            Kind::TextNotMatches(predicate::TextNotMatches { regex: text(regex) })
        }
    };
    wire::AttributeConstraint {
        selector: Some(one::Selector { selector: Some(selector) }),
        predicate: Some(one::Predicate { predicate: Some(predicate) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chapada_wire::Json;

    /// Reads; what is valid is shown as it was said.
    fn read(json: &str) -> Result<Arc<OfferConstraints>, String> {
        let said = wire::OfferConstraints::from_json(json.as_bytes()).unwrap();
        let read = constraints(Some(&said))?;
        assert_eq!(constraints_said(&read), said);
        Ok(read)
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
        let said: Vec<Predicate> =
            read.said()[&"ops".parse::<Role>().unwrap()][0].iter().map(|one| one.predicate.clone()).collect();
        let x = || Text::from("x");
        assert_eq!(
            said,
            [
                Predicate::Exists,
                Predicate::NotExists,
                Predicate::TextEquals(x()),
                Predicate::TextNotEquals(x()),
                Predicate::TextMatches("x.*".into()),
                Predicate::TextNotMatches("x.*".into()),
            ]
        );
        assert_eq!(constraints(None).unwrap(), Arc::default());
    }

    #[test]
    fn each_subject_is_what_it_is_called() {
        for (selector, subject) in [
            (r#"{"attribute_name":"rack"}"#, Subject::Attribute("rack".into())),
            (r#"{"pseudoattribute_type":"HOSTNAME"}"#, Subject::Hostname),
            (r#"{"pseudoattribute_type":"REGION"}"#, Subject::Region),
            (r#"{"pseudoattribute_type":"ZONE"}"#, Subject::Zone),
        ] {
            let rule = format!(r#"{{"selector":{selector},"predicate":{{"exists":{{}}}}}}"#);
            let groups = format!(r#"[{{"attribute_constraints":[{rule}]}}]"#);
            let read = read(&format!(r#"{{"role_constraints":{{"ops":{{"groups":{groups}}}}}}}"#)).unwrap();
            assert_eq!(read.said()[&"ops".parse::<Role>().unwrap()][0][0].subject, subject);
        }
    }

    #[test]
    fn each_rule_has_its_words() {
        let of = |groups: &str| format!(r#"{{"role_constraints":{{"ops":{{"groups":{groups}}}}}}}"#);
        let one = |constraint: &str| of(&format!(r#"[{{"attribute_constraints":[{constraint}]}}]"#));
        let deep = |part: &str| {
            format!("'offer_constraints.role_constraints[ops].groups[0].attribute_constraints[0].{part}'")
        };
        let regex = |pattern: &str| {
            one(&format!(
                r#"{{"selector":{{"attribute_name":"a"}},"predicate":{{"text_matches":{{"regex":"{pattern}"}}}}}}"#
            ))
        };
        let many: Vec<String> = (0..101)
            .map(|n| {
                format!(r#"{{"selector":{{"attribute_name":"a"}},"predicate":{{"text_matches":{{"regex":"{n}"}}}}}}"#)
            })
            .collect();
        let cases = [
            (of("[]"), "'offer_constraints.role_constraints[ops].groups' must not be empty".to_owned()),
            (
                of(r#"[{"attribute_constraints":[]}]"#),
                "'offer_constraints.role_constraints[ops].groups[0].attribute_constraints' must not be empty"
                    .to_owned(),
            ),
            (of("[]").replace("ops", "a//b"), "'offer_constraints.role_constraints[a//b]': ".to_owned()),
            (one(r#"{"selector":{},"predicate":{"exists":{}}}"#), deep("selector")),
            (one(r#"{"selector":{"attribute_name":"a"},"predicate":{}}"#), deep("predicate")),
            (
                one(r#"{"selector":{"pseudoattribute_type":"UNKNOWN"},"predicate":{"exists":{}}}"#),
                deep("selector.pseudoattribute_type") + " must be HOSTNAME, REGION or ZONE",
            ),
            (regex("("), deep("predicate") + " is not valid: regular expression '('"),
            (regex("(a{1000}){1000}"), "is refused".to_owned()),
            (regex(&"a".repeat(1_025)), "it is longer than 1024 bytes".to_owned()),
            (one(&many.join(",")), "a framework may have 100 different regular expressions".to_owned()),
        ];
        for (json, words) in cases {
            let said = read(&json).unwrap_err();
            assert!(said.contains(&words), "'{said}' has no '{words}'");
        }
    }
}
