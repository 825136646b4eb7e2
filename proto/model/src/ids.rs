//! Typed ids. They become names of directories and cgroups, so one rule for all of them is checked where they are made.

/// The longest id in bytes: a file name may be no longer (NAME_MAX).
pub const MAX_ID_BYTES: usize = 255;

/// Why a text cannot be an id. The messages are those of Mesos where it has one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// The text has no characters.
    #[error("ID must not be empty")]
    Empty,
    /// The text is longer than [`MAX_ID_BYTES`].
    #[error("ID must not be greater than {MAX_ID_BYTES} characters")]
    TooLong,
    /// The text is `.` or `..`.
    #[error("'{0}' is disallowed")]
    Dots(String),
    /// The text has a slash, a backslash or a control character.
    #[error("'{0}' contains invalid characters")]
    BadCharacter(String),
}

/// Checks the rule that all ids share.
pub(crate) fn check_id(text: &str) -> Result<(), InvalidId> {
    match text {
        "" => Err(InvalidId::Empty),
        "." | ".." => Err(InvalidId::Dots(text.to_owned())),
        _ if text.len() > MAX_ID_BYTES => Err(InvalidId::TooLong),
        _ if !is_plain(text) && text.chars().any(|c| c == '/' || c == '\\' || c.is_control()) => {
            Err(InvalidId::BadCharacter(text.to_owned()))
        }
        _ => Ok(()),
    }
}

/// Whether all of it is ASCII without anything that is forbidden, as nearly every id is: byte by byte that is seen at once.
fn is_plain(text: &str) -> bool {
    text.bytes().fold(true, |plain, b| plain & (b' '..=b'~').contains(&b) & (b != b'/') & (b != b'\\'))
}

/// The length of a text and its last seven bytes as one number. Ids of one kind begin alike and differ in their ends, so
/// that most often this alone tells them apart, without a look at the text.
fn end_of(text: &str) -> u64 {
    let bytes = text.as_bytes();
    let end = &bytes[bytes.len().saturating_sub(7)..];
    // A length is at most 255.
    end.iter().fold(bytes.len() as u64, |number, byte| number << 8 | u64::from(*byte))
}

/// Makes a newtype over shared text with validation at the only way in.
///
/// Shorter ids come first; of those of one length, those with the smaller end. What is numbered comes in the order of its
/// numbers.
macro_rules! string_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name {
            end: u64,
            text: arcstr::ArcStr,
        }

        impl $name {
            /// Checks the text and takes it.
            ///
            /// # Errors
            /// [`InvalidId`] when it is empty, `.`, `..`, over 255 bytes, or has a slash, backslash or control character.
            pub fn new(text: impl Into<arcstr::ArcStr>) -> Result<Self, InvalidId> {
                let text = text.into();
                check_id(&text)?;
                Ok(Self { end: end_of(&text), text })
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.text
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.cmp(other).is_eq()
            }
        }

        impl Eq for $name {}

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> std::cmp::Ordering {
                self.end.cmp(&other.end).then_with(|| match arcstr::ArcStr::ptr_eq(&self.text, &other.text) {
                    true => std::cmp::Ordering::Equal,
                    false => self.text.cmp(&other.text),
                })
            }
        }

        impl std::hash::Hash for $name {
            fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
                self.text.hash(state);
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = InvalidId;
            fn try_from(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.text.as_str().to_owned()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.text
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.text)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.text)
            }
        }
    };
}

string_id!(
    /// Given by the master at the first subscription; kept over disconnections and master failovers.
    FrameworkId
);
string_id!(
    /// Given by the master at the first registration; survives agent restarts.
    AgentId
);
string_id!(
    /// Chosen by the framework and unique only within it; anywhere else use [`TaskKey`](crate::TaskKey).
    TaskId
);
string_id!(
    /// Chosen by the framework and unique only within it and one agent.
    ExecutorId
);

/// The executor of a command has the name of its task. Source: Mesos.
impl From<TaskId> for ExecutorId {
    fn from(task: TaskId) -> Self {
        Self { end: task.end, text: task.text }
    }
}

string_id!(
    /// Given by the master; an offer is answered at most once.
    OfferId
);
string_id!(
    /// Chosen by the framework for an operation of which it wants to hear the outcome.
    OperationId
);
string_id!(
    /// Given by the master to each operation; unique in the whole cluster.
    OperationKey
);
string_id!(
    /// Given by the agent to each container; new for each run of an executor.
    ContainerId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_cannot_be_a_file_name() {
        assert_eq!(TaskId::new(""), Err(InvalidId::Empty));
        assert_eq!(TaskId::new(".."), Err(InvalidId::Dots("..".into())));
        assert_eq!(TaskId::new("a/b").unwrap_err().to_string(), "'a/b' contains invalid characters");
        assert!(TaskId::new("a\\b").is_err());
        assert!(TaskId::new("a\nb").is_err());
        assert_eq!(TaskId::new("x".repeat(256)), Err(InvalidId::TooLong));
        assert!(TaskId::new("x".repeat(255)).is_ok());
    }

    #[test]
    fn what_is_numbered_comes_in_the_order_of_its_numbers() {
        let id = |text: &str| AgentId::new(text).unwrap();
        let sorted =
            ["a", "b", "m-S9", "m-S10", "m-S11", "n-S10", "one-long-prefix-S1", "two-long-prefix-S1"];
        for (index, text) in sorted.iter().enumerate() {
            for (other, after) in sorted.iter().enumerate() {
                assert_eq!(id(text).cmp(&id(after)), index.cmp(&other), "{text} {after}");
                assert_eq!(id(text) == id(after), index == other, "{text} {after}");
            }
        }
    }

    #[test]
    fn json_goes_through_the_same_check() {
        let id: TaskId = serde_json::from_str("\"t1\"").unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"t1\"");
        assert!(serde_json::from_str::<TaskId>("\"..\"").is_err());
    }
}
