//! What the bytes of a file add up to: `sha256:` or `sha512:` and hexadecimal digits.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256, Sha512};

use crate::error::FetchError;

/// What the bytes of a file must add up to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Checksum {
    algorithm: Algorithm,
    digits: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Algorithm {
    Sha256,
    Sha512,
}

/// The text is no checksum.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be sha256: and 64 or sha512: and 128 hexadecimal digits")]
pub struct InvalidChecksum;

impl FromStr for Checksum {
    type Err = InvalidChecksum;

    fn from_str(text: &str) -> Result<Self, InvalidChecksum> {
        let (name, digits) = text.split_once(':').ok_or(InvalidChecksum)?;
        let (algorithm, length) = match name {
            "sha256" => (Algorithm::Sha256, 64),
            "sha512" => (Algorithm::Sha512, 128),
            _ => return Err(InvalidChecksum),
        };
        if digits.len() != length || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(InvalidChecksum);
        }
        Ok(Self { algorithm, digits: digits.to_ascii_lowercase() })
    }
}

impl TryFrom<String> for Checksum {
    type Error = InvalidChecksum;

    fn try_from(text: String) -> Result<Self, InvalidChecksum> {
        text.parse()
    }
}

impl From<Checksum> for String {
    fn from(checksum: Checksum) -> Self {
        checksum.to_string()
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.algorithm {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha512 => "sha512",
        };
        write!(f, "{name}:{}", self.digits)
    }
}

/// Adds bytes up as they come.
pub(crate) enum Sum {
    Nothing,
    Sha256(Box<Sha256>, Checksum),
    Sha512(Box<Sha512>, Checksum),
}

impl Sum {
    pub(crate) fn new(wanted: Option<&Checksum>) -> Self {
        match wanted {
            None => Self::Nothing,
            Some(checksum) => match checksum.algorithm {
                Algorithm::Sha256 => Self::Sha256(Box::default(), checksum.clone()),
                Algorithm::Sha512 => Self::Sha512(Box::default(), checksum.clone()),
            },
        }
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        match self {
            Self::Nothing => {}
            Self::Sha256(sum, _) => sum.update(bytes),
            Self::Sha512(sum, _) => sum.update(bytes),
        }
    }

    /// Whether it is what was wanted.
    pub(crate) fn check(self) -> Result<(), FetchError> {
        let (found, expected) = match self {
            Self::Nothing => return Ok(()),
            Self::Sha256(sum, expected) => (digits(&sum.finalize()), expected),
            Self::Sha512(sum, expected) => (digits(&sum.finalize()), expected),
        };
        if found == expected.digits {
            return Ok(());
        }
        Err(FetchError::Checksum { found, expected: expected.digits })
    }
}

fn digits(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn only_what_was_meant_passes() {
        let wanted: Checksum = EMPTY.to_uppercase().replace("SHA256", "sha256").parse().unwrap();
        assert_eq!(wanted.to_string(), EMPTY);
        Sum::new(Some(&wanted)).check().unwrap();
        let mut sum = Sum::new(Some(&wanted));
        sum.add(b"x");
        assert!(matches!(sum.check(), Err(FetchError::Checksum { .. })));
        Sum::new(None).check().unwrap();
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in ["", "md5:00", "sha256:", "sha256:zz", &EMPTY[..EMPTY.len() - 1], &format!("{EMPTY}0")] {
            assert!(text.parse::<Checksum>().is_err(), "{text}");
        }
    }
}
