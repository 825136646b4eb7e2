//! The program that fetches: this very one, whatever has become of its file since.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;

use crate::config::AgentConfig;
use crate::error::AgentError;

/// What is started, with which arguments.
#[derive(Debug)]
pub(super) struct Program {
    path: PathBuf,
    pub(super) arguments: Vec<String>,
    /// As it was when the agent started.
    opened: File,
    /// Where a copy goes when the path leads to another program by now.
    copy: PathBuf,
    copying: Mutex<()>,
}

impl Program {
    /// This program, unless the configuration says otherwise.
    ///
    /// # Errors
    /// When there is no such file.
    pub(super) fn find(config: &AgentConfig, copy: PathBuf) -> Result<Self, AgentError> {
        let (path, arguments) = match config.fetcher.split_first() {
            Some((path, arguments)) => (PathBuf::from(path), arguments.to_vec()),
            None => {
                let own = std::env::current_exe().map_err(AgentError::directory("find", "/proc/self/exe"))?;
                (own, vec!["fetch".to_owned()])
            }
        };
        let opened = if config.fetcher.is_empty() { Path::new("/proc/self/exe") } else { &path };
        let opened = File::open(opened).map_err(AgentError::directory("open", opened))?;
        Ok(Self { path, arguments, opened, copy, copying: Mutex::default() })
    }

    /// A path that leads to the program: its own, or after an upgrade that of a copy. Blocks.
    pub(super) fn file(&self) -> io::Result<PathBuf> {
        let is_ours = |path: &Path| {
            let (ours, there) = (self.opened.metadata()?, fs::symlink_metadata(path)?);
            Ok::<_, io::Error>((ours.dev(), ours.ino()) == (there.dev(), there.ino()))
        };
        if is_ours(&self.path).unwrap_or(false) {
            return Ok(self.path.clone());
        }
        let _one_at_a_time = self.copying.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.copy.exists() {
            let part = self.copy.with_extension("part");
            io::copy(&mut &self.opened, &mut File::create(&part)?)?;
            fs::set_permissions(&part, Permissions::from_mode(0o755))?;
            fs::rename(&part, &self.copy)?;
        }
        Ok(self.copy.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_an_upgrade_it_is_still_the_program_that_runs() {
        let directory = tempfile::tempdir().unwrap();
        let (path, copy) = (directory.path().join("program"), directory.path().join("copy"));
        fs::write(&path, "old").unwrap();
        let fetcher = vec![path.to_str().unwrap().to_owned(), "fetch".to_owned()];
        let config = AgentConfig { fetcher, ..AgentConfig::default() };
        let program = Program::find(&config, copy.clone()).unwrap();
        assert_eq!(program.file().unwrap(), path);
        fs::write(directory.path().join("new"), "new").unwrap();
        fs::rename(directory.path().join("new"), &path).unwrap();
        assert_eq!(program.file().unwrap(), copy);
        assert_eq!(fs::read_to_string(program.file().unwrap()).unwrap(), "old");
        assert_eq!(fs::metadata(&copy).unwrap().mode() & 0o777, 0o755);
    }
}
