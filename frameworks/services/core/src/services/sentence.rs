//! Stops many instances in parts of bounded work, so that nobody else waits long: those that clients want killed, and those that
//! are too many. Who asked is answered when all of them are on their way out, and not before that is durable.

use std::collections::VecDeque;

use chapada_model::{Mono, Now};

use super::{AppState, Services};
use crate::event::{Effect, Refusal, Reply};
use crate::id::{AppId, InstanceId};
use crate::instance::{Instance, Task};

/// So many instances are stopped in one go at most.
const STOPPED_AT_ONCE: usize = 1_024;
/// So many places of an app are added in one go at most.
pub(super) const ADDED_AT_ONCE: usize = 4_096;

/// Instances that are to be stopped.
#[derive(Debug, Default)]
pub(super) struct Sentence {
    pub(super) instances: VecDeque<InstanceId>,
    /// Whether what is kept for them is given back.
    pub(super) wipe: bool,
    pub(super) told: Told,
}

/// What its client is told when it is carried out.
#[derive(Debug, Default)]
pub(super) enum Told {
    /// There is none.
    #[default]
    Nobody,
    /// These tasks, as they were.
    Tasks(Vec<(AppId, Task)>),
    /// These instances, as they were.
    Instances(Vec<Instance>),
    This(Reply),
}

/// What is left to be done when there is time, and since when.
#[derive(Debug, Default)]
pub(super) struct Left {
    sentences: VecDeque<(Option<u64>, Sentence)>,
    /// Apps that have more to do.
    apps: Vec<AppId>,
    since: Mono,
}

impl Left {
    /// Whether there is nothing left.
    fn is_empty(&self) -> bool {
        self.sentences.is_empty() && self.apps.is_empty()
    }

    /// When it is to be gone on with, if there is something.
    pub(super) fn due(&self) -> Option<Mono> {
        (!self.is_empty()).then_some(self.since)
    }
}

impl Services {
    /// Begins to carry out what a client wants.
    pub(super) fn condemn(&mut self, now: Now, request: u64, sentence: Result<Sentence, Refusal>) {
        match sentence {
            Ok(sentence) => {
                self.note_sentence(now, Some(request), sentence);
                self.carry_on(now);
            }
            Err(why) => self.outbox.push(Effect::Answer { request, answer: Err(why) }),
        }
    }

    /// Stops instances of an app that are too many: the rest of them, if there are very many, when there is time.
    pub(super) fn stop_instances(&mut self, now: Now, app: &AppId, instances: Vec<InstanceId>) {
        let mut left: VecDeque<InstanceId> = instances.into();
        for id in left.drain(..left.len().min(STOPPED_AT_ONCE)) {
            self.stop_instance(app, &id);
        }
        if !left.is_empty() {
            self.note_sentence(now, None, Sentence { instances: left, ..Sentence::default() });
        }
    }

    /// The app has more to do when there is time.
    pub(super) fn look_again(&mut self, now: Now, app: &AppId) {
        self.left.since = now.mono;
        self.left.apps.push(app.clone());
    }

    /// Whether instances of an app are being stopped: until that is done nothing else is decided about how many there are.
    pub(super) fn is_sentenced(state: &AppState) -> bool {
        state.sentenced > 0
    }

    fn note_sentence(&mut self, now: Now, request: Option<u64>, sentence: Sentence) {
        self.left.since = now.mono;
        for id in &sentence.instances {
            if let Some(state) = self.apps.get_mut(id.app()) {
                state.sentenced += 1;
            }
        }
        self.left.sentences.push_back((request, sentence));
    }

    /// Does a part of what is left.
    pub(super) fn carry_on(&mut self, now: Now) {
        self.left.since = now.mono;
        self.touched.extend(std::mem::take(&mut self.left.apps));
        let mut count = STOPPED_AT_ONCE;
        while let Some((request, mut sentence)) = self.left.sentences.pop_front() {
            let part = sentence.instances.len().min(count);
            count -= part;
            for id in sentence.instances.drain(..part).collect::<Vec<_>>() {
                self.carry_out(now, &id, sentence.wipe, &mut sentence.told);
            }
            if !sentence.instances.is_empty() {
                self.left.sentences.push_front((request, sentence));
                return;
            }
            if let Some((request, answer)) = request.zip(sentence.told.reply()) {
                self.outbox.push(Effect::Answer { request, answer: Ok(answer) });
            }
        }
    }

    fn carry_out(&mut self, now: Now, id: &InstanceId, wipe: bool, told: &mut Told) {
        let Some(state) = self.apps.get_mut(id.app()) else { return };
        state.sentenced = state.sentenced.saturating_sub(1);
        if let Some(instance) = state.instances.get(id) {
            told.note(instance);
        }
        if wipe {
            self.lose_home(now.mono, id);
        }
        self.stop_instance(id.app(), id);
        self.touched.insert(id.app().clone());
    }
}

impl Told {
    fn note(&mut self, instance: &Instance) {
        match self {
            Self::Tasks(tasks) => {
                tasks.extend(instance.task().map(|task| (instance.id.app().clone(), task.clone())));
            }
            Self::Instances(instances) => instances.push(instance.clone()),
            Self::Nobody | Self::This(_) => {}
        }
    }

    fn reply(self) -> Option<Reply> {
        match self {
            Self::Nobody => None,
            Self::Tasks(tasks) => Some(Reply::Killed(tasks)),
            Self::Instances(instances) => Some(Reply::KilledInstances(instances)),
            Self::This(reply) => Some(reply),
        }
    }
}
