//! Gathers what an explanation rests on, part by part: it takes a look at each instance of an app and at each agent that is known.

use chapada_model::{AgentId, Mono, Now};

use super::{AppState, KnownOffer, Services};
use crate::id::{AppId, Uuid};
use crate::instance::{Condition, Goal, Instance, Task};
use crate::resident::Home;
use crate::timestamp::Timestamp;
use crate::why::Inquiry;

/// An inquiry about an app or pod that is being put together.
#[derive(Clone, Debug)]
pub struct Inquiring {
    id: AppId,
    place: Place,
    pub(super) tasks: Noticed,
    known: Vec<KnownOffer>,
    newest: Option<Timestamp>,
    absent: usize,
}

/// What became of a part of an inquiry.
#[derive(Debug)]
pub enum Inquired {
    /// There is more to look at.
    InPart(Box<Inquiring>),
    /// That was all.
    Whole(Box<Inquiry>),
    /// There is no such app or pod.
    Nothing,
}

/// Where an inquiry goes on.
#[derive(Clone, Debug)]
enum Place {
    /// With the instances after this one.
    Instances(Option<Uuid>),
    /// With the agents after this one; of those seen since.
    Agents(Option<AgentId>, Mono),
    End,
}

/// What is of note about the instances of an app.
#[derive(Clone, Debug, Default)]
pub(super) struct Noticed {
    pub(super) starting: Several,
    pub(super) unhealthy: Several,
    pub(super) unready: Several,
    /// Those whose health checks have said nothing yet.
    pub(super) unchecked: Several,
    pub(super) stopping: Several,
    pub(super) unreachable: Several,
    /// How many are believed to do their work.
    pub(super) good: usize,
    /// How many of them the master has not spoken of since it was reached.
    pub(super) unheard: usize,
    /// How many others of them have checks that this process has no answer of yet.
    pub(super) unasked: usize,
    /// How many wait without a home.
    pub(super) homeless: usize,
    /// Homes of those that wait.
    pub(super) away: Homes,
    /// Homes of those that are out of reach.
    pub(super) out_of_reach: Homes,
}

/// So many tasks, and the first of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Several {
    pub(super) count: usize,
    pub(super) first: Option<Box<Task>>,
}

/// So many homes, and the first of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Homes {
    pub(super) count: usize,
    pub(super) first: Option<Home>,
}

impl Inquiring {
    /// About this app or pod; nothing was looked at yet.
    pub fn about(id: AppId) -> Self {
        let (place, tasks) = (Place::Instances(None), Noticed::default());
        Self { id, place, tasks, known: Vec::new(), newest: None, absent: 0 }
    }

    /// Which app or pod it is about.
    pub fn id(&self) -> &AppId {
        &self.id
    }
}

impl Services {
    /// All that is needed to say why an app or pod is not where it should be; `None` when there is no such thing. Costs as
    /// much as a look at each of its tasks and at each known agent; working it out is [`Inquiry::answer`].
    pub fn inquire(&self, now: Now, id: &AppId) -> Option<Inquiry> {
        let mut inquiring = Inquiring::about(id.clone());
        loop {
            match self.inquire_on(now, inquiring, usize::MAX) {
                Inquired::InPart(part) => inquiring = *part,
                Inquired::Whole(inquiry) => return Some(*inquiry),
                Inquired::Nothing => return None,
            }
        }
    }

    /// The same in parts of `most` looks at most.
    pub fn inquire_on(&self, now: Now, mut inquiring: Inquiring, most: usize) -> Inquired {
        let Some(state) = self.spec(&inquiring.id) else { return Inquired::Nothing };
        let mut left = most;
        while left > 0 {
            inquiring.place = match std::mem::replace(&mut inquiring.place, Place::End) {
                Place::Instances(after) => {
                    self.look_at_instances(now, state, &mut inquiring, after, &mut left)
                }
                Place::Agents(after, since) => {
                    self.look_at_agents(state, &mut inquiring, (after, since), &mut left)
                }
                Place::End => {
                    let Inquiring { tasks, known, newest, absent, .. } = inquiring;
                    return Inquired::Whole(Box::new(self.inquiry(
                        now,
                        state,
                        &tasks,
                        (known, newest, absent),
                    )));
                }
            };
        }
        Inquired::InPart(Box::new(inquiring))
    }

    fn look_at_instances(
        &self,
        now: Now,
        state: &AppState,
        inquiring: &mut Inquiring,
        after: Option<Uuid>,
        left: &mut usize,
    ) -> Place {
        let mut last = after;
        for instance in state.instances.after(after) {
            if *left == 0 {
                return Place::Instances(last);
            }
            *left -= 1;
            inquiring.tasks.note(state, instance);
            inquiring.tasks.note_good(instance, self.subscription);
            last = Some(instance.id.uuid());
        }
        Place::Agents(None, self.known.since(now.mono, &self.role_of_offers(state)))
    }

    fn look_at_agents(
        &self,
        state: &AppState,
        inquiring: &mut Inquiring,
        (after, since): (Option<AgentId>, Mono),
        left: &mut usize,
    ) -> Place {
        let role = self.role_of_offers(state);
        let mut last: Option<&AgentId> = None;
        for (agent, known) in self.known.after(&role, after.as_ref()) {
            if *left == 0 {
                return Place::Agents(last.cloned().or(after), since);
            }
            *left -= 1;
            inquiring.newest = inquiring.newest.max(Some(known.at));
            match known.seen >= since {
                true => inquiring.known.push(known.clone()),
                false => inquiring.absent += 1,
            }
            last = Some(agent);
        }
        Place::End
    }
}

impl Noticed {
    fn note(&mut self, state: &AppState, instance: &Instance) {
        let home = state.homes.get(&instance.id);
        let Some(task) = instance.task() else {
            self.homeless += usize::from(home.is_none());
            return self.away.note(home);
        };
        let stays = instance.goal == Goal::Run;
        match task.condition {
            Condition::Unreachable => {
                self.unreachable.note(task);
                self.out_of_reach.note(home);
            }
            _ if !stays => self.stopping.note(task),
            Condition::Provisioned | Condition::Staging | Condition::Starting => self.starting.note(task),
            Condition::Running => self.note_running(task),
            Condition::Killing => {}
        }
    }

    fn note_good(&mut self, instance: &Instance, subscription: u32) {
        let is_good = instance.goal == Goal::Run && instance.is_good();
        let Some(task) = instance.task().filter(|_| is_good) else { return };
        let is_heard = task.heard() == subscription;
        self.good += 1;
        self.unheard += usize::from(!is_heard);
        self.unasked += usize::from(is_heard && !task.is_checked());
    }

    fn note_running(&mut self, task: &Task) {
        if task.healthy == Some(false) {
            self.unhealthy.note(task);
        }
        if !task.ready {
            self.unready.note(task);
        } else if task.healthy.is_none() && !task.health.is_empty() {
            self.unchecked.note(task);
        }
    }
}

impl Several {
    /// The first is the one of which this has been so for longest.
    fn note(&mut self, task: &Task) {
        self.count += 1;
        let is_first = |first: &Task| (task.since, &task.id) < (first.since, &first.id);
        if self.first.as_deref().is_none_or(is_first) {
            self.first = Some(Box::new(task.clone()));
        }
    }
}

impl Homes {
    fn note(&mut self, home: Option<&Home>) {
        let Some(home) = home else { return };
        self.count += 1;
        if self.first.is_none() {
            self.first = Some(home.clone());
        }
    }
}
