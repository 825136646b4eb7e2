//! Labels: free key and value pairs that nobody here interprets.

use crate::Text;

/// One label. Keys may repeat within a list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Label {
    /// What it is about.
    pub key: Text,
    /// What it says; a label may be a bare key.
    pub value: Option<Text>,
}

/// Labels in the order they were given.
pub type Labels = Vec<Label>;
