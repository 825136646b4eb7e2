//! Filters of system calls that an operator keeps as files: profiles as Docker has them.

use std::io::Read;
use std::path::{Component, Path, PathBuf};

use chapada_isolation::beneath;
use chapada_isolation::capabilities::ROOT_DEFAULT;
use chapada_isolation::seccomp::{Filter, Profile};
use chapada_model::chain;
use chapada_shim::SystemCalls;

use crate::error::AgentError;

/// More than any real one.
const MAX_BYTES: u64 = 1 << 20;

/// The directory of an operator's profiles, and the one for containers that name none.
#[derive(Debug, Default)]
pub(crate) struct Profiles {
    directory: Option<PathBuf>,
    default: Option<Profile>,
}

impl Profiles {
    /// # Errors
    /// Names the flag, and what the profile has that cannot be.
    pub(crate) fn open(directory: Option<&Path>, default: Option<&str>) -> Result<Self, AgentError> {
        let mut profiles = Self { directory: directory.map(Path::to_owned), default: None };
        let flag = |problem: String| AgentError::flag("seccomp-profile-name", problem);
        if let Some(name) = default {
            profiles.check(name).map_err(flag)?;
            let profile = profiles.read(name).map_err(flag)?;
            profile.compile(&ROOT_DEFAULT).map_err(|error| flag(chain(&error)))?;
            profiles.default = Some(profile);
        }
        Ok(profiles)
    }

    /// Whether there can be a profile of this name.
    ///
    /// # Errors
    /// Says why not.
    pub(crate) fn check(&self, name: &str) -> Result<(), String> {
        if self.directory.is_none() {
            return Err(format!("profile {name:?} needs an operator's --seccomp-config-dir"));
        }
        let mut parts = Path::new(name).components();
        match (parts.next(), parts.next()) {
            (Some(Component::Normal(_)), None) if !name.contains('\0') => Ok(()),
            _ => Err(format!("{name:?} is no plain file name")),
        }
    }

    /// The filter of this name, or of none, for these capabilities. Blocks for a look at a small file.
    ///
    /// # Errors
    /// Says what is wrong with the profile.
    pub(crate) fn filter(&self, name: Option<&str>, bounding: Option<&[u32]>) -> Result<SystemCalls, String> {
        let named = name.map(|name| self.check(name).and_then(|()| self.read(name))).transpose()?;
        let Some(profile) = named.as_ref().or(self.default.as_ref()) else {
            return Ok(SystemCalls::Standard);
        };
        let filter: Filter =
            profile.compile(bounding.unwrap_or(&ROOT_DEFAULT)).map_err(|error| chain(&error))?;
        Ok(SystemCalls::Profile(filter))
    }

    fn read(&self, name: &str) -> Result<Profile, String> {
        let said = |error: &dyn std::fmt::Display| format!("profile {name:?}: {error}");
        let directory = self.directory.as_deref().unwrap_or(Path::new("/"));
        let directory = beneath::directory(directory).map_err(|error| said(&chain(&error)))?;
        let file = beneath::open(&directory, Path::new(name), nix::libc::O_RDONLY, 0)
            .map_err(|error| said(&error))?;
        let mut text = String::new();
        file.take(MAX_BYTES).read_to_string(&mut text).map_err(|error| said(&error))?;
        serde_json::from_str(&text).map_err(|error| said(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_plain_files_of_their_directory() {
        let directory = tempfile::tempdir().unwrap();
        let shelf = directory.path().join("shelf");
        std::fs::create_dir(&shelf).unwrap();
        let profile = r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#;
        std::fs::write(directory.path().join("outside.json"), profile).unwrap();
        std::fs::write(shelf.join("open.json"), profile).unwrap();
        std::fs::write(shelf.join("broken.json"), "{}").unwrap();
        std::os::unix::fs::symlink("../outside.json", shelf.join("link.json")).unwrap();
        let profiles = Profiles::open(Some(&shelf), None).unwrap();
        assert_eq!(profiles.filter(None, None), Ok(SystemCalls::Standard));
        assert!(matches!(profiles.filter(Some("open.json"), None), Ok(SystemCalls::Profile(_))));
        for bad in ["../outside.json", "link.json", "broken.json", "missing.json", "", ".", "/etc/passwd"] {
            assert!(profiles.filter(Some(bad), None).is_err(), "{bad}");
        }
        assert!(Profiles::default().check("open.json").unwrap_err().contains("--seccomp-config-dir"));
        assert!(Profiles::open(Some(&shelf), Some("broken.json")).is_err());
        let profiles = Profiles::open(Some(&shelf), Some("open.json")).unwrap();
        assert!(matches!(profiles.filter(None, None), Ok(SystemCalls::Profile(_))));
    }
}
