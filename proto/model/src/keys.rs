//! Ids that only mean something together.

use crate::{ExecutorId, FrameworkId, TaskId};

/// A task anywhere in the cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct TaskKey {
    /// Who runs it.
    pub framework: FrameworkId,
    /// The framework's own name for it.
    pub task: TaskId,
}

impl std::fmt::Display for TaskKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.framework, self.task)
    }
}

/// An executor on one agent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct ExecutorKey {
    /// Who runs it.
    pub framework: FrameworkId,
    /// The framework's own name for it.
    pub executor: ExecutorId,
}

impl std::fmt::Display for ExecutorKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.framework, self.executor)
    }
}

/// Names one status update, so that it can be acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct UpdateUuid(pub [u8; 16]);

impl UpdateUuid {
    /// Takes exactly sixteen bytes; `None` for any other number.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl std::fmt::Display for UpdateUuid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for UpdateUuid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_has_sixteen_bytes_and_reads_as_one() {
        assert_eq!(UpdateUuid::from_slice(&[0; 15]), None);
        let uuid = UpdateUuid::from_slice(&[0xab; 16]).unwrap();
        assert_eq!(uuid.to_string(), "abababab-abab-abab-abab-abababababab");
    }
}
