//! The hugetlb controller: huge pages by their size.

use std::path::PathBuf;

use crate::IsolationError;

use super::file::write;
use super::{Controller, Limits, Statistics, Target};

/// Either form.
#[derive(Debug, Clone)]
pub struct HugePages {
    /// The container's directory in the hierarchy that has `hugetlb`.
    pub directory: PathBuf,
    /// What the kernel calls a limit: `limit_in_bytes` (v1), `max` (v2).
    pub limit: &'static str,
}

impl Controller for HugePages {
    /// A size that has been limited and is so no more keeps its limit.
    fn apply(&self, limits: &Limits, _: Target) -> Result<(), IsolationError> {
        limits.huge_pages.iter().try_for_each(|(size, bytes)| {
            if !size.chars().all(|c| c.is_ascii_alphanumeric()) {
                let reason = "a page size is written as the kernel does: 2MB, 1GB";
                return Err(IsolationError::invalid("limit huge pages of", size, reason));
            }
            write(&self.directory, &format!("hugetlb.{size}.{}", self.limit), &bytes.to_string())
        })
    }

    fn read(&self, _: &mut Statistics) -> Result<(), IsolationError> {
        Ok(())
    }
}
