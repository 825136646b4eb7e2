//! Ends that the master itself has said: of tasks whose agent is gone or does not have them; and ends
//! that such an agent had said and nobody has acknowledged. No agent repeats them any more, so that one that was said on a broken
//! stream, or to nobody, would be lost, and a framework that only asks for all its tasks would never hear of it. So it is in Mesos.
//! Here a framework that subscribes again is told such ends again, in their order, unless it has acknowledged what their agent said.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chapada_model::{FrameworkId, Mono, Reason, TaskId, TaskKey, TaskState, TaskStatus, UpdateUuid};

use crate::{Master, SchedulerEvent};

/// How many such ends of a framework are remembered; the oldest make room. They fit on a stream that nobody reads yet.
pub const MAX_OWN_ENDS: usize = 1_000;

/// How many of all frameworks together; what was told longest ago makes room. When none of them was told anybody, one more is not
/// remembered.
pub const MAX_OWN_ENDS_OF_ALL: usize = 100_000;

/// An end that was said on a stream is remembered for so long, unless that stream ends: by then it is known to be broken, if it is.
const BROKEN_UNNOTICED: Duration = Duration::from_secs(60 * 60);

/// On so many streams an end is said at most: who subscribes in a loop does not hear of it for ever.
const MOST_STREAMS: u8 = 5;

/// One of them.
#[derive(Clone, Debug)]
struct End {
    status: Arc<TaskStatus>,
    /// The name under which its agent said it, if that did: the framework may still acknowledge it by that.
    uuid: Option<UpdateUuid>,
    /// When it was said on the stream that is open now; absent when none is, or it was not.
    told: Option<Mono>,
    /// On how many streams it was said.
    streams: u8,
}

/// Those of one framework, oldest first, and which is of each task.
#[derive(Clone, Debug, Default)]
struct Ends {
    in_order: BTreeMap<u64, End>,
    of_task: BTreeMap<TaskId, u64>,
}

/// Those of all frameworks.
#[derive(Clone, Debug, Default)]
pub(crate) struct OwnEnds {
    all: BTreeMap<FrameworkId, Ends>,
    /// Those that were said on a stream that is open, by when.
    told: BTreeSet<(Mono, FrameworkId, u64)>,
    count: usize,
    last: u64,
}

impl OwnEnds {
    /// Of how many frameworks there are some, how many of the one with most, and how many there are.
    pub(crate) fn sizes(&self) -> (usize, usize, usize) {
        let most = self.all.values().map(|ends| ends.in_order.len()).max().unwrap_or(0);
        (self.all.len(), most, self.count)
    }

    /// Whose they are, for the audit.
    pub(crate) fn tasks(&self) -> impl Iterator<Item = TaskKey> {
        self.all.iter().flat_map(|(framework, ends)| {
            ends.of_task.keys().map(|task| TaskKey { framework: framework.clone(), task: task.clone() })
        })
    }

    /// Whether what is there twice is the same, for the audit.
    pub(crate) fn agrees(&self) -> bool {
        let all = || self.all.iter().flat_map(|(id, ends)| ends.in_order.iter().map(move |one| (id, one)));
        let told = all().filter_map(|(id, (at, end))| Some((end.told?, id.clone(), *at))).collect();
        let is_found = |(id, (at, end)): (&FrameworkId, (&u64, &End))| {
            self.all.get(id).and_then(|ends| ends.of_task.get(&end.status.task)) == Some(at)
        };
        self.told == told
            && self.count == all().count()
            && self.all.values().map(|ends| ends.of_task.len()).sum::<usize>() == self.count
            && all().all(is_found)
    }

    /// Remembers an end, and when it was said if anybody was there to hear it.
    fn note(
        &mut self,
        framework: &FrameworkId,
        status: Arc<TaskStatus>,
        uuid: Option<UpdateUuid>,
        told: Option<Mono>,
    ) {
        self.take(framework, &status.task);
        if let Some(ends) = self.all.get(framework).filter(|ends| ends.in_order.len() >= MAX_OWN_ENDS)
            && let Some(oldest) = ends.in_order.keys().next().copied()
        {
            self.remove(framework, oldest);
        }
        if self.count >= MAX_OWN_ENDS_OF_ALL {
            let Some((_, id, oldest)) = self.told.first().cloned() else { return };
            self.remove(&id, oldest);
        }
        self.last += 1;
        self.count += 1;
        if let Some(at) = told {
            self.told.insert((at, framework.clone(), self.last));
        }
        let ends = self.all.entry(framework.clone()).or_default();
        ends.of_task.insert(status.task.clone(), self.last);
        ends.in_order.insert(self.last, End { status, uuid, told, streams: u8::from(told.is_some()) });
    }

    fn remove(&mut self, framework: &FrameworkId, at: u64) {
        let Some(ends) = self.all.get_mut(framework) else { return };
        let Some(end) = ends.in_order.remove(&at) else { return };
        ends.of_task.remove(&end.status.task);
        if ends.in_order.is_empty() {
            self.all.remove(framework);
        }
        if let Some(told) = end.told {
            self.told.remove(&(told, framework.clone(), at));
        }
        self.count -= 1;
    }

    /// The name is used again, or something newer was said of it.
    pub(crate) fn take(&mut self, framework: &FrameworkId, task: &TaskId) {
        if let Some(at) = self.all.get(framework).and_then(|ends| ends.of_task.get(task)).copied() {
            self.remove(framework, at);
        }
    }

    /// The framework acknowledges what the agent of a task has said. Whether that was such an end, which needs not be said again.
    pub(crate) fn acknowledge(&mut self, framework: &FrameworkId, task: &TaskId, uuid: UpdateUuid) -> bool {
        let Some(ends) = self.all.get(framework) else { return false };
        let Some(at) = ends.of_task.get(task).copied() else { return false };
        let is_it = ends.in_order.get(&at).is_some_and(|end| end.uuid == Some(uuid));
        if is_it {
            self.remove(framework, at);
        }
        is_it
    }

    /// The framework is gone.
    pub(crate) fn forget(&mut self, framework: &FrameworkId) {
        for at in self.places_of(framework) {
            self.remove(framework, at);
        }
    }

    fn places_of(&self, framework: &FrameworkId) -> Vec<u64> {
        self.all.get(framework).map(|ends| ends.in_order.keys().copied().collect()).unwrap_or_default()
    }

    /// The stream of a framework has ended: what was said on it lately may not have been heard, and waits for the next.
    pub(crate) fn doubt(&mut self, framework: &FrameworkId, now: Mono) {
        self.forget_heard(now);
        for (at, end) in self.all.get_mut(framework).into_iter().flat_map(|ends| &mut ends.in_order) {
            if let Some(told) = end.told.take() {
                self.told.remove(&(told, framework.clone(), *at));
            }
        }
    }

    /// What is said on a new stream of the framework, the oldest first.
    fn tell_again(&mut self, framework: &FrameworkId, now: Mono) -> Vec<Arc<TaskStatus>> {
        self.doubt(framework, now);
        let mut said = Vec::new();
        for (at, end) in self.all.get_mut(framework).into_iter().flat_map(|ends| &mut ends.in_order) {
            end.streams += 1;
            end.told = Some(now);
            self.told.insert((now, framework.clone(), *at));
            said.push((*at, end.status.clone(), end.streams));
        }
        for (at, ..) in said.iter().filter(|(.., streams)| *streams >= MOST_STREAMS) {
            self.remove(framework, *at);
        }
        said.into_iter().map(|(_, status, _)| status).collect()
    }

    /// Forgets what was said so long ago that its stream would be known to be broken.
    pub(crate) fn forget_heard(&mut self, now: Mono) {
        while let Some((told, id, at)) = self.told.first()
            && *told + BROKEN_UNNOTICED <= now
        {
            let (id, at) = (id.clone(), *at);
            self.remove(&id, at);
        }
    }
}

impl Master {
    /// Remembers an end of the master's own, which was just said if somebody was there to hear it. Of a name that is in use nothing is
    /// remembered: it would be said of another task.
    pub(crate) fn remember_end(&mut self, key: &TaskKey, status: &Arc<TaskStatus>) {
        self.remember_named_end(key, status, None);
    }

    /// As [`Master::remember_end`], of one that its agent has said under a name.
    fn remember_named_end(&mut self, key: &TaskKey, status: &Arc<TaskStatus>, uuid: Option<UpdateUuid>) {
        let Some(framework) = self.books.frameworks.get(&key.framework) else { return };
        let told = framework.stream().map(|_| self.now.mono);
        if !self.books.tasks.contains_key(key) {
            self.own_ends.note(&key.framework, status.clone(), uuid, told);
        }
    }

    /// Completes a task that has ended, when its agent can repeat the end no more: what its framework has not acknowledged is an end of
    /// the master's own from now on. The reason and the message are for an end whose update never came.
    pub(crate) fn complete_ended(&mut self, key: &TaskKey, reason: Reason, message: &str) {
        let Some(task) = self.books.tasks.get(key) else { return };
        let ends = || task.statuses.iter().rev().filter(|status| status.state.is_terminal());
        let was_told =
            ends().find(|status| status.uuid.is_some_and(|uuid| task.unacknowledged.contains(&uuid)));
        let said = was_told.or_else(|| ends().next());
        let uuid = said.and_then(|status| status.uuid);
        let end = match said {
            Some(status) => TaskStatus { uuid: None, ..TaskStatus::clone(status) },
            None => self.status_by_master(key, task.state, reason, message),
        };
        let (end, is_told) = (Arc::new(end), was_told.is_some());
        self.complete_task(key);
        if !is_told {
            // This master only knows that there is such an end.
            self.tell_framework(&key.framework, SchedulerEvent::Update(end.clone()));
        }
        self.remember_named_end(key, &end, uuid);
    }

    /// Says on a new stream what may have been said on a broken one, or to nobody. Its capabilities may be others than at the time.
    pub(crate) fn repeat_own_ends(&mut self, id: &FrameworkId) {
        for mut status in self.own_ends.tell_again(id, self.now.mono) {
            let state = match status.state {
                fine @ (TaskState::Dropped | TaskState::Gone | TaskState::GoneByOperator) => {
                    self.or_lost(id, fine)
                }
                other => other,
            };
            if state != status.state {
                Arc::make_mut(&mut status).state = state;
            }
            self.tell_framework(id, SchedulerEvent::Update(status));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(framework: usize) -> FrameworkId {
        FrameworkId::new(format!("f{framework}")).expect("valid")
    }

    fn end(task: usize) -> Arc<TaskStatus> {
        let task = TaskId::new(format!("t{task}")).expect("valid");
        Arc::new(TaskStatus::new(task, TaskState::Lost))
    }

    fn at(seconds: u64) -> Mono {
        Mono::default() + Duration::from_secs(seconds)
    }

    #[test]
    fn a_framework_has_so_many_and_the_oldest_make_room() {
        let mut ends = OwnEnds::default();
        (0..MAX_OWN_ENDS + 2).for_each(|task| ends.note(&id(0), end(task), None, None));
        assert_eq!((ends.sizes(), ends.agrees()), ((1, MAX_OWN_ENDS, MAX_OWN_ENDS), true));
        let said = ends.tell_again(&id(0), at(1));
        assert_eq!((said.first(), said.last()), (Some(&end(2)), Some(&end(MAX_OWN_ENDS + 1))));
    }

    #[test]
    fn all_have_so_many_together_and_what_was_told_longest_ago_makes_room() {
        let mut ends = OwnEnds::default();
        let frameworks = MAX_OWN_ENDS_OF_ALL / MAX_OWN_ENDS;
        for framework in 0..frameworks {
            let told = (framework == 1).then(|| at(1));
            (0..MAX_OWN_ENDS).for_each(|task| ends.note(&id(framework), end(task), None, told));
        }
        ends.note(&id(frameworks), end(0), None, None);
        assert_eq!(ends.sizes(), (frameworks + 1, MAX_OWN_ENDS, MAX_OWN_ENDS_OF_ALL));
        assert_eq!(
            ends.tell_again(&id(1), at(2)).first(),
            Some(&end(1)),
            "the first of these was told first"
        );
        ends.doubt(&id(1), at(2));
        ends.note(&id(frameworks + 1), end(0), None, None);
        assert_eq!(ends.sizes().0, frameworks + 1, "nobody was told any of them: all are owed");
        assert!(ends.agrees());
    }

    #[test]
    fn what_was_said_is_forgotten_after_an_hour_and_what_was_not_stays() {
        let mut ends = OwnEnds::default();
        ends.note(&id(0), end(0), None, Some(at(0)));
        ends.note(&id(1), end(1), None, None);
        ends.note(&id(2), end(2), None, Some(at(0)));
        ends.doubt(&id(2), at(1));
        ends.forget_heard(at(3_599));
        assert_eq!(ends.sizes().2, 3);
        ends.forget_heard(at(3_600));
        assert_eq!(ends.tasks().map(|key| key.framework).collect::<Vec<_>>(), [id(1), id(2)]);
        assert!(ends.agrees());
    }

    #[test]
    fn who_subscribes_in_a_loop_does_not_hear_of_an_end_for_ever() {
        let mut ends = OwnEnds::default();
        ends.note(&id(0), end(0), None, Some(at(0)));
        let heard = (1..10).filter(|second| !ends.tell_again(&id(0), at(*second)).is_empty()).count();
        assert_eq!((heard, ends.sizes().2, ends.agrees()), (usize::from(MOST_STREAMS) - 1, 0, true));
    }
}
