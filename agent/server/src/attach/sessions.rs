//! The sessions of an agent by name: those that run, and how others ended.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chapada_model::ContainerId;
use tokio::sync::{mpsc, watch};

use super::fanout::Fanout;
use super::{ContainerPath, Stdin};

/// Sessions at once; each holds four descriptors here and one of its container's shim, which has 64.
const MOST: usize = 64;
/// Ends that are kept for who waits for them later; the oldest goes first, and all go with their container.
const ENDS: usize = 1024;
/// Signals that may wait for one session.
const SIGNALS: usize = 8;

/// A program beside a container's command.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) output: Fanout,
    /// Held by who writes to it.
    pub(crate) stdin: Arc<tokio::sync::Mutex<Stdin>>,
    pub(crate) signals: mpsc::Sender<i32>,
    /// How it ended: its status as wait(2) gives it, if it ever ran.
    ended: watch::Sender<Option<Option<i32>>>,
    begun: u64,
}

/// All of an agent.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    begun: u64,
    sessions: BTreeMap<ContainerPath, Arc<Session>>,
}

/// Why a session cannot have a name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotNamed {
    #[error("there is a container of that name; take another, or ATTACH_CONTAINER_OUTPUT to it")]
    Taken,
    #[error("{MOST} sessions are open; end one of them")]
    TooMany,
}

impl Sessions {
    /// Takes a name for a session that is about to begin; also what it hears of signals by.
    pub(super) fn begin(
        &self,
        path: &ContainerPath,
    ) -> Result<(Arc<Session>, mpsc::Receiver<i32>), NotNamed> {
        let mut known = self.known();
        if known.sessions.contains_key(path) {
            return Err(NotNamed::Taken);
        }
        if known.sessions.values().filter(|session| session.status().is_none()).count() >= MOST {
            return Err(NotNamed::TooMany);
        }
        let (signals, inbox) = mpsc::channel(SIGNALS);
        let session = Arc::new(Session {
            output: Fanout::default(),
            stdin: Arc::new(tokio::sync::Mutex::new(Stdin::Closed)),
            signals,
            ended: watch::Sender::new(None),
            begun: known.begun,
        });
        known.begun += 1;
        known.sessions.insert(path.clone(), session.clone());
        known.forget_oldest();
        Ok((session, inbox))
    }

    /// The session of this name.
    pub(crate) fn find(&self, path: &ContainerPath) -> Option<Arc<Session>> {
        self.known().sessions.get(path).cloned()
    }

    /// Forgets one that has ended, or never began; `false` when it runs.
    pub(crate) fn remove(&self, path: &ContainerPath) -> bool {
        let mut known = self.known();
        let is_over = known.sessions.get(path).is_none_or(|session| session.status().is_some());
        if is_over {
            known.sessions.remove(path);
        }
        is_over
    }

    /// Forgets all that were in a container that is removed.
    pub(crate) fn forget(&self, container: &ContainerId) {
        self.known().sessions.retain(|path, _| !path.is_in(container));
    }

    /// The same for one that no books name.
    pub(crate) fn forget_below(&self, container: &ContainerPath) {
        self.known().sessions.retain(|path, _| !path.is_below(container));
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn forget_oldest(&mut self) {
        let ended = self.sessions.iter().filter(|(_, session)| session.status().is_some());
        if ended.clone().count() > ENDS
            && let Some(oldest) = ended.min_by_key(|(_, session)| session.begun).map(|(path, _)| path.clone())
        {
            self.sessions.remove(&oldest);
        }
    }
}

impl Session {
    /// How it ended, if it has.
    pub(crate) fn status(&self) -> Option<Option<i32>> {
        *self.ended.borrow()
    }

    /// Waits for its end.
    pub(crate) async fn end(&self) -> Option<i32> {
        let mut ended = self.ended.subscribe();
        // The sender lives as long as this value.
        let end = ended.wait_for(Option::is_some).await;
        end.ok().and_then(|end| *end).flatten()
    }

    /// Notes its end, after which nobody reads or writes it.
    pub(super) fn conclude(&self, status: Option<i32>) {
        self.ended.send_replace(Some(status));
        self.output.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> ContainerPath {
        let parent = chapada_wire::v1::ContainerId { value: Some("task".to_owned()), parent: None };
        let id =
            chapada_wire::v1::ContainerId { value: Some(name.to_owned()), parent: Some(Box::new(parent)) };
        ContainerPath::read("x", Some(&id)).unwrap()
    }

    #[tokio::test]
    async fn a_name_is_taken_until_its_session_is_removed_or_its_container_is() {
        let sessions = Sessions::default();
        let (session, _inbox) = sessions.begin(&path("s")).unwrap();
        assert_eq!(sessions.begin(&path("s")).unwrap_err(), NotNamed::Taken);
        assert!(!sessions.remove(&path("s")), "it runs");
        session.conclude(Some(256));
        assert_eq!(sessions.find(&path("s")).unwrap().end().await, Some(256));
        assert!(sessions.remove(&path("s")) && sessions.find(&path("s")).is_none());
        sessions.begin(&path("s")).unwrap();
        sessions.forget(&"other".parse().unwrap());
        assert!(sessions.find(&path("s")).is_some());
        sessions.forget(&"task".parse().unwrap());
        assert!(sessions.find(&path("s")).is_none());
    }

    #[test]
    fn sessions_and_ends_are_bounded() {
        let sessions = Sessions::default();
        for number in 0..ENDS + 10 {
            let (session, _inbox) = sessions.begin(&path(&number.to_string())).unwrap();
            session.conclude(None);
        }
        assert!(sessions.find(&path("0")).is_none() && sessions.find(&path("100")).is_some());
        let open: Vec<_> =
            (0..MOST).map(|number| sessions.begin(&path(&format!("open-{number}"))).unwrap()).collect();
        assert_eq!(sessions.begin(&path("more")).unwrap_err(), NotNamed::TooMany);
        open[0].0.conclude(None);
        assert!(sessions.begin(&path("more")).is_ok());
    }
}
