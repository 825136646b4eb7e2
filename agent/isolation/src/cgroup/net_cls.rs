//! The v1 `net_cls` hierarchy: marks a container's packets for `tc`.

use std::path::PathBuf;

use crate::IsolationError;

use super::file::write;
use super::{Controller, Limits, Statistics, Target};

/// There is no v2 form.
#[derive(Debug, Clone)]
pub struct NetworkClass {
    /// The container's directory in the `net_cls` hierarchy, which is there only if it is asked for.
    pub directory: PathBuf,
}

impl Controller for NetworkClass {
    fn apply(&self, limits: &Limits, _: Target) -> Result<(), IsolationError> {
        let Some(class) = limits.network_class else { return Ok(()) };
        write(&self.directory, "net_cls.classid", &class.to_string())
    }

    fn read(&self, _: &mut Statistics) -> Result<(), IsolationError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_written_when_there_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("net_cls.classid");
        std::fs::write(&file, "0").unwrap();
        let class = NetworkClass { directory: dir.path().to_owned() };
        class.apply(&Limits::default(), Target::New).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "0");
        class.apply(&Limits { network_class: Some(0x10_0001), ..Limits::default() }, Target::New).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "1048577");
    }
}
