//! `--weights`.

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
        Ok(Self(weights.collect::<Result<_, Error>>()?))
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
