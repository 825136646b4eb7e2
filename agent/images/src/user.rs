//! Who a name is in an image: its own `/etc/passwd` and `/etc/group`, never the host's. Pure.

/// The largest number that is an id: the next one means "leave as it is" to the kernel.
const LAST_ID: u32 = u32::MAX - 1;

/// Numbers for the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Further groups, in ascending order; only when no group was named.
    pub groups: Vec<u32>,
    /// Home directory, if the image names one.
    pub home: Option<String>,
}

/// A name that the image does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the image has no {kind} {name:?}")]
pub struct Unknown {
    /// `user` or `group`.
    pub kind: &'static str,
    /// The name.
    pub name: String,
}

/// Resolves `user[:group]`, each a name or a number, in the texts of the two files. A number needs no entry. As Docker does,
/// a user without an entry has group 0.
///
/// # Errors
/// [`Unknown`].
pub fn resolve(user: &str, passwd: &str, group: &str) -> Result<Identity, Unknown> {
    let (user, named_group) = match user.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (user, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let entry = passwd.lines().filter_map(Entry::parse).find(|entry| entry.name == user);
    let by_number = || {
        let uid = id(user)?;
        let known = passwd.lines().filter_map(Entry::parse).find(|entry| entry.uid == uid);
        Some(known.unwrap_or(Entry { name: "", uid, gid: 0, home: "" }))
    };
    let entry = entry.or_else(by_number).ok_or_else(|| Unknown { kind: "user", name: user.to_owned() })?;
    let home = Some(entry.home).filter(|home| home.starts_with('/')).map(str::to_owned);
    let (gid, groups) = match named_group {
        Some(named) => (group_id(named, group)?, Vec::new()),
        None => (entry.gid, further_groups(entry.name, group)),
    };
    Ok(Identity { uid: entry.uid, gid, groups, home })
}

struct Entry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

impl<'a> Entry<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.trim_end().split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let (uid, gid) = (id(fields.nth(1)?)?, id(fields.next()?)?);
        Some(Self { name, uid, gid, home: fields.nth(1).unwrap_or_default() })
    }
}

fn groups(text: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    text.lines().filter_map(|line| {
        let mut fields = line.trim_end().split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        Some((name, id(fields.nth(1)?)?, fields.next().unwrap_or_default()))
    })
}

fn group_id(name: &str, text: &str) -> Result<u32, Unknown> {
    let known = groups(text).find(|(known, ..)| *known == name).map(|(_, gid, _)| gid);
    known.or_else(|| id(name)).ok_or_else(|| Unknown { kind: "group", name: name.to_owned() })
}

fn further_groups(user: &str, text: &str) -> Vec<u32> {
    let is_member = |members: &str| !user.is_empty() && members.split(',').any(|member| member == user);
    let found = groups(text).filter(|(_, _, members)| is_member(members)).map(|(_, gid, _)| gid);
    let sorted: std::collections::BTreeSet<u32> = found.collect();
    sorted.into_iter().collect()
}

fn id(text: &str) -> Option<u32> {
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|id| is_plain && *id <= LAST_ID)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nbroken\nwww:x:33:33:web:/srv/www:/bin/false\n\
        huge:x:4294967295:0::/:/\n1000:x:7:7::/seven:/\n";
    const GROUP: &str = "root:x:0:\nwww:x:33:\nlogs:x:4:www,other\nmedia:x:44:www\nmedia:x:44:www\n";

    fn identity(uid: u32, gid: u32, groups: &[u32], home: Option<&str>) -> Identity {
        Identity { uid, gid, groups: groups.to_vec(), home: home.map(str::to_owned) }
    }

    #[test]
    fn names_and_numbers_are_the_images() {
        for (user, expected) in [
            ("www", identity(33, 33, &[4, 44], Some("/srv/www"))),
            ("33", identity(33, 33, &[4, 44], Some("/srv/www"))),
            ("www:logs", identity(33, 4, &[], Some("/srv/www"))),
            ("www:7", identity(33, 7, &[], Some("/srv/www"))),
            ("555", identity(555, 0, &[], None)),
            ("555:556", identity(555, 556, &[], None)),
            ("", identity(0, 0, &[], Some("/root"))),
            ("1000", identity(7, 7, &[], Some("/seven"))),
        ] {
            assert_eq!(resolve(user, PASSWD, GROUP), Ok(expected), "{user}");
        }
        assert_eq!(resolve("0", "", ""), Ok(identity(0, 0, &[], None)));
    }

    #[test]
    fn what_the_image_does_not_know_is_an_error() {
        for user in ["nobody", "www:nogroup", "huge", "-1", "4294967295", "+5", "www:-1"] {
            assert!(resolve(user, PASSWD, GROUP).is_err(), "{user}");
        }
    }
}
