//! Label selectors: `key==value,key!=value,key in (a, b),key notin (a),key`.

use std::collections::BTreeMap;

/// All of its rules must hold.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Selector(Vec<Rule>);

#[derive(Debug, PartialEq, Eq)]
struct Rule {
    key: String,
    holds: Holds,
}

#[derive(Debug, PartialEq, Eq)]
enum Holds {
    Exists,
    In(Vec<String>),
    NotIn(Vec<String>),
}

/// A text that is no selector.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a label selector such as a==b,c in (d,e)")]
pub(crate) struct InvalidSelector(String);

impl Selector {
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidSelector> {
        let invalid = || InvalidSelector(text.to_owned());
        let rules: Option<Vec<Rule>> = split(text).iter().map(|rule| parse_rule(rule)).collect();
        rules.filter(|rules| !rules.is_empty()).map(Self).ok_or_else(invalid)
    }

    pub(crate) fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|rule| {
            let value = labels.get(&rule.key);
            match &rule.holds {
                Holds::Exists => value.is_some(),
                Holds::In(values) => value.is_some_and(|value| values.contains(value)),
                Holds::NotIn(values) => value.is_some_and(|value| !values.contains(value)),
            }
        })
    }
}

/// The parts between commas outside of parentheses.
fn split(text: &str) -> Vec<String> {
    let (mut parts, mut part, mut depth, mut escaped) = (Vec::new(), String::new(), 0, false);
    for c in text.chars() {
        match c {
            '(' if !escaped => depth += 1,
            ')' if !escaped => depth -= 1,
            _ => {}
        }
        if c == ',' && depth == 0 && !escaped {
            parts.push(std::mem::take(&mut part));
        } else {
            part.push(c);
        }
        escaped = c == '\\' && !escaped;
    }
    parts.push(part);
    parts
}

fn parse_rule(rule: &str) -> Option<Rule> {
    let rule = rule.trim();
    let parsed = if let Some((key, value)) = rule.split_once("!=") {
        (key, Holds::NotIn(vec![plain(value)?]))
    } else if let Some((key, value)) = rule.split_once("==") {
        (key, Holds::In(vec![plain(value)?]))
    } else if let Some((key, values)) = of_list(rule, "notin") {
        (key, Holds::NotIn(list(values)?))
    } else if let Some((key, values)) = of_list(rule, "in") {
        (key, Holds::In(list(values)?))
    } else {
        (rule, Holds::Exists)
    };
    let key = plain(parsed.0)?;
    Some(Rule { key, holds: parsed.1 })
}

/// The key and the list of `key in (…)`; the space after the word may be left out.
fn of_list<'a>(rule: &'a str, word: &str) -> Option<(&'a str, &'a str)> {
    let (before, values) = rule.split_at_checked(rule.find('(')?)?;
    let key = before.trim_end().strip_suffix(word)?;
    key.ends_with(char::is_whitespace).then_some((key, values))
}

fn list(values: &str) -> Option<Vec<String>> {
    let inner = values.trim().strip_prefix('(')?.strip_suffix(')')?;
    if inner.trim().is_empty() {
        return Some(Vec::new());
    }
    split(inner).iter().map(|value| plain(value)).collect()
}

/// A word without its backslashes. Nothing in it may be special unless it had one.
fn plain(word: &str) -> Option<String> {
    let (mut text, mut escaped) = (String::new(), false);
    for c in word.trim().chars() {
        match c {
            '\\' if !escaped => escaped = true,
            ' ' | '(' | ')' | ',' | '=' | '!' if !escaped => return None,
            c => {
                text.push(c);
                escaped = false;
            }
        }
    }
    (!text.is_empty() && !escaped).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_selects() {
        let labels: BTreeMap<String, String> =
            [("env", "prod"), ("tier", "a b")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        for (selector, matches) in [
            ("env", true),
            ("env==prod", true),
            ("env == prod", true),
            ("env!=prod", false),
            ("env in (dev, prod)", true),
            ("env notin (dev, prod)", false),
            ("env in(dev,prod)", true),
            ("env notin(dev)", true),
            ("env in ()", false),
            ("env notin ( )", true),
            ("env==prod,tier==a\\ b", true),
            ("env==prod,none", false),
        ] {
            assert_eq!(Selector::parse(selector).unwrap().matches(&labels), matches, "{selector}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for selector in ["", "a==", "==b", "a in b", "a b", "a in (b", "a,,b"] {
            assert!(Selector::parse(selector).is_err(), "{selector}");
        }
    }
}
