//! Secrets by which executors are known. Each is in a file of its own that only root reads, so that it outlives the agent
//! and stands in no log; the executor has it in its environment.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

use chapada_model::ContainerId;

/// Two UUIDs in hexadecimal digits.
const LENGTH: usize = 64;

/// The directory of tokens, and who must show one.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    directory: PathBuf,
    is_required: bool,
}

impl Tokens {
    pub(crate) fn new(directory: PathBuf, is_required: bool) -> Self {
        Self { directory, is_required }
    }

    /// Makes the token of an executor's container.
    pub(crate) fn issue(&self, container: &ContainerId) -> io::Result<String> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let token = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
        let path = self.directory.join(container.as_str());
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(token.as_bytes())?;
        Ok(token)
    }

    /// Whether a call may speak for the executor of this container. What is shown must be right; whether something must be
    /// shown is the operator's choice.
    pub(crate) fn admits(&self, container: &ContainerId, shown: Option<&str>) -> bool {
        let Some(shown) = shown else { return !self.is_required };
        let known = fs::read(self.directory.join(container.as_str()));
        known.is_ok_and(|known| !known.is_empty() && is_same(&known, shown.as_bytes()))
    }

    /// Whether it is that of any executor. Reads all of them, unless it is no token by its length already.
    pub(crate) fn knows(&self, shown: &str) -> bool {
        if shown.len() != LENGTH {
            return false;
        }
        let files = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let known = files.filter_map(|file| fs::read(file.path()).ok());
        known.filter(|known| !known.is_empty() && is_same(known, shown.as_bytes())).count() > 0
    }

    /// The executor is over.
    pub(crate) fn revoke(&self, container: &ContainerId) {
        if let Err(error) = fs::remove_file(self.directory.join(container.as_str()))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(container_id = %container, %error, "cannot remove the token of an executor that is over");
        }
    }
}

/// Takes as long whatever differs.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_token_admits_and_none_where_none_is_wanted() {
        let directory = tempfile::tempdir().unwrap();
        let (one, other): (ContainerId, ContainerId) = ("one".parse().unwrap(), "other".parse().unwrap());
        let lenient = Tokens::new(directory.path().join("tokens"), false);
        let strict = Tokens::new(directory.path().join("tokens"), true);
        let (token, foreign) = (lenient.issue(&one).unwrap(), lenient.issue(&other).unwrap());
        assert_ne!(token, foreign);
        assert_eq!((token.len(), foreign.len()), (LENGTH, LENGTH));
        for tokens in [&lenient, &strict] {
            assert!(tokens.admits(&one, Some(&token)));
            for wrong in ["", "x", &foreign, &token[1..]] {
                assert!(!tokens.admits(&one, Some(wrong)), "{wrong:?}");
            }
        }
        assert!(lenient.admits(&one, None) && !strict.admits(&one, None));
        assert!(lenient.knows(&token) && lenient.knows(&foreign));
        assert!(!lenient.knows("") && !lenient.knows(&token[1..]));
        lenient.revoke(&one);
        assert!(!lenient.admits(&one, Some(&token)) && !lenient.admits(&one, Some("")));
        assert!(!lenient.knows(&token) && lenient.knows(&foreign));
        lenient.revoke(&one);
    }
}
