//! The calls that wait for the connection. None is ever dropped: while there are many the loop takes no news of the master in,
//! from which more would follow, and the master waits in turn.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chapada_model::{AgentId, OfferId, TaskId};
use chapada_services_core::Effect;
use tokio::sync::Notify;

use crate::actor::Master;

/// With so many waiting, no news are taken in. What one event leads to still is: at most some calls for each of its offers.
const MANY: usize = 16_384;
/// So many offers are declined in one call at most.
const DECLINED_AT_ONCE: usize = 1_000;

/// What is made of one effect, or of several that follow each other.
#[derive(Debug, PartialEq)]
pub(crate) enum Call {
    /// Of offers that are refused for the same time.
    Decline {
        /// Which.
        offers: Vec<OfferId>,
        /// For how long.
        refuse: Duration,
    },
    /// As the core decided it.
    Other(Box<Effect>),
}

impl Call {
    /// The tasks that it launches.
    pub(crate) fn launched(&self) -> Vec<(TaskId, AgentId)> {
        let Self::Other(effect) = self else { return Vec::new() };
        let (Effect::Launch { tasks, groups, .. } | Effect::Accept { tasks, groups, .. }) = &**effect else {
            return Vec::new();
        };
        let members = groups.iter().flat_map(|group| &group.tasks).map(|member| &member.launch);
        tasks.iter().chain(members).map(|launch| (launch.task.clone(), launch.agent.clone())).collect()
    }
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<VecDeque<Effect>>,
    /// As many as wait.
    count: AtomicUsize,
    ended: AtomicBool,
    /// Something waits, or the core has ended.
    news: Notify,
    /// There are few again.
    room: Notify,
}

impl Shared {
    /// Nothing panics while it is held, and it is never held across an await.
    fn waiting(&self) -> MutexGuard<'_, VecDeque<Effect>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The core's side of the queue.
pub(crate) struct Calls(Arc<Shared>);

/// The other side.
pub(crate) struct Waiting(Arc<Shared>);

/// The queue of calls: where they are put in, and where they come out.
pub(crate) fn queue() -> (Calls, Waiting) {
    let shared = Arc::new(Shared::default());
    (Calls(shared.clone()), Waiting(shared))
}

impl Master for Calls {
    fn call(&mut self, call: Effect) {
        self.0.waiting().push_back(call);
        self.0.count.fetch_add(1, Ordering::AcqRel);
        self.0.news.notify_one();
    }

    fn is_behind(&self) -> bool {
        self.0.count.load(Ordering::Acquire) >= MANY
    }

    async fn has_room(&self) {
        while self.is_behind() {
            let room = self.0.room.notified();
            if self.is_behind() {
                room.await;
            }
        }
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::Release);
        self.0.news.notify_one();
    }
}

impl Waiting {
    /// The next call, once there is one; `None` when there is none and the core has ended.
    pub(crate) async fn next(&self) -> Option<Call> {
        loop {
            if let Some(call) = self.take() {
                return Some(call);
            }
            if self.0.ended.load(Ordering::Acquire) {
                return self.take();
            }
            self.0.news.notified().await;
        }
    }

    /// The first that waits, with those behind it that go into the same call.
    fn take(&self) -> Option<Call> {
        let mut waiting = self.0.waiting();
        let (call, taken) = match waiting.pop_front()? {
            Effect::Decline { offer, refuse } => {
                let mut offers = vec![offer];
                while offers.len() < DECLINED_AT_ONCE
                    && let Some(Effect::Decline { offer, .. }) = waiting.pop_front_if(
                        |next| matches!(next, Effect::Decline { refuse: other, .. } if *other == refuse),
                    )
                {
                    offers.push(offer);
                }
                let taken = offers.len();
                (Call::Decline { offers, refuse }, taken)
            }
            other => (Call::Other(Box::new(other)), 1),
        };
        drop(waiting);
        if self.0.count.fetch_sub(taken, Ordering::AcqRel) >= MANY {
            self.0.room.notify_waiters();
        }
        Some(call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decline(number: usize, seconds: u64) -> Effect {
        let offer = format!("o{number}").parse().unwrap();
        Effect::Decline { offer, refuse: Duration::from_secs(seconds) }
    }

    #[tokio::test]
    async fn declines_that_follow_each_other_are_one_call_and_order_is_kept() {
        let (mut calls, waiting) = queue();
        for effect in [decline(1, 5), decline(2, 5), decline(3, 6), Effect::Revive, decline(4, 6)] {
            calls.call(effect);
        }
        drop(calls);
        let mut made = Vec::new();
        while let Some(call) = waiting.next().await {
            made.push(match call {
                Call::Decline { offers, refuse } => format!("{} for {refuse:?}", offers.len()),
                Call::Other(effect) => format!("{effect:?}"),
            });
        }
        assert_eq!(made, ["2 for 5s", "1 for 6s", "Revive", "1 for 6s"]);
    }

    #[tokio::test]
    async fn none_is_dropped_and_who_is_behind_takes_no_news_until_there_is_room() {
        let (mut calls, waiting) = queue();
        for _ in 0..2 * MANY {
            calls.call(Effect::Revive);
        }
        assert!(calls.is_behind());
        let mut made = 0;
        let (calls, ()) = tokio::join!(
            async {
                calls.has_room().await;
                assert!(!calls.is_behind());
                calls
            },
            async {
                while made <= MANY {
                    assert_eq!(waiting.next().await, Some(Call::Other(Box::new(Effect::Revive))));
                    made += 1;
                }
            }
        );
        drop(calls);
        while waiting.next().await.is_some() {
            made += 1;
        }
        assert_eq!(made, 2 * MANY);
    }
}
