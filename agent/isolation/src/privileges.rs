//! Who a process is, and that it can never become more.

use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};

use crate::capabilities;
use crate::user::User;
use crate::{Context, IsolationError};

/// Makes this process the user, for good: bounding set, groups, ids, capabilities, no-new-privileges, in the one order that
/// works. User root keeps [`capabilities::ROOT_DEFAULT`], any other nothing.
///
/// # Errors
/// Names the step; the process must not go on then.
pub fn become_user(user: &User) -> Result<(), IsolationError> {
    let kept: &[u32] = if user.uid == 0 { &capabilities::ROOT_DEFAULT } else { &[] };
    capabilities::bound(kept)?;
    let groups: Vec<Gid> = user.groups.iter().copied().map(Gid::from_raw).collect();
    setgroups(&groups).context("set the supplementary groups of user", user.uid)?;
    let gid = Gid::from_raw(user.gid);
    setresgid(gid, gid, gid).context("become group", user.gid)?;
    let uid = Uid::from_raw(user.uid);
    setresuid(uid, uid, uid).context("become user", user.uid)?;
    capabilities::keep(kept)?;
    no_new_privileges()
}

/// Leaves our init with the one power it needs, to signal its children.
///
/// # Errors
/// Names the step.
pub fn become_init() -> Result<(), IsolationError> {
    capabilities::bound(&[])?;
    capabilities::keep(&[capabilities::KILL])?;
    no_new_privileges()?;
    nix::sys::prctl::set_dumpable(false).context("protect", "init")
}

/// From here on no `execve` gives more than the process has: setuid bits and file capabilities are without effect.
fn no_new_privileges() -> Result<(), IsolationError> {
    nix::sys::prctl::set_no_new_privs().context("set", "no_new_privs")
}
