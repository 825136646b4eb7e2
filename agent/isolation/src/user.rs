//! Who a container runs as, from the user and group files of the host or of an image. A static program has no name service,
//! and needs none.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::{Context, IsolationError, beneath};

/// A user file that is longer is no user file.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// The group of those that have none: `nogroup`, to which nothing belongs.
pub const NO_GROUP: u32 = 65_534;

/// A user, of this machine or of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary groups, without the primary one.
    pub groups: Vec<u32>,
    /// Its home directory, if it has an entry.
    pub home: Option<PathBuf>,
}

impl User {
    /// Finds a user by name, or by number; a number needs no entry and then has [`NO_GROUP`]: the group of the same number may
    /// be one of the machine's that opens what root gave to it.
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
        let read = |name: &str| {
            let path = directory.join(name);
            fs::read_to_string(&path).context("read", path.display())
        };
        let (passwd, group) = (read("passwd")?, read("group")?);
        let unlisted = |uid| Self { uid, gid: NO_GROUP, groups: Vec::new(), home: None };
        Self::among(&passwd, &group, user, unlisted).ok_or_else(|| {
            no_such(user, "no such user on this agent; create it, or run the task as another user")
        })
    }

    /// As an image means it: `user`, `user:group`, each a name or a number, in the files of `/etc` below this root, which may
    /// be missing. A number without an entry has the group of the same number.
    ///
    /// # Errors
    /// When there is no such user or group, or a file is no file or too long.
    pub fn find_within(root: &File, user: &str) -> Result<Self, IsolationError> {
        let (passwd, group) = (read_within(root, "etc/passwd")?, read_within(root, "etc/group")?);
        let (name, named_group) =
            user.split_once(':').map_or((user, None), |(user, group)| (user, Some(group)));
        let reason = "no such user in the image; name one that its /etc/passwd has, or a number";
        let unlisted = |uid| Self { uid, gid: uid, groups: Vec::new(), home: None };
        let mut found = Self::among(&passwd, &group, name, unlisted).ok_or_else(|| no_such(user, reason))?;
        if let Some(named) = named_group.filter(|named| !named.is_empty()) {
            let known = group.lines().filter_map(group_entry).find(|(name, ..)| *name == named);
            let gid =
                known.map(|(_, gid, _)| gid).or_else(|| named.parse().ok().filter(|gid| *gid != u32::MAX));
            let reason = "no such group in the image; name one that its /etc/group has, or a number";
            found.gid = gid.ok_or_else(|| no_such(user, reason))?;
            // As Docker: who names the group gets it alone.
            found.groups.clear();
        }
        Ok(found)
    }

    fn among(passwd: &str, group: &str, user: &str, unlisted: impl Fn(u32) -> Self) -> Option<Self> {
        let number = user.parse::<u32>().ok();
        let entries = || passwd.lines().filter_map(Entry::parse);
        let entry = entries().find(|entry| entry.name == user);
        match (entry.or_else(|| entries().find(|entry| Some(entry.uid) == number)), number) {
            (Some(entry), _) => {
                let groups = supplementary(group, entry.name, entry.gid);
                let home = entry.home.map(PathBuf::from);
                Some(Self { uid: entry.uid, gid: entry.gid, groups, home })
            }
            // The number -1 means "leave as it is" to the kernel.
            (None, Some(uid)) if uid != u32::MAX => Some(unlisted(uid)),
            _ => None,
        }
    }

    /// The user this process is.
    pub fn current() -> Self {
        let (uid, gid) = (nix::unistd::getuid().as_raw(), nix::unistd::getgid().as_raw());
        Self { uid, gid, groups: Vec::new(), home: None }
    }
}

fn no_such(user: &str, reason: &str) -> IsolationError {
    IsolationError::invalid("find user", user, reason)
}

struct Entry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: Option<&'a str>,
}

impl<'a> Entry<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Self { name, uid, gid, home: fields.nth(1).filter(|home| home.starts_with('/')) })
    }
}

/// Name, number and members of a group.
fn group_entry(line: &str) -> Option<(&str, u32, &str)> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| !name.is_empty())?;
    Some((name, fields.nth(1)?.parse().ok()?, fields.next().unwrap_or_default()))
}

fn supplementary(group: &str, name: &str, primary: u32) -> Vec<u32> {
    let entries = group.lines().filter_map(group_entry);
    let of_user = entries
        .filter(|(_, gid, members)| *gid != primary && members.split(',').any(|member| member == name));
    of_user.map(|(_, gid, _)| gid).collect()
}

/// The text of a file of an image; empty when there is none.
fn read_within(root: &File, path: &str) -> Result<String, IsolationError> {
    let read = || {
        let opened = beneath::open_within(
            root,
            Path::new(path),
            libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY,
            0,
        );
        let file = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
            result => result?,
        };
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no plain file"));
        }
        let mut bytes = Vec::new();
        if file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)? as u64 > MAX_FILE_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is longer than 4 MiB"));
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().context("read in the image", format_args!("/{path}"))
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
        let ann = User { uid: 1001, gid: 100, groups: vec![44], home: Some("/home/ann".into()) };
        assert_eq!(User::find_in(dir.path(), "ann").unwrap(), ann);
        assert_eq!(User::find_in(dir.path(), "1001").unwrap(), ann);
    }

    #[test]
    fn an_unknown_number_is_a_user_and_an_unknown_name_is_not() {
        let dir = files();
        let number = User { uid: 4242, gid: NO_GROUP, groups: vec![], home: None };
        assert_eq!(User::find_in(dir.path(), "4242").unwrap(), number);
        let error = User::find_in(dir.path(), "nobody-here").unwrap_err();
        assert_eq!(error.to_string(), "cannot find user nobody-here");
        assert!(User::find_in(dir.path(), "4294967295").is_err());
        assert!(User::find_in(dir.path(), "").is_err());
    }

    #[test]
    fn an_image_may_name_the_group_and_lack_the_files() {
        let dir = tempfile::tempdir().unwrap();
        let root = File::open(dir.path()).unwrap();
        let find = |user: &str| User::find_within(&root, user).map(|user| (user.uid, user.gid, user.groups));
        assert_eq!(find("7:8").unwrap(), (7, 8, vec![]));
        assert!(find("ann").is_err());
        fs::rename(files().keep(), dir.path().join("etc")).unwrap();
        assert_eq!(find("ann").unwrap(), (1001, 100, vec![44]));
        assert_eq!(find("ann:video").unwrap(), (1001, 44, vec![]));
        assert_eq!(find("ann:9").unwrap(), (1001, 9, vec![]));
        assert!(find("ann:nogroup").is_err());
        assert!(find(":video").is_err());
    }

    #[test]
    fn the_files_of_an_image_lead_nowhere_else_and_are_no_pipes() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("etc")).unwrap();
        let root = File::open(dir.path()).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("etc/passwd")).unwrap();
        assert!(User::find_within(&root, "root").is_err(), "the host's file was read");
        fs::remove_file(dir.path().join("etc/passwd")).unwrap();
        nix::unistd::mkfifo(&dir.path().join("etc/passwd"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(User::find_within(&root, "root").is_err());
        fs::remove_file(dir.path().join("etc/passwd")).unwrap();
        File::create(dir.path().join("etc/passwd")).unwrap().set_len(MAX_FILE_BYTES + 1).unwrap();
        assert!(User::find_within(&root, "0").is_err());
    }
}
