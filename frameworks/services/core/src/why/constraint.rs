//! Constraints in words.

use std::collections::BTreeMap;

use chapada_sdk_core::{Constraint, Mismatch, Rule};

use super::words::{and, counted};

/// How many values are named that agents have instead.
const VALUES: usize = 3;

/// What an agent must have: `rack=r2`.
pub(super) fn wanted(constraint: &Constraint) -> String {
    let words = constraint.words();
    let field = words.first().map_or("", |word| word);
    let value = words.get(2).map_or("", |word| word);
    match constraint.rule() {
        Rule::Is(_) | Rule::Cluster(Some(_)) | Rule::Home(_) => format!("{field}={value}"),
        Rule::Like(_) | Rule::OneOf(_) => format!("a {field} like {value}"),
        Rule::Unlike(_) | Rule::NoneOf(_) => format!("a {field} unlike {value}"),
        Rule::Exists => format!("a {field}"),
        Rule::Unique => format!("a {field} where no other instance is"),
        Rule::MaxPer(most) => format!("a {field} with fewer than {}", counted(*most as usize, "instance")),
        Rule::GroupBy(_) => format!("a {field} with no more instances than any other"),
        Rule::Cluster(None) => format!("the {field} of the other instances"),
    }
}

/// What the agents have instead: `rack is r1 on 10, r3 on 2`.
pub(super) fn found<'a>(mismatches: impl Iterator<Item = &'a Mismatch>) -> String {
    let mut by_field: BTreeMap<String, BTreeMap<Option<String>, usize>> = BTreeMap::new();
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    for mismatch in mismatches {
        let Mismatch::Constraint { constraint, found, beside } = mismatch else { continue };
        let field = constraint.words().first().map_or_else(String::new, |word| word.to_string());
        if constraint.rule().counts_others() && *beside > 0 {
            *taken.entry(field).or_default() += 1;
        } else {
            *by_field.entry(field).or_default().entry(found.as_deref().map(str::to_owned)).or_default() += 1;
        }
    }
    let values = |(field, values): (String, BTreeMap<Option<String>, usize>)| {
        let mut values: Vec<(Option<String>, usize)> = values.into_iter().collect();
        values.sort_by(|(a, many), (b, more)| more.cmp(many).then(a.cmp(b)));
        let others: usize = values.iter().skip(VALUES).map(|(_, count)| count).sum();
        let one = |(value, count): &(Option<String>, usize)| {
            format!("{} on {count}", value.as_deref().unwrap_or("not set"))
        };
        let mut texts: Vec<String> = values.iter().take(VALUES).map(one).collect();
        texts.extend((others > 0).then(|| format!("something else on {others}")));
        format!("{field} is {}", texts.join(", "))
    };
    let mut texts: Vec<String> = by_field.into_iter().map(values).collect();
    texts.extend(
        taken.into_iter().map(|(field, count)| format!("by {field}, {count} have instances already")),
    );
    and(&texts)
}
