//! A message the cores carry but never read.

/// An encoded API message, shared and opaque. The edge makes it and reads it; the cores only pass it on, so nothing in it
/// is lost on the way.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Payload(pub std::sync::Arc<[u8]>);

impl Payload {
    /// The encoded message.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Default for Payload {
    fn default() -> Self {
        Self(std::sync::Arc::from(&[][..]))
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl From<&[u8]> for Payload {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Payload({} bytes)", self.0.len())
    }
}

/// As hexadecimal text: JSON would spend four bytes on each when they were numbers.
impl serde::Serialize for Payload {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = String::with_capacity(self.0.len() * 2);
        for byte in self.0.iter() {
            text.extend(
                [byte >> 4, byte & 15].map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)])),
            );
        }
        serializer.serialize_str(&text)
    }
}

impl<'de> serde::Deserialize<'de> for Payload {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
        let digits = digits.filter(|digits| digits.len() % 2 == 0);
        let digits =
            digits.ok_or_else(|| serde::de::Error::custom("expected pairs of hexadecimal digits"))?;
        let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect();
        Ok(Self::from(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_as_text_and_read_again() {
        let payload = Payload::from(vec![0, 15, 255, 128]);
        let text = serde_json::to_string(&payload).unwrap();
        assert_eq!(text, "\"000fff80\"");
        assert_eq!(serde_json::from_str::<Payload>(&text).unwrap(), payload);
        assert!(serde_json::from_str::<Payload>("\"0\"").is_err());
        assert!(serde_json::from_str::<Payload>("\"zz\"").is_err());
    }
}
