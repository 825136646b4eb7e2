//! The values of secrets: beside the descriptions that they are of, in memory, for as long as anybody holds such a
//! description. What is written down, shown or sent on does not have them.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};

use chapada_model::Payload;
use chapada_wire::secrets::{HoldsSecrets, put_back, take};
use prost::Message;

/// What descriptions had.
#[derive(Debug, Default)]
pub(crate) struct Secrets(Mutex<Vec<Kept>>);

struct Kept {
    /// That of which description, as long as there is one.
    of: Weak<[u8]>,
    values: Vec<Vec<u8>>,
}

/// Says nothing of the values.
impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kept({} values)", self.values.len())
    }
}

impl Secrets {
    /// Encodes a description without its secrets, and keeps these for whoever holds it.
    pub(crate) fn seal<M: HoldsSecrets + Message>(&self, mut message: M) -> Payload {
        let values = take(&mut message);
        let sealed = Payload::from(message.encode_to_vec());
        let mut kept = self.kept();
        kept.retain(|kept| kept.of.strong_count() > 0);
        if !values.is_empty() {
            kept.push(Kept { of: std::sync::Arc::downgrade(&sealed.0), values });
        }
        sealed
    }

    /// Puts back what was in this very description; `false` when that is not known any more, as after a restart.
    pub(crate) fn reveal(&self, sealed: &Payload, message: &mut impl HoldsSecrets) -> bool {
        let own = std::sync::Arc::as_ptr(&sealed.0);
        let kept = self.kept();
        let found = kept.iter().find(|kept| std::ptr::addr_eq(kept.of.as_ptr(), own));
        put_back(message, found.map_or(&[], |kept| &kept.values))
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use chapada_wire::v1;

    use super::*;

    fn info(value: Option<&str>) -> v1::ExecutorInfo {
        let data = value.map(|value| v1::secret::Value { data: Some(value.as_bytes().to_vec()) });
        let variable = v1::environment::Variable {
            secret: Some(v1::Secret { value: data, ..v1::Secret::default() }),
            ..Default::default()
        };
        let environment = Some(v1::Environment { variables: vec![variable] });
        let command = Some(v1::CommandInfo { environment, ..v1::CommandInfo::default() });
        v1::ExecutorInfo { command, ..v1::ExecutorInfo::default() }
    }

    #[test]
    fn secrets_last_as_long_as_their_description_and_are_nobody_elses() {
        let secrets = Secrets::default();
        let (one, other) = (secrets.seal(info(Some("canary"))), secrets.seal(info(Some("other"))));
        assert!(!one.as_bytes().windows(6).any(|window| window == b"canary"));
        assert!(!format!("{secrets:?}").contains(&format!("{:?}", b"canary")));
        let reveal = |sealed: &Payload| {
            let mut read = v1::ExecutorInfo::decode(sealed.as_bytes()).unwrap();
            secrets.reveal(sealed, &mut read).then_some(read)
        };
        assert_eq!(reveal(&one.clone()), Some(info(Some("canary"))));
        assert_eq!(reveal(&other), Some(info(Some("other"))));
        // The same description, but from the log.
        assert_eq!(reveal(&Payload::from(one.as_bytes())), None);
        drop(one);
        let plain = secrets.seal(info(None));
        assert_eq!(reveal(&plain), Some(info(None)));
        assert_eq!(secrets.kept().len(), 1, "what nobody holds is gone");
    }
}
