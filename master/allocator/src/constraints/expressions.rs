//! Regular expressions within bounds, compiled once for all who say the same.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use chapada_model::Text;
use regex::{Regex, RegexBuilder};

/// The most memory that one compiled expression may take, and again that its search may: what bounds its cost, for matching
/// is linear in the text.
const MAX_REGEX_BYTES: usize = 1 << 16;

/// The longest expression that is looked at.
const MAX_PATTERN_BYTES: usize = 1_024;

/// Entries of expressions that nobody uses any more are swept out when there are this many more than after the last sweep.
const SWEEP_AFTER: usize = 256;

/// Expressions that are in use, by their text. It keeps none alive: one that nobody uses any more takes no memory.
#[derive(Debug, Default)]
pub struct Expressions(Mutex<Known>);

#[derive(Debug)]
struct Known {
    by_pattern: BTreeMap<Text, Weak<Regex>>,
    sweep_at: usize,
}

impl Default for Known {
    fn default() -> Self {
        Self { by_pattern: BTreeMap::new(), sweep_at: SWEEP_AFTER }
    }
}

impl Expressions {
    /// None are known yet.
    pub const fn new() -> Self {
        Self(Mutex::new(Known { by_pattern: BTreeMap::new(), sweep_at: SWEEP_AFTER }))
    }

    /// How many are in use.
    pub fn in_use(&self) -> usize {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.by_pattern.values().filter(|regex| regex.strong_count() > 0).count()
    }

    /// The expression, which must match the whole of a text; compiled now unless someone uses it already.
    pub(super) fn compile(&self, pattern: &Text) -> Result<Arc<Regex>, String> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(regex) = known.by_pattern.get(pattern).and_then(Weak::upgrade) {
            return Ok(regex);
        }
        // Nobody waits while this one is compiled; two may do it at once.
        drop(known);
        let regex = Arc::new(compile(pattern)?);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.by_pattern.insert(pattern.clone(), Arc::downgrade(&regex));
        if known.by_pattern.len() >= known.sweep_at {
            known.by_pattern.retain(|_, regex| regex.strong_count() > 0);
            known.sweep_at = known.by_pattern.len() + SWEEP_AFTER;
        }
        Ok(regex)
    }
}

fn compile(pattern: &str) -> Result<Regex, String> {
    if pattern.len() > MAX_PATTERN_BYTES {
        return Err(format!("it is longer than {MAX_PATTERN_BYTES} bytes"));
    }
    // By itself first: what is no expression alone could become one between the anchors.
    let build = |text: &str| {
        RegexBuilder::new(text).size_limit(MAX_REGEX_BYTES).dfa_size_limit(MAX_REGEX_BYTES).build()
    };
    build(pattern).and_then(|_| build(&format!("^(?:{pattern})$"))).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_says_the_same_has_the_same_and_what_nobody_uses_is_gone() {
        let expressions = Expressions::new();
        let one = expressions.compile(&"a+".into()).unwrap();
        let other = expressions.compile(&"a+".into()).unwrap();
        assert!(Arc::ptr_eq(&one, &other));
        for n in 0..2_000 {
            assert!(expressions.compile(&format!("b{n}").as_str().into()).is_ok());
        }
        assert_eq!(expressions.in_use(), 1);
        assert!(expressions.0.lock().unwrap().by_pattern.len() <= 1 + SWEEP_AFTER);
        drop((one, other));
        assert_eq!(expressions.in_use(), 0);
    }
}
