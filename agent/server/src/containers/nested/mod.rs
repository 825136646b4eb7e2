//! Containers that executors and operators launch themselves: within others, charged to these and ending with them, or
//! standalone. The books know nothing of them. What is known is a record in the runtime directory of each, so that an agent
//! finds them again, and how they ended until they are removed.

mod above;
mod launch;
mod make;
mod plan;
mod record;
mod recovery;
mod watch;

pub(crate) use launch::{NotLaunched, Outcome, launch};
pub(crate) use plan::Wish;
pub(crate) use record::Record;
pub(crate) use recovery::{Found, adopt, recover};

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use chapada_agent_core::Limitation;
use chapada_model::{ContainerId, Resources};
use chapada_wire::v1;
use tokio::sync::{mpsc, watch as latest};
use tokio_util::sync::CancellationToken;

use super::{End, Means};
use crate::attach::ContainerPath;
use crate::statistics;

/// Those that run and those whose ends are kept; each has a task and a directory.
const MOST: usize = 1024;
const SIGKILL: i32 = 9;
/// Signals that may wait for one.
const SIGNALS: usize = 8;

/// A container, or how it ended.
#[derive(Debug)]
pub(crate) struct Launched {
    pub(crate) path: ContainerPath,
    pub(crate) record: Record,
    pub(crate) signals: mpsc::Sender<i32>,
    pid: OnceLock<u32>,
    ended: latest::Sender<Option<End>>,
    /// Why it was made to end, if the agent did that.
    limited: OnceLock<Limitation>,
    /// It is to be gone: removed, or what it is in is over.
    going: CancellationToken,
    /// Nothing is left of it.
    gone: CancellationToken,
}

/// All of an agent.
#[derive(Debug, Default)]
pub(crate) struct Nested {
    known: Mutex<BTreeMap<ContainerPath, Arc<Launched>>>,
    /// Sandboxes of standalone ones that are being removed. Only changed while `known` is locked.
    claimed: latest::Sender<BTreeSet<PathBuf>>,
    /// The agent stops.
    stop: CancellationToken,
}

/// Why a container cannot have a name.
#[derive(Debug, PartialEq, Eq)]
enum NotNew {
    Exists,
    TooMany,
    /// What one of the same name left in its sandbox is being removed.
    Claimed,
}

/// As long as this lives, nobody is launched whose sandbox this is.
#[derive(Debug)]
pub(crate) struct Claim<'a> {
    nested: &'a Nested,
    sandbox: PathBuf,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let _known = self.nested.known();
        self.nested.claimed.send_modify(|claimed| {
            claimed.remove(&self.sandbox);
        });
    }
}

impl Nested {
    /// Takes a name for a container that is about to be made, or was by an earlier process; also what it hears of signals by.
    /// From now on nobody removes its sandbox, which therefore is to be made afterwards.
    fn add(
        &self,
        path: ContainerPath,
        record: Record,
    ) -> Result<(Arc<Launched>, mpsc::Receiver<i32>), NotNew> {
        let mut known = self.known();
        if known.contains_key(&path) {
            return Err(NotNew::Exists);
        }
        if known.len() >= MOST {
            return Err(NotNew::TooMany);
        }
        if path.parent().is_none() && self.claimed.borrow().contains(&record.sandbox) {
            return Err(NotNew::Claimed);
        }
        let (signals, inbox) = mpsc::channel(SIGNALS);
        let launched = Arc::new(Launched {
            path: path.clone(),
            record,
            signals,
            pid: OnceLock::new(),
            ended: latest::Sender::new(None),
            limited: OnceLock::new(),
            going: CancellationToken::new(),
            gone: CancellationToken::new(),
        });
        known.insert(path, launched.clone());
        Ok((launched, inbox))
    }

    pub(crate) fn find(&self, path: &ContainerPath) -> Option<Arc<Launched>> {
        self.known().get(path).cloned()
    }

    /// The one with this shim, if it runs.
    pub(crate) fn of_shim(&self, shim: &str) -> Option<Arc<Launched>> {
        self.running().into_iter().find(|one| one.record.shim == shim)
    }

    /// Those that run.
    pub(crate) fn running(&self) -> Vec<Arc<Launched>> {
        let known = self.known();
        known.values().filter(|one| one.pid().is_some() && one.ended.borrow().is_none()).cloned().collect()
    }

    /// Takes the sandbox of a standalone one away from all who might be launched; nothing when one has it that has not ended.
    pub(crate) fn claim(&self, sandbox: &Path) -> Option<Claim<'_>> {
        let known = self.known();
        let has_it = |one: &Launched| one.own_sandbox() == Some(sandbox) && one.ended.borrow().is_none();
        if known.values().any(|one| has_it(one)) {
            return None;
        }
        self.claimed.send_modify(|claimed| {
            claimed.insert(sandbox.to_owned());
        });
        Some(Claim { nested: self, sandbox: sandbox.to_owned() })
    }

    /// Waits until nobody has taken this sandbox away; `false` when the agent stops before.
    async fn unclaimed(&self, sandbox: &Path) -> bool {
        let mut claimed = self.claimed.subscribe();
        tokio::select! {
            // The sender lives as long as this value.
            free = claimed.wait_for(|claimed| !claimed.contains(sandbox)) => free.is_ok(),
            () = self.stop.cancelled() => false,
        }
    }

    /// Ends and removes all that are in a container of the books, which is removed.
    pub(crate) fn remove_within(&self, container: &ContainerId) {
        self.known().values().filter(|one| one.path.is_in(container)).for_each(|one| one.going.cancel());
    }

    /// The same for one of these.
    fn remove_below(&self, above: &ContainerPath) {
        self.known().values().filter(|one| one.path.is_below(above)).for_each(|one| one.going.cancel());
    }

    fn forget(&self, launched: &Launched) {
        self.known().remove(&launched.path);
        launched.gone.cancel();
    }

    /// Lets go of all of them, which go on.
    pub(crate) fn let_go(&self) {
        self.stop.cancel();
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<ContainerPath, Arc<Launched>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Launched {
    /// Its process 1 on this machine.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.pid.get().copied()
    }

    /// Its sandbox, if that is no part of another's.
    fn own_sandbox(&self) -> Option<&Path> {
        self.path.parent().is_none().then_some(self.record.sandbox.as_path())
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&self) -> Option<End> {
        self.ended.borrow().clone()
    }

    /// Waits for its end; `None` when the agent lets go of it before.
    pub(crate) async fn end(&self) -> Option<End> {
        let mut ended = self.ended.subscribe();
        tokio::select! {
            // The sender lives as long as this value.
            end = ended.wait_for(Option::is_some) => end.ok().and_then(|end| end.clone()),
            () = self.gone.cancelled() => self.ended(),
        }
    }

    /// Ends it for having more than it may.
    pub(crate) fn limit(&self, limitation: Limitation) {
        // The first counts, and a signal that finds no room will be sent again with the next look.
        let _ = self.limited.set(limitation);
        let _ = self.signals.try_send(SIGKILL);
    }

    /// What it asked for.
    pub(crate) fn asked(&self) -> Resources {
        // It was written as it is read here.
        self.record.resources.parse().unwrap_or_default()
    }

    /// Removes one that has ended, and waits until nothing is left of it.
    pub(crate) async fn remove(&self) {
        self.going.cancel();
        self.gone.cancelled().await;
    }

    /// What its group has used. Blocks.
    pub(crate) fn statistics(&self, means: &Means) -> Option<v1::ResourceStatistics> {
        let group = means.launcher.cgroups().group_within(&self.record.within, &self.record.shim);
        statistics::of_group(&group, self.pid()?, &[self.asked()])
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::add_for_test;
