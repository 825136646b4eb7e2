//! Who waits for the end of a container of the books, and how those ended that are not removed yet.

use std::collections::HashMap;

use chapada_model::ContainerId;
use tokio::sync::oneshot;

use crate::containers::End;

/// Calls that may wait at once; each holds a connection.
const MOST: usize = 4096;

/// Why somebody does not hear of an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotWaited {
    /// There is no such container.
    Unknown,
    /// Too many wait already.
    TooMany,
}

/// Where it is told.
pub(crate) type Reply = oneshot::Sender<Result<End, NotWaited>>;

/// Those who wait.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    ended: HashMap<ContainerId, End>,
    waiting: Vec<(ContainerId, Reply)>,
}

impl Waiting {
    /// Tells how a container ended once it has; `runs` is whether there is one that has not.
    pub(crate) fn wait(&mut self, container: ContainerId, runs: bool, reply: Reply) {
        self.waiting.retain(|(_, reply)| !reply.is_closed());
        let answer = match self.ended.get(&container) {
            Some(end) => Ok(end.clone()),
            None if !runs => Err(NotWaited::Unknown),
            None if self.waiting.len() >= MOST => Err(NotWaited::TooMany),
            None => return self.waiting.push((container, reply)),
        };
        let _ = reply.send(answer); // nobody may wait any more
    }

    /// A container has ended.
    pub(crate) fn tell(&mut self, container: &ContainerId, end: End) {
        for (_, reply) in self.waiting.extract_if(.., |(waited, _)| waited == container) {
            let _ = reply.send(Ok(end.clone())); // nobody may wait any more
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
        let mut ask = |runs| {
            let (reply, answer) = oneshot::channel();
            waiting.wait(id.clone(), runs, reply);
            answer
        };
        assert_eq!(ask(false).try_recv().unwrap(), Err(NotWaited::Unknown));
        let mut all: Vec<_> = (0..MOST).map(|_| ask(true)).collect();
        assert_eq!(ask(true).try_recv().unwrap(), Err(NotWaited::TooMany));
        drop(all.pop());
        all.push(ask(true));
        let end = End { status: Some(0), ..End::default() };
        waiting.tell(&id, end.clone());
        assert!(all.iter_mut().all(|answer| answer.try_recv().unwrap() == Ok(end.clone())));
        let (reply, mut answer) = oneshot::channel();
        waiting.wait(id.clone(), false, reply);
        assert_eq!(answer.try_recv().unwrap(), Ok(end), "it has ended");
        waiting.forget(&id);
        let (reply, mut answer) = oneshot::channel();
        waiting.wait(id, false, reply);
        assert_eq!(answer.try_recv().unwrap(), Err(NotWaited::Unknown));
    }
}
