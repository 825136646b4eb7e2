//! Who a process is, and that it can never become more.

use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use serde::{Deserialize, Serialize};

use crate::capabilities;
use crate::user::User;
use crate::{Context, IsolationError};

/// What a command may do beyond what its user may. The default is no more than is safe: the bounding set of root is
/// [`capabilities::ROOT_DEFAULT`], that of any other user empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Privileges {
    /// The capabilities that it can ever have. `None`: the default.
    pub bounding: Option<Vec<u32>>,
    /// Those it has although its user is not root; must be in the bounding set.
    pub ambient: Vec<u32>,
    /// Groups beyond those of its user.
    pub groups: Vec<u32>,
}

impl Privileges {
    fn bounding_of(&self, user: &User) -> &[u32] {
        match &self.bounding {
            Some(bounding) => bounding,
            None if user.uid == 0 => &capabilities::ROOT_DEFAULT,
            None => &self.ambient,
        }
    }
}

/// Makes this process the user, for good: bounding set, groups, ids, capabilities, no-new-privileges, in the one order that
/// works. Root has all of its bounding set, any other user its ambient capabilities.
///
/// # Errors
/// Names the step; the process must not go on then.
pub fn become_user(user: &User, privileges: &Privileges) -> Result<(), IsolationError> {
    let bounding = privileges.bounding_of(user);
    capabilities::bound(bounding)?;
    let mut groups: Vec<Gid> =
        user.groups.iter().chain(&privileges.groups).copied().map(Gid::from_raw).collect();
    groups.sort_unstable_by_key(|group| group.as_raw());
    groups.dedup();
    setgroups(&groups).context("set the supplementary groups of user", user.uid)?;
    let gid = Gid::from_raw(user.gid);
    setresgid(gid, gid, gid).context("become group", user.gid)?;
    if !privileges.ambient.is_empty() {
        nix::sys::prctl::set_keepcaps(true).context("keep", "capabilities")?;
    }
    let uid = Uid::from_raw(user.uid);
    setresuid(uid, uid, uid).context("become user", user.uid)?;
    let kept = if user.uid == 0 { bounding } else { &privileges.ambient };
    capabilities::keep(kept, &privileges.ambient)?;
    no_new_privileges()
}

/// Leaves our init with the one power it needs, to signal its children.
///
/// # Errors
/// Names the step.
pub fn become_init() -> Result<(), IsolationError> {
    capabilities::bound(&[])?;
    capabilities::keep(&[capabilities::KILL], &[])?;
    no_new_privileges()?;
    nix::sys::prctl::set_dumpable(false).context("protect", "init")
}

/// From here on no `execve` gives more than the process has: setuid bits and file capabilities are without effect.
///
/// # Errors
/// The kernel's.
pub fn no_new_privileges() -> Result<(), IsolationError> {
    nix::sys::prctl::set_no_new_privs().context("set", "no_new_privs")
}
