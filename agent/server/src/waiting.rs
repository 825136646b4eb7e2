//! Who waits for the end of a container of the books, and how those ended that are not removed yet.

use std::collections::HashMap;

use chapada_model::ContainerId;
use tokio::sync::oneshot;

use crate::containers::End;

/// Calls that may wait at once. Each holds a stream of a connection, which over HTTP/2 has many.
const MOST: usize = 4096;

/// Why somebody does not hear of an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotWaited {
    #[error("there is no such container")]
    Unknown,
    #[error("too many calls wait for the end of a container; make this one again when others have ended")]
    TooMany,
}

/// How a container ended, once it has. Broken off when the agent stops.
pub(crate) type Ended = oneshot::Receiver<End>;

/// Where it is told at once whether somebody will hear of an end.
pub(crate) type Reply = oneshot::Sender<Result<Ended, NotWaited>>;

/// Those who wait.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    ended: HashMap<ContainerId, End>,
    waiting: Vec<(ContainerId, oneshot::Sender<End>)>,
}

impl Waiting {
    /// Tells how a container ended once it has; `runs` is whether there is one that has not.
    pub(crate) fn wait(&mut self, container: ContainerId, runs: bool, reply: Reply) {
        self.waiting.retain(|(_, waits)| !waits.is_closed());
        let (told, ended) = oneshot::channel();
        let answer = match self.ended.get(&container) {
            Some(end) => {
                let _ = told.send(end.clone()); // it is at hand
                Ok(ended)
            }
            None if !runs => Err(NotWaited::Unknown),
            None if self.waiting.len() >= MOST => Err(NotWaited::TooMany),
            None => {
                self.waiting.push((container, told));
                Ok(ended)
            }
        };
        let _ = reply.send(answer); // nobody may wait any more
    }

    /// A container has ended.
    pub(crate) fn tell(&mut self, container: &ContainerId, end: End) {
        for (_, waits) in self.waiting.extract_if(.., |(waited, _)| waited == container) {
            let _ = waits.send(end.clone()); // nobody may wait any more
        }
        self.ended.insert(container.clone(), end);
    }

    /// A container is removed.
    pub(crate) fn forget(&mut self, container: &ContainerId) {
        self.ended.remove(container);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_too_many_is_told_so_and_has_room_when_another_has_gone() {
        let (mut waiting, id) = (Waiting::default(), ContainerId::new("c").unwrap());
        let ask = |waiting: &mut Waiting, runs| {
            let (reply, mut answer) = oneshot::channel();
            waiting.wait(id.clone(), runs, reply);
            answer.try_recv().expect("it is told at once")
        };
        assert_eq!(ask(&mut waiting, false).unwrap_err(), NotWaited::Unknown);
        let mut all: Vec<_> = (0..MOST).map(|_| ask(&mut waiting, true).unwrap()).collect();
        assert_eq!(ask(&mut waiting, true).unwrap_err(), NotWaited::TooMany);
        drop(all.pop());
        all.push(ask(&mut waiting, true).unwrap());
        let end = End { status: Some(0), ..End::default() };
        waiting.tell(&id, end.clone());
        assert!(all.iter_mut().all(|ended| ended.try_recv().unwrap() == end));
        assert_eq!(ask(&mut waiting, false).unwrap().try_recv().unwrap(), end, "it has ended");
        waiting.forget(&id);
        assert_eq!(ask(&mut waiting, false).unwrap_err(), NotWaited::Unknown);
    }
}
