//! Who a container runs as, from the host's user and group files. A static program has no name service, and needs none.

use std::fs;
use std::path::Path;

use crate::{Context, IsolationError};

/// A user of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary groups, without the primary one.
    pub groups: Vec<u32>,
}

impl User {
    /// Finds a user by name, or by number; a number needs no entry and then has the group of the same number.
    ///
    /// # Errors
    /// When no such user exists, or the files cannot be read.
    pub fn find(user: &str) -> Result<Self, IsolationError> {
        Self::find_in(Path::new("/etc"), user)
    }

    /// As [`User::find`], in the files `passwd` and `group` of another directory.
    ///
    /// # Errors
    /// When no such user exists, or the files cannot be read.
    pub fn find_in(directory: &Path, user: &str) -> Result<Self, IsolationError> {
        let passwd = directory.join("passwd");
        let text = fs::read_to_string(&passwd).context("read", passwd.display())?;
        let number = user.parse::<u32>().ok();
        let entry = text.lines().filter_map(Entry::parse).find(|entry| entry.name == user);
        let entry =
            entry.or_else(|| text.lines().filter_map(Entry::parse).find(|entry| Some(entry.uid) == number));
        match (entry, number) {
            (Some(entry), _) => {
                let groups = supplementary(directory, entry.name, entry.gid)?;
                Ok(Self { uid: entry.uid, gid: entry.gid, groups })
            }
            // The number -1 means "leave as it is" to the kernel.
            (None, Some(uid)) if uid != u32::MAX => Ok(Self { uid, gid: uid, groups: Vec::new() }),
            _ => {
                let reason = "no such user on this agent; create it, or run the task as another user";
                Err(IsolationError::invalid("find user", user, reason))
            }
        }
    }

    /// The user this process is.
    pub fn current() -> Self {
        Self { uid: nix::unistd::getuid().as_raw(), gid: nix::unistd::getgid().as_raw(), groups: Vec::new() }
    }
}

struct Entry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
}

impl<'a> Entry<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let uid = fields.nth(1)?.parse().ok()?;
        Some(Self { name, uid, gid: fields.next()?.parse().ok()? })
    }
}

fn supplementary(directory: &Path, name: &str, primary: u32) -> Result<Vec<u32>, IsolationError> {
    let path = directory.join("group");
    let text = fs::read_to_string(&path).context("read", path.display())?;
    let member_of = |line: &str| {
        let mut fields = line.split(':').skip(2);
        let gid: u32 = fields.next()?.parse().ok()?;
        fields.next()?.split(',').any(|member| member == name).then_some(gid)
    };
    Ok(text.lines().filter_map(member_of).filter(|gid| *gid != primary).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let passwd = "root:x:0:0:root:/root:/bin/sh\nann:x:1001:100:Ann:/home/ann:/bin/sh\nbroken line\n";
        fs::write(dir.path().join("passwd"), passwd).unwrap();
        fs::write(dir.path().join("group"), "root:x:0:\nusers:x:100:ann\nvideo:x:44:bob,ann\nx:y\n").unwrap();
        dir
    }

    #[test]
    fn names_and_numbers_find_the_same_entry() {
        let dir = files();
        let ann = User { uid: 1001, gid: 100, groups: vec![44] };
        assert_eq!(User::find_in(dir.path(), "ann").unwrap(), ann);
        assert_eq!(User::find_in(dir.path(), "1001").unwrap(), ann);
    }

    #[test]
    fn an_unknown_number_is_a_user_and_an_unknown_name_is_not() {
        let dir = files();
        assert_eq!(User::find_in(dir.path(), "4242").unwrap(), User { uid: 4242, gid: 4242, groups: vec![] });
        let error = User::find_in(dir.path(), "nobody-here").unwrap_err();
        assert_eq!(error.to_string(), "cannot find user nobody-here");
        assert!(User::find_in(dir.path(), "4294967295").is_err());
        assert!(User::find_in(dir.path(), "").is_err());
    }
}
