//! A cluster around the core for tests: agents that hold what they are told to launch, streams, a registry. After every
//! event the audit must be clean, and nothing may be sent where nobody listens.

mod agent;
mod build;
mod drains;
mod versions;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

pub(crate) use agent::SimAgent;
pub(crate) use build::{command_task, description, executor, framework};
use chapada_master_core::{
    AgentCommand, AgentState, Call, CallRefused, Caller, Effect, Event, FrameworkState, Held, LinkId, Master,
    OperatorCall, OperatorRefused, RegistryChange, RegistryState, SchedulerEvent, Settings, Snapshot,
    StreamId, TaskPhase, Ticket, audit,
};
use chapada_model::{AgentId, FrameworkId, Mono, Now, OfferId, Resources, TaskKey, TaskStatus, Wall};

/// Everything around one master.
pub(crate) struct World {
    pub(crate) now: Now,
    pub(crate) master: Master,
    /// What is durable.
    pub(crate) registry: RegistryState,
    /// What is asked to be durable and is not yet, oldest first.
    pub(crate) tickets: VecDeque<(Ticket, RegistryChange)>,
    /// Whether records become durable at once.
    pub(crate) records_at_once: bool,
    pub(crate) agents: Vec<SimAgent>,
    /// Open streams.
    pub(crate) streams: BTreeMap<StreamId, Option<FrameworkId>>,
    /// What each stream has received, closed ones included.
    pub(crate) received: BTreeMap<StreamId, Vec<SchedulerEvent>>,
    pub(crate) refused_streams: Vec<String>,
    pub(crate) dropped: Vec<String>,
    pub(crate) warned: Vec<String>,
    next_link: u64,
    next_stream: u64,
    masters: u64,
    /// What the registry is said to be of, by what was asked of it.
    version: u32,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with_settings(Settings::new("m1"))
    }

    pub(crate) fn with_settings(settings: Settings) -> Self {
        let now = Now { mono: Mono(1), wall: Wall(1_700_000_000_000_000_000) };
        let registry = RegistryState { epoch: 1, ..RegistryState::default() };
        Self {
            now,
            master: Master::recover(now, settings, registry.clone()),
            registry,
            tickets: VecDeque::new(),
            records_at_once: true,
            agents: Vec::new(),
            streams: BTreeMap::new(),
            received: BTreeMap::new(),
            refused_streams: Vec::new(),
            dropped: Vec::new(),
            warned: Vec::new(),
            next_link: 0,
            next_stream: 0,
            masters: 1,
            version: 1,
        }
    }

    /// The books.
    pub(crate) fn books(&self) -> Snapshot {
        self.master.snapshot()
    }

    /// Lets time pass; what is due on the way happens when it is due.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now.mono + time;
        let wall = self.now.wall;
        let begin = self.now.mono;
        while let Some(at) = self.master.next_wakeup().filter(|at| *at <= end) {
            let mono = at.max(self.now.mono);
            self.now = Now { mono, wall: wall + mono.since(begin) };
            self.apply(Event::Tick);
        }
        self.now = Now { mono: end, wall: wall + end.since(begin) };
    }

    /// Lets what waits for a plan be planned.
    pub(crate) fn settle(&mut self) {
        self.pass(Duration::from_millis(2));
    }

    pub(crate) fn apply(&mut self, event: Event) {
        let before = self.books();
        let effects = self.master.apply(self.now, event.clone());
        self.after(&before, effects, &format!("{event:?}"));
    }

    /// The leader was suspended for so long, and goes on.
    pub(crate) fn suspend(&mut self, time: Duration) {
        self.now = Now { mono: self.now.mono + time, wall: self.now.wall + time };
        let before = self.books();
        let effects = self.master.resume(self.now);
        self.after(&before, effects, "a resumption");
    }

    /// Makes a call as the open stream of a framework.
    pub(crate) fn call(&mut self, framework: &FrameworkId, call: Call) -> Result<(), CallRefused> {
        let stream = self.books().frameworks.get(framework).and_then(|f| f.stream().cloned());
        self.call_as(&Caller { framework: framework.clone(), stream, principal: None }, call)
    }

    pub(crate) fn call_as(&mut self, caller: &Caller, call: Call) -> Result<(), CallRefused> {
        let before = self.books();
        let text = format!("{call:?}");
        let verdict = self.master.apply_call(self.now, caller, call);
        let (effects, verdict) = match verdict {
            Ok(effects) => (effects, Ok(())),
            Err(refused) => (Vec::new(), Err(refused)),
        };
        self.after(&before, effects, &text);
        verdict
    }

    /// Makes a call as an operator.
    pub(crate) fn operator(&mut self, call: OperatorCall) -> Result<(), OperatorRefused> {
        let (before, text) = (self.books(), format!("{call:?}"));
        let verdict = self.master.apply_operator(self.now, call);
        let (effects, verdict) = match verdict {
            Ok((effects, _)) => (effects, Ok(())),
            Err(refused) => (Vec::new(), Err(refused)),
        };
        self.after(&before, effects, &text);
        verdict
    }

    pub(crate) fn after(&mut self, before: &Snapshot, effects: Vec<Effect>, what: &str) {
        for effect in effects {
            self.execute(effect, what);
        }
        let violations = audit(&self.master);
        assert!(violations.is_empty(), "after {what}: {violations:#?}");
        self.check_terminal(before, what);
        self.check_drain_waits(what);
        if self.records_at_once {
            self.record_all();
        }
    }

    /// I4: a task that has ended by word of its agent does not live again.
    fn check_terminal(&self, before: &Snapshot, what: &str) {
        let after = self.books();
        for (key, task) in before.tasks.iter().filter(|(_, task)| task.phase == TaskPhase::Ended) {
            let now = after.tasks.get(key);
            assert!(
                now.is_none_or(|now| now.phase == TaskPhase::Ended && now.state == task.state),
                "{key} had ended as {task:?} and now is {now:?}, after {what}"
            );
        }
    }

    fn execute(&mut self, effect: Effect, what: &str) {
        match effect {
            Effect::ToFramework { framework, stream, event } => {
                let open = self.streams.get_mut(&stream).expect("events go to open streams");
                assert!(
                    open.as_ref().is_none_or(|id| *id == framework),
                    "{stream:?} is another's, after {what}"
                );
                let is_first = open.is_none() && !matches!(event, SchedulerEvent::Error { .. });
                assert!(
                    !is_first || event == SchedulerEvent::Subscribed,
                    "{event:?} comes first, after {what}"
                );
                if is_first {
                    *open = Some(framework);
                }
                self.received.entry(stream).or_default().push(event);
            }
            Effect::RefuseStream { stream, message, .. } => {
                self.streams.remove(&stream);
                self.refused_streams.push(message.to_string());
            }
            Effect::CloseStream { stream } => drop(self.streams.remove(&stream)),
            Effect::ToAgent { link, command, .. } => self.tell_agent(link, command, what),
            Effect::CloseLink { link } => {
                if let Some(agent) = self.agents.iter_mut().find(|agent| agent.link == Some(link)) {
                    agent.link = None;
                    agent.is_welcome = false;
                }
            }
            Effect::Record { ticket, change } => self.tickets.push_back((ticket, change)),
            Effect::Operator(_) => {}
            Effect::Dropped { what } => self.dropped.push(what),
            Effect::Warn { what } => self.warned.push(what),
        }
    }

    fn tell_agent(&mut self, link: LinkId, command: AgentCommand, what: &str) {
        let agent = self.agents.iter_mut().find(|agent| agent.link == Some(link));
        let agent = agent.unwrap_or_else(|| panic!("{command:?} goes to a closed link, after {what}"));
        agent.obey(command);
    }

    /// Makes the oldest change durable and says so.
    pub(crate) fn record_one(&mut self) -> bool {
        let Some((ticket, change)) = self.tickets.pop_front() else { return false };
        self.version = self.version.max(change.version());
        self.registry.apply(change.clone());
        versions::check(&change, &self.registry);
        assert!(self.registry.version() <= self.version, "a former build would misread what is there");
        self.apply(Event::Recorded { ticket });
        true
    }

    pub(crate) fn record_all(&mut self) {
        while self.record_one() {}
    }

    /// An agent of so much appears and connects.
    pub(crate) fn add_agent(&mut self, resources: &str) -> usize {
        let resources: Resources = resources.parse().expect("valid resources");
        let index = self.agents.len();
        let machine = u16::try_from(index).expect("few agents");
        self.agents.push(SimAgent::new(machine, description(&format!("host{index}"), resources)));
        self.connect(index);
        index
    }

    /// The agent connects, a new link in place of an old one.
    pub(crate) fn connect(&mut self, index: usize) {
        if self.agents[index].description.id.is_none() {
            self.break_link(index);
        }
        self.next_link += 1;
        let link = LinkId(self.next_link);
        let agent = &mut self.agents[index];
        agent.link = Some(link);
        agent.is_welcome = false;
        agent.is_deaf = false;
        let frameworks: BTreeSet<&FrameworkId> = agent.tasks.keys().map(|key| &key.framework).collect();
        let frameworks = frameworks.into_iter().filter_map(|id| agent.frameworks.get(id).cloned()).collect();
        let held = Held {
            tasks: agent.held(),
            frameworks,
            executors: agent.held_executors(),
            operations: agent.held_operations(),
        };
        let (from, agent) = (agent.from, agent.description.clone());
        let event = Event::AgentConnected { link, from, agent, held };
        self.apply(event);
    }

    /// The agent tells of the completed tasks that its welcome wanted to hear of.
    pub(crate) fn tell_completed(&mut self, index: usize) {
        let agent = &mut self.agents[index];
        let most = std::mem::take(&mut agent.completed_wanted) as usize;
        let (Some(link), Some(id)) = (agent.link, agent.description.id.clone()) else { return };
        if most > 0 && agent.is_welcome {
            let tasks = agent.completed.iter().rev().take(most).cloned().collect();
            self.apply(Event::CompletedTasks { link, agent: id, tasks });
        }
    }

    /// The agent's link breaks.
    pub(crate) fn break_link(&mut self, index: usize) {
        let agent = &mut self.agents[index];
        agent.is_welcome = false;
        let Some(link) = agent.link.take() else { return };
        // An agent that was not welcomed has no id of its own yet; the books have one for it.
        let waits = |agent: &std::sync::Arc<chapada_master_core::Agent>| match agent.state {
            AgentState::Admitting { link: waiting } => waiting == link,
            _ => false,
        };
        let known = agent.description.id.clone();
        let id = known.or_else(|| {
            self.books().agents.values().find(|agent| waits(agent)).map(|agent| agent.id.clone())
        });
        if let Some(agent) = id {
            self.apply(Event::LinkClosed { link, agent, last_heard: self.now.mono });
        }
    }

    pub(crate) fn agent_id(&self, index: usize) -> AgentId {
        self.agents[index].description.id.clone().expect("the agent was welcomed")
    }

    /// A framework subscribes; its stream.
    pub(crate) fn subscribe(&mut self, framework: chapada_model::FrameworkDescription) -> StreamId {
        self.next_stream += 1;
        let stream = StreamId(format!("stream-{}", self.next_stream).into());
        self.streams.insert(stream.clone(), None);
        self.apply(Event::Subscribe {
            stream: stream.clone(),
            framework,
            suppressed: Vec::new(),
            constraints: Default::default(),
        });
        stream
    }

    /// A framework of this description that is subscribed.
    pub(crate) fn framework(
        &mut self,
        framework: chapada_model::FrameworkDescription,
    ) -> (FrameworkId, StreamId) {
        let stream = self.subscribe(framework);
        let id = self.streams.get(&stream).cloned().flatten().expect("subscribed");
        (id, stream)
    }

    pub(crate) fn close(&mut self, stream: &StreamId) {
        let Some(known) = self.streams.remove(stream) else { return };
        let waits = |framework: &std::sync::Arc<chapada_master_core::Framework>| match &framework.state {
            FrameworkState::Subscribing { stream: waiting } => waiting == stream,
            _ => false,
        };
        let id = known.or_else(|| self.books().frameworks.values().find(|f| waits(f)).map(|f| f.id.clone()));
        if let Some(framework) = id {
            self.apply(Event::StreamClosed { stream: stream.clone(), framework });
        }
    }

    /// The events a stream has received since the last time.
    pub(crate) fn take(&mut self, stream: &StreamId) -> Vec<SchedulerEvent> {
        self.received.remove(stream).unwrap_or_default()
    }

    /// The statuses among them.
    pub(crate) fn take_updates(&mut self, stream: &StreamId) -> Vec<std::sync::Arc<TaskStatus>> {
        let events = self.take(stream).into_iter();
        events
            .filter_map(|event| if let SchedulerEvent::Update(s) = event { Some(s) } else { None })
            .collect()
    }

    /// The outstanding offers of a framework.
    pub(crate) fn offers(&self, framework: &FrameworkId) -> Vec<OfferId> {
        self.books().offers_of(framework).map(|offer| offer.id.clone()).collect()
    }

    /// The agent says something new of a task.
    pub(crate) fn update(&mut self, index: usize, key: &TaskKey, state: chapada_model::TaskState) {
        let agent = &mut self.agents[index];
        let (Some(link), Some(id)) = (agent.link, agent.description.id.clone()) else { return };
        let Some(status) = agent.say(key, state, self.now.wall) else { return };
        let (framework, is_welcome) = (key.framework.clone(), agent.is_welcome);
        if is_welcome {
            self.apply(Event::Update { link, agent: id, framework, status, latest: state });
        }
    }

    /// Another master leads, with what is durable; everyone has lost the old one.
    pub(crate) fn fail_over(&mut self) {
        let settings = Settings::new(format!("m{}", self.masters + 1));
        self.fail_over_with(settings);
    }

    pub(crate) fn fail_over_with(&mut self, settings: Settings) {
        self.masters += 1;
        self.tickets.clear();
        self.streams.clear();
        for agent in &mut self.agents {
            agent.link = None;
            agent.is_welcome = false;
        }
        self.registry.epoch += 1;
        self.master = Master::recover(self.now, settings, self.registry.clone());
        let violations = audit(&self.master);
        assert!(violations.is_empty(), "after a failover: {violations:#?}");
    }
}
