//! `--weights`.

use std::collections::BTreeSet;

use chapada_master_core::{MAX_ROLE_BYTES, MAX_WEIGHTS_PER_CALL};
use chapada_model::{Milli, Role};

use crate::error::Error;

/// Weights of roles, in thousandths.
#[derive(Clone, Debug, Default)]
pub(crate) struct Weights(Vec<(Role, Milli)>);

impl Weights {
    /// Reads `role=2.5,other=1`.
    ///
    /// # Errors
    /// [`Error::Weights`] names the part that is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let parts = text.split(',').filter(|part| !part.trim().is_empty());
        let weights = parts.map(|part| {
            let wrong = |what: String| Error::Weights(format!("{part:?}: {what}"));
            let (role, weight) = part.split_once('=').ok_or_else(|| wrong("there is no =".to_owned()))?;
            let role = Role::new(role.trim()).map_err(|error| wrong(error.to_string()))?;
            let weight =
                weight.trim().parse().ok().and_then(Milli::from_f64).filter(|weight| !weight.is_zero());
            Ok((role, weight.ok_or_else(|| wrong("a weight is a number above 0".to_owned()))?))
        });
        let weights = weights.collect::<Result<Vec<(Role, Milli)>, Error>>()?;
        let mut seen = BTreeSet::new();
        if let Some((role, _)) = weights.iter().find(|(role, _)| !seen.insert(role)) {
            return Err(Error::Weights(format!("role {role} is named twice")));
        }
        if weights.len() > MAX_WEIGHTS_PER_CALL {
            return Err(Error::Weights(format!("more than {MAX_WEIGHTS_PER_CALL} roles")));
        }
        if let Some((role, _)) = weights.iter().find(|(role, _)| role.as_str().len() > MAX_ROLE_BYTES) {
            return Err(Error::Weights(format!(
                "the name of role {role} is longer than {MAX_ROLE_BYTES} bytes"
            )));
        }
        Ok(Self(weights))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Role, Milli)> {
        self.0.iter().map(|(role, weight)| (role, *weight))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_read_or_refused_by_name() {
        let weights = Weights::parse("a=2.5, b/c=1").unwrap();
        let shown: Vec<_> = weights.iter().map(|(role, weight)| format!("{role} {weight}")).collect();
        assert_eq!(shown, ["a 2.5", "b/c 1"]);
        for bad in ["a", "a=0", "a=-1", "a=x", "/=1"] {
            assert!(Weights::parse(bad).is_err(), "{bad}");
        }
    }
}
