//! A cluster that offers what its agents have left whenever it is asked, and a store that is quick.

use std::collections::BTreeMap;
use std::time::Duration;

use chapada_model::{
    Attribute, AttributeValue, Disk, DiskKind, DiskSource, Domain, Milli, Mono, Now, OfferId, Range, Ranges,
    Reservation, Resource, Resources, Role, TaskId, TaskState, TaskStatus, Unavailability, Wall,
};
use chapada_services_core::{
    Action, AppId, Command, Effect, Event, Explanation, Inquired, Inquiring, Offer, Published, Refusal,
    Reply, Seed, Services, Update, Write,
};
use serde_json::{Map, Value};

const GIB: u64 = 1_024;

/// What an agent of a test is like.
#[derive(Clone, Debug)]
pub(crate) struct Agent(Offer);

impl Agent {
    /// So many CPUs in thousandths and MiB of memory, ports 31000 to 31009, and a GiB of disk.
    pub(crate) fn new(name: &str, cpus: u64, mem: u64) -> Self {
        let ports = Ranges::new([Range { begin: 31_000, end: 31_009 }]);
        let resources = Resources::from_list([
            Resource::scalar("cpus", Milli(cpus)),
            Resource::scalar("mem", Milli::whole(mem)),
            Resource::scalar("disk", Milli::whole(GIB)),
            Resource::ranges("ports", ports),
        ]);
        let id: OfferId = format!("offer-{name}").parse().expect("an id");
        Self(Offer::new(id, name.parse().expect("an id"), name, resources.expect("whole amounts")))
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.0.attributes.push(Attribute { name: name.into(), value: AttributeValue::Text(value.into()) });
        self
    }

    pub(crate) fn in_zone(mut self, zone: &str) -> Self {
        self.0.domain = Some(Domain { region: "here".into(), zone: zone.into() });
        self
    }

    pub(crate) fn gpus(mut self, count: u64) -> Self {
        let more = Resources::from_list([Resource::scalar("gpus", Milli::whole(count))]).expect("one");
        self.0.resources = self.0.resources.checked_add(&more).expect("another name");
        self
    }

    /// One more disk.
    pub(crate) fn disk(mut self, kind: DiskKind, root: &str, mib: u64) -> Self {
        let (root, metadata) = (Some(root.into()), Vec::new());
        let source = DiskSource { kind, root, vendor: None, id: None, profile: None, metadata };
        let disk = Some(Disk { source: Some(Box::new(source)), ..Disk::default() });
        let more = Resource { disk, ..Resource::scalar("disk", Milli::whole(mib)) };
        let all = self.0.resources.iter().cloned().chain([more]);
        self.0.resources = Resources::from_list(all).expect("whole amounts");
        self
    }

    pub(crate) fn ports(mut self, begin: u64, end: u64) -> Self {
        self.0.resources = self.0.resources.filter(|resource| &*resource.name != "ports");
        if begin <= end {
            let ports = Resource::ranges("ports", Ranges::new([Range { begin, end }]));
            let more = Resources::from_list([ports]).expect("one");
            self.0.resources = self.0.resources.checked_add(&more).expect("another name");
        }
        self
    }

    pub(crate) fn reserved_for(mut self, role: &str) -> Self {
        let reserved = |resource: &Resource| Resource {
            reservations: vec![Reservation::fixed(Role::new(role).expect("a role"))],
            ..resource.clone()
        };
        self.0.resources = Resources::from_list(self.0.resources.iter().map(reserved)).expect("as before");
        self
    }

    pub(crate) fn leaving(mut self) -> Self {
        self.0.unavailability = Some(Unavailability { start: Wall(0), duration: None });
        self
    }

    fn name(&self) -> String {
        self.0.hostname.to_string()
    }
}

/// Everything around the core.
pub(crate) struct Bed {
    pub(crate) services: Services,
    pub(crate) now: Now,
    agents: BTreeMap<String, Agent>,
    /// What each task took, and where; in the order of their launch.
    pub(crate) tasks: Vec<(TaskId, String, Resources)>,
    offers: u64,
    killed: Vec<TaskId>,
    /// Of the last deployment that began.
    pub(crate) steps: Vec<Vec<Action>>,
    /// Whether tasks run as soon as they are launched.
    pub(crate) runs: bool,
    pub(crate) answers: Vec<Result<Reply, Refusal>>,
    records: BTreeMap<String, Vec<u8>>,
}

impl Bed {
    pub(crate) fn new(agents: impl IntoIterator<Item = Agent>) -> Self {
        let mut bed = Self::unconnected(Role::star(), agents);
        bed.apply(Event::Subscribed);
        bed
    }

    pub(crate) fn of_role(role: &str, agents: impl IntoIterator<Item = Agent>) -> Self {
        let role = Role::new(role).expect("a role");
        let to_role = |Agent(offer): Agent| Agent(Offer { role: role.clone(), ..offer });
        let mut bed = Self::unconnected(role.clone(), agents.into_iter().map(to_role));
        bed.apply(Event::Subscribed);
        bed
    }

    pub(crate) fn unconnected(role: Role, agents: impl IntoIterator<Item = Agent>) -> Self {
        Self {
            services: Services::new(role, Seed::new(7, 0)),
            now: Now { mono: Mono(1), wall: Wall(1_000_000_000_000_000_000) },
            agents: agents.into_iter().map(|agent| (agent.name(), agent)).collect(),
            tasks: Vec::new(),
            offers: 0,
            killed: Vec::new(),
            steps: Vec::new(),
            runs: true,
            answers: Vec::new(),
            records: BTreeMap::new(),
        }
    }

    pub(crate) fn apply(&mut self, event: Event) {
        let mut effects = self.services.apply(self.now, event);
        while !effects.is_empty() {
            let mut events = Vec::new();
            effects.into_iter().for_each(|effect| self.execute(effect, &mut events));
            effects = events.into_iter().flat_map(|event| self.services.apply(self.now, event)).collect();
        }
    }

    fn execute(&mut self, effect: Effect, events: &mut Vec<Event>) {
        match effect {
            Effect::Store { number, writes } => {
                for write in writes {
                    match write {
                        Write::Put { key, value } => drop(self.records.insert(key, value)),
                        Write::Delete { key } => drop(self.records.remove(&key)),
                    }
                }
                events.push(Event::Stored(number));
            }
            Effect::Revive => events.push(self.offers()),
            Effect::Launch { tasks, .. } => {
                for launch in tasks {
                    let agent = self.agents.get_mut(launch.agent.as_str()).expect("a known agent");
                    agent.0.resources =
                        agent.0.resources.checked_sub(&launch.resources).expect("was offered");
                    let name = agent.name();
                    self.tasks.push((launch.task.clone(), name, launch.resources));
                    if self.runs {
                        events.push(update(&launch.task, TaskState::Running, ""));
                    }
                }
            }
            Effect::Publish(event) => {
                if let Published::Step { plan, .. } = *event {
                    self.steps = plan.steps;
                }
            }
            Effect::Kill { task, .. } => self.killed.push(task),
            Effect::Answer { answer, .. } => self.answers.push(answer),
            _ => {}
        }
    }

    fn offers(&mut self) -> Event {
        self.offers += 1;
        let number = self.offers;
        let numbered = |agent: &Agent| Offer {
            id: format!("{}-{number}", agent.0.id).parse().expect("an id"),
            ..agent.0.clone()
        };
        Event::Offers(
            self.agents.values().filter(|agent| !agent.0.resources.is_empty()).map(numbered).collect(),
        )
    }

    /// Another process takes over, and has not reached the master yet.
    pub(crate) fn restart(&mut self) {
        let (seed, records) = (Seed::new(8, 0), self.records.clone());
        self.services = Services::restore(Role::star(), seed, self.now, records).expect("own records");
    }

    pub(crate) fn create(&mut self, app: Value) {
        let Value::Object(definition) = app else { panic!("an app is an object") };
        self.command(Command::Create { definition, force: false });
    }

    pub(crate) fn update(&mut self, app: &str, fields: Map<String, Value>) {
        let app: AppId = app.parse().expect("an id");
        let updates = vec![Update { app, fields, partial: true, create: false }];
        self.command(Command::Update { updates, force: true });
    }

    pub(crate) fn command(&mut self, command: Command) {
        self.apply(Event::Command { request: 0, command });
        let answer = self.answers.last().expect("it was answered");
        assert!(answer.is_ok(), "{answer:?}");
    }

    /// News of the task that was launched at this place.
    pub(crate) fn say(&mut self, task: usize, state: TaskState, message: &str) {
        let task = self.tasks[task].0.clone();
        self.apply(update(&task, state, message));
    }

    pub(crate) fn pass(&mut self, seconds: u64) {
        let passed = Duration::from_secs(seconds);
        let nanos = passed.as_nanos() as u64;
        self.now = Now { mono: self.now.mono + passed, wall: Wall(self.now.wall.0 + nanos) };
        self.apply(Event::Tick);
    }

    /// Ends the tasks that are to stop, until none is left.
    pub(crate) fn end_old(&mut self) {
        while let Some(task) = self.killed.pop() {
            let at = self.tasks.iter().position(|(known, ..)| *known == task).expect("it was launched");
            let (_, host, resources) = &self.tasks[at];
            let agent = self.agents.get_mut(host).expect("a known agent");
            agent.0.resources = agent.0.resources.checked_add(resources).expect("it was taken");
            self.say(at, TaskState::Killed, "");
            let offers = self.offers();
            self.apply(offers);
            self.pass(1);
        }
    }

    pub(crate) fn lose(&mut self, agent: &str) {
        self.agents.remove(agent);
    }

    pub(crate) fn why(&self, app: &str) -> Explanation {
        let app: AppId = app.parse().expect("an id");
        let whole = self.services.inquire(self.now, &app).expect("it is there").answer();
        let mut inquiring = Inquiring::about(app);
        let in_parts = loop {
            match self.services.inquire_on(self.now, inquiring, 1) {
                Inquired::InPart(part) => inquiring = *part,
                Inquired::Whole(inquiry) => break inquiry.answer(),
                Inquired::Nothing => panic!("it is there"),
            }
        };
        assert_eq!(in_parts.reasons, whole.reasons);
        assert_eq!((in_parts.absent, in_parts.newest), (whole.absent, whole.newest));
        whole
    }
}

fn update(task: &TaskId, state: TaskState, message: &str) -> Event {
    let message = (!message.is_empty()).then(|| message.into());
    Event::Update(TaskStatus { message, ..TaskStatus::new(task.clone(), state) })
}
