//! Books for tests: some agents with tasks of two frameworks, and a third that is subscribed and has offers, a task on each
//! agent and an executor of its own.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::Arc;

use chapada_master_core::{
    Effect, Event, Held, HeldExecutor, HeldTask, LinkId, Master, OfferConstraints, RegistryState, Settings,
    Snapshot, StreamId,
};
use chapada_model::{
    AgentDescription, ExecutorDescription, FrameworkDescription, Now, TaskDescription, TaskState, TaskStatus,
};
use chapada_wire::v1;
use chapada_wire::v1::framework_info::capability::Type as Capability;

fn scalar(name: &str, value: f64) -> v1::Resource {
    v1::Resource {
        name: Some(name.to_owned()),
        r#type: Some(v1::value::Type::Scalar.into()),
        scalar: Some(v1::value::Scalar { value: Some(value) }),
        ..v1::Resource::default()
    }
}

fn ports(begin: u64, end: u64) -> v1::Resource {
    let range = v1::value::Range { begin: Some(begin), end: Some(end) };
    v1::Resource {
        name: Some("ports".to_owned()),
        r#type: Some(v1::value::Type::Ranges.into()),
        ranges: Some(v1::value::Ranges { range: vec![range] }),
        ..v1::Resource::default()
    }
}

/// A task that its agent runs, or has run.
pub(crate) fn task_of(agent: usize, number: usize) -> HeldTask {
    let info = v1::TaskInfo {
        name: Some(format!("the \"{number}\"th")),
        task_id: Some(v1::TaskId { value: Some(format!("task-{agent}-{number}")) }),
        agent_id: Some(v1::AgentId { value: Some(format!("agent-{agent}")) }),
        command: Some(v1::CommandInfo { value: Some("true".to_owned()), ..v1::CommandInfo::default() }),
        container: Some(v1::ContainerInfo {
            r#type: Some(v1::container_info::Type::Mesos.into()),
            hostname: Some("inside".to_owned()),
            ..v1::ContainerInfo::default()
        }),
        resources: vec![scalar("cpus", 0.1), ports(31_000 + number as u64, 31_000 + number as u64)],
        ..v1::TaskInfo::default()
    };
    let description = TaskDescription::try_from(&info).unwrap();
    // Some have ended and are history at once, as nobody has to acknowledge it.
    let state = if number.is_multiple_of(3) { TaskState::Finished } else { TaskState::Running };
    let latest = TaskStatus::new(description.id.clone(), state);
    HeldTask {
        framework: format!("framework-{}", number % 2).parse().unwrap(),
        task: Arc::new(description),
        latest: Some(latest),
        acknowledged: None,
    }
}

pub(crate) fn framework(number: usize) -> FrameworkDescription {
    let info = v1::FrameworkInfo {
        user: Some("root".to_owned()),
        name: Some(format!("framework {number}")),
        id: Some(v1::FrameworkId { value: Some(format!("framework-{number}")) }),
        failover_timeout: Some(1e6),
        roles: vec!["*".to_owned()],
        capabilities: [Capability::MultiRole, Capability::PartitionAware]
            .map(|capability| v1::framework_info::Capability { r#type: Some(capability.into()) })
            .to_vec(),
        ..v1::FrameworkInfo::default()
    };
    FrameworkDescription::try_from(&info).unwrap()
}

pub(crate) fn agent(number: usize) -> AgentDescription {
    let info = v1::AgentInfo {
        hostname: Some(format!("host-{number}")),
        id: Some(v1::AgentId { value: Some(format!("agent-{number}")) }),
        resources: vec![scalar("cpus", 4.0), scalar("mem", 1_024.0), ports(31_000, 32_000)],
        ..v1::AgentInfo::default()
    };
    AgentDescription::try_from(&info).unwrap()
}

fn executor() -> HeldExecutor {
    let info = v1::ExecutorInfo {
        executor_id: Some(v1::ExecutorId { value: Some("an-executor".to_owned()) }),
        ..v1::ExecutorInfo::default()
    };
    let executor = ExecutorDescription::try_from(&info).unwrap();
    HeldExecutor { framework: "framework-2".parse().unwrap(), executor }
}

fn apply(master: &mut Master, now: Now, event: Event) {
    let mut effects = VecDeque::from(master.apply(now, event));
    while let Some(effect) = effects.pop_front() {
        if let Effect::Record { ticket, .. } = effect {
            effects.extend(master.apply(now, Event::Recorded { ticket }));
        }
    }
}

/// The books. One agent is away, and what it ran is unreachable.
pub(crate) fn books() -> Arc<Snapshot> {
    let mut now = Now::default();
    let mut master = Master::recover(now, Settings::new("master"), RegistryState::default());
    for number in 0..4 {
        let held = Held {
            tasks: (0..7).map(|each| task_of(number, each)).collect(),
            frameworks: (0..3).map(framework).collect(),
            executors: vec![executor()],
            ..Held::default()
        };
        let link = LinkId(number as u64);
        let (from, agent) = (Ipv4Addr::LOCALHOST.into(), agent(number));
        apply(&mut master, now, Event::AgentConnected { link, from, agent, held });
    }
    let lost = Event::LinkClosed { link: LinkId(3), agent: "agent-3".parse().unwrap(), last_heard: now.mono };
    apply(&mut master, now, lost);
    let is_away = |books: &Snapshot| books.tasks.values().any(|task| task.state == TaskState::Unreachable);
    wait(&mut master, &mut now, is_away);
    let subscribe = Event::Subscribe {
        stream: StreamId("stream".into()),
        framework: framework(2),
        suppressed: Vec::new(),
        constraints: Arc::new(OfferConstraints::default()),
    };
    apply(&mut master, now, subscribe);
    Arc::new(wait(&mut master, &mut now, |books| !books.offers.is_empty()))
}

/// Lets time pass until something is so.
fn wait(master: &mut Master, now: &mut Now, is_so: impl Fn(&Snapshot) -> bool) -> Snapshot {
    for _ in 0..1_000 {
        let books = master.snapshot();
        if is_so(&books) {
            return books;
        }
        now.mono = master.next_wakeup().expect("something is to happen").max(now.mono);
        apply(master, *now, Event::Tick);
    }
    panic!("it does not come to be so: {:?}", master.snapshot());
}
