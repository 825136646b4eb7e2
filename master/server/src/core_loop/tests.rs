use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use chapada_coordination::Lease;
use chapada_master_core::{AgentRecord, AgentState, FrameworkState, RegistryState, Settings, Standing};
use chapada_model::{Reason, TaskState, Wall};
use tokio::sync::oneshot::error::TryRecvError;

use super::alone::{Alone, Beginning, lead};
use super::thread::look;
use super::*;
use crate::sample;

/// What does not come by then does not come.
const DEADLINE: Duration = Duration::from_secs(60);

fn described(name: &str, id: Option<FrameworkId>) -> FrameworkDescription {
    let info = chapada_wire::v1::FrameworkInfo {
        user: Some("root".to_owned()),
        name: Some(name.to_owned()),
        failover_timeout: Some(3_600.0),
        ..Default::default()
    };
    FrameworkDescription { id, ..FrameworkDescription::try_from(&info).expect("valid") }
}

/// Says that what comes next is durable.
async fn record(core: &Core, queue: &mut mpsc::Receiver<Writing>) {
    let ticket = queue.recv().await.expect("something is written").ticket;
    core.event(Event::Recorded { ticket }).await.expect("it runs");
}

type Events = mpsc::Receiver<ToScheduler>;

/// A framework wants to be subscribed, on a stream of this name.
async fn subscribe(core: &Core, name: &str, framework: FrameworkDescription) -> (StreamId, Events) {
    let (outbox, events) = outbox();
    let (stream, framework) = (StreamId(name.into()), Box::new(framework));
    let (suppressed, constraints) = (Vec::new(), Arc::<OfferConstraints>::default());
    let subscribe = Input::Subscribe { stream: stream.clone(), outbox, framework, suppressed, constraints };
    core.send(subscribe).await.expect("it runs");
    (stream, events)
}

/// A new framework that is subscribed, on a stream of its name.
async fn subscribed(
    core: &Core,
    queue: &mut mpsc::Receiver<Writing>,
    name: &str,
) -> (FrameworkId, StreamId, Events) {
    let (stream, mut events) = subscribe(core, name, described(name, None)).await;
    record(core, queue).await;
    let Some(ToScheduler::Event(id, SchedulerEvent::Subscribed)) = events.recv().await else {
        panic!("not subscribed")
    };
    (id, stream, events)
}

/// A new outbox with room for a few, and what comes out of it.
fn outbox<T>() -> (Outbox<T>, mpsc::Receiver<T>) {
    let (sender, queue) = mpsc::channel(16);
    let (freight, answers) = (Freight::default(), Answers::default());
    (Outbox { sender, cut: CancellationToken::new(), freight, answers }, queue)
}

/// An agent that a new leader knows, and has not heard of.
fn with_agent() -> (AgentDescription, RegistryState) {
    let agent = sample::agent(0);
    let record = AgentRecord {
        description: Arc::new(agent.clone()),
        standing: Standing::Admitted,
        registered: Wall(1),
        deactivated: false,
        drain: None,
        returned: None,
    };
    let agents = [(agent.id.clone().expect("it has one"), record)].into();
    (agent, RegistryState { agents, ..RegistryState::default() })
}

/// Waits until the loop has ended, and so all that it held.
async fn ended(core: &Core) {
    tokio::time::timeout(DEADLINE, core.inputs.closed()).await.expect("the loop ends");
}

/// Waits until the loop has taken all that came before, and done what comes before that.
async fn taken(core: &Core, framework: &FrameworkId) {
    let nobody = "nobody".parse().expect("an id");
    core.decisions(framework.clone(), nobody).await.expect("it runs");
}

/// Until when a framework that is away may come back.
async fn may_come_back_until(core: &Core, framework: &FrameworkId) -> Mono {
    taken(core, framework).await;
    match core.snapshot().await.expect("it runs").frameworks[framework].state {
        FrameworkState::Disconnected { until } => until,
        ref other => panic!("{other:?}"),
    }
}

/// The next updates, several at once, and whether they may go unsaid.
async fn next_updates(events: &mut Events) -> (Vec<Arc<TaskStatus>>, bool) {
    loop {
        let event = tokio::time::timeout(DEADLINE, events.recv()).await.expect("updates come");
        match event.expect("it is subscribed") {
            ToScheduler::Updates(_, said) => return (said, false),
            ToScheduler::Answers(_, said) => return (said, true),
            _ => {}
        }
    }
}

#[tokio::test]
async fn answers_to_a_question_may_go_unsaid_and_ends_that_look_the_same_may_not() {
    let (agent, registry) = with_agent();
    let Alone { core, records: mut queue, suspend: _suspend, .. } =
        lead(Beginning { registry, ..Beginning::default() }).await;
    let (described, acknowledging) = (sample::framework(0), core.clone());
    tokio::spawn(async move {
        while let Some(Writing { ticket, .. }) = queue.recv().await {
            acknowledging.event(Event::Recorded { ticket }).await.expect("it runs");
        }
    });
    let mut links = Vec::new();
    let mut connect = |link, held| {
        let (outbox, commands) = outbox();
        links.push(commands);
        let (from, agent) = (Ipv4Addr::LOCALHOST.into(), Box::new(agent.clone()));
        core.send(Input::AgentConnected { link: LinkId(link), from, outbox, agent, held })
    };
    let tasks = vec![sample::task_of(0, 2), sample::task_of(0, 4)];
    let asked = tasks.iter().map(|held| (held.task.id.clone(), agent.id.clone())).collect();
    let frameworks = vec![described.clone()];
    connect(1, Held { tasks, frameworks, ..Held::default() }).await.expect("it runs");
    let (stream, mut events) = subscribe(&core, "s", described).await;
    // It comes back without them.
    connect(2, Held::default()).await.expect("it runs");
    let (ends, may_go_unsaid) = next_updates(&mut events).await;
    let looks = |status: &TaskStatus| (status.state, status.reason, status.uuid);
    let gone = (TaskState::Gone, Some(Reason::Reconciliation), None);
    assert_eq!(ends.iter().map(|end| looks(end)).collect::<Vec<_>>(), [gone; 2]);
    assert!(!may_go_unsaid);
    let framework = sample::framework(0).id.expect("it has one");
    let caller = Caller { framework, stream: Some(stream), principal: None };
    core.call(caller, Call::Reconcile { tasks: asked }).await.expect("it runs").expect("taken");
    let (answers, may_go_unsaid) = next_updates(&mut events).await;
    assert_eq!(answers.iter().map(|answer| looks(answer)).collect::<Vec<_>>(), [gone; 2]);
    assert!(may_go_unsaid);
}

/// The loop sees no more of it than that something was said: at the time it was at something else.
#[tokio::test]
async fn a_suspension_that_the_loop_did_not_see_gives_everybody_their_time_once_more() {
    let Alone { core, records: mut queue, suspend, ended: _ended, .. } =
        lead(Beginning { room: 1, ..Beginning::default() }).await;
    let (away, stream, events) = subscribed(&core, &mut queue, "away").await;
    let (other, _, mut others) = subscribed(&core, &mut queue, "other").await;
    drop(events);
    core.send(Input::StreamClosed { stream, framework: Some(away.clone()) }).await.expect("it runs");
    record(&core, &mut queue).await;
    let before = may_come_back_until(&core, &away).await;
    assert_eq!(may_come_back_until(&core, &away).await, before, "there was no suspension yet");
    suspend.send_replace(false);
    let idle = may_come_back_until(&core, &away).await;
    assert!(idle > before, "it waited for something to come in");
    // Two changes, of which the registry takes one: the loop waits.
    let _third = subscribe(&core, "third", described("third", None)).await;
    let _again = subscribe(&core, "again", described("renamed", Some(other))).await;
    let is_cut = |event: &ToScheduler| matches!(event, ToScheduler::Event(_, SchedulerEvent::Error { .. }));
    while !others.recv().await.is_some_and(|event| is_cut(&event)) {}
    suspend.send_replace(true);
    suspend.send_replace(false);
    for _ in 0..2 {
        drop(queue.recv().await.expect("something is written"));
    }
    assert!(may_come_back_until(&core, &away).await > idle, "it waited for the registry");
}

/// Another thread says so while the loop looks, often enough to fall between any two steps of a look.
#[test]
fn no_suspension_falls_between_two_looks() {
    const TIMES: u64 = 1_000;
    let (suspend, mut suspended) = watch::channel(false);
    let (said, heard) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|threads| {
        threads.spawn(|| {
            for time in 1..=TIMES {
                suspend.send_replace(true);
                suspend.send_replace(false);
                said.store(time, Ordering::Release);
                while heard.load(Ordering::Acquire) < time {
                    std::thread::yield_now();
                }
            }
        });
        let (mut has_been, mut missed) = (false, 0);
        for time in 1..=TIMES {
            while {
                let is_said = said.load(Ordering::Acquire) == time;
                has_been |= look(&mut suspended).expect("somebody says so").1;
                !is_said
            } {}
            missed += u64::from(!std::mem::take(&mut has_been));
            heard.store(time, Ordering::Release);
        }
        assert_eq!(missed, 0, "of {TIMES}");
    });
}

#[tokio::test]
async fn an_update_of_a_framework_is_answered_when_it_is_durable_and_not_before() {
    let Alone { core, records: mut queue, suspend: _suspend, .. } = lead(Beginning::default()).await;
    let (id, stream, _events) = subscribed(&core, &mut queue, "before").await;
    let caller = Caller { framework: id.clone(), stream: Some(stream), principal: None };
    let update = || {
        let (reply, verdict) = oneshot::channel();
        let description = described("after", Some(id.clone()));
        let call = Call::UpdateFramework { description, suppressed: Vec::new(), constraints: Arc::default() };
        (Input::Call { caller: caller.clone(), call: Box::new(call), reply }, verdict)
    };
    let (first, mut first_verdict) = update();
    core.send(first).await.expect("it runs");
    // The same again changes nothing, and is no sooner durable.
    let (again, mut again_verdict) = update();
    core.send(again).await.expect("it runs");
    // What is asked second is taken after the turn of what was asked first, and that after both calls.
    for _ in 0..2 {
        taken(&core, &id).await;
    }
    let books = core.snapshot().await.expect("it runs");
    assert_eq!(&*books.frameworks[&id].description.name, "after", "both calls were taken");
    assert_eq!(first_verdict.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(again_verdict.try_recv(), Err(TryRecvError::Empty));
    record(&core, &mut queue).await;
    assert_eq!(first_verdict.await.expect("answered"), Ok(()));
    assert_eq!(again_verdict.await.expect("answered"), Ok(()));
    let (durable, verdict) = update();
    core.send(durable).await.expect("it runs");
    assert_eq!(verdict.await.expect("answered at once"), Ok(()));
}

/// The leadership ends while the loop waits for the registry, with free resources to be offered as soon as it goes on.
#[tokio::test]
async fn nothing_is_decided_after_the_leadership() {
    let (agent, registry) = with_agent();
    let settings = Settings { coalesce: Duration::ZERO, ..Settings::new("m1") };
    let beginning = Beginning { settings, registry, room: 1, ..Beginning::default() };
    let Alone { core, mut records, suspend, ended: token, .. } = lead(beginning).await;
    let (framework, _, mut events) = subscribed(&core, &mut records, "f").await;
    // By then what the subscription has changed is planned for.
    for _ in 0..3 {
        taken(&core, &framework).await;
    }
    // Two changes, of which the registry takes one.
    let held = Held { frameworks: vec![sample::framework(0), sample::framework(1)], ..Held::default() };
    let ((outbox, mut commands), from) = (outbox(), Ipv4Addr::LOCALHOST.into());
    let agent = Box::new(agent);
    core.send(Input::AgentConnected { link: LinkId(1), from, outbox, agent, held }).await.expect("it runs");
    assert!(matches!(commands.recv().await, Some(AgentCommand::Welcome { .. })));
    drop(suspend);
    for _ in 0..2 {
        drop(records.recv().await.expect("something is written"));
    }
    ended(&core).await;
    tokio::time::timeout(DEADLINE, token.cancelled()).await.expect("the leadership ends with the loop");
    while let Some(event) = events.recv().await {
        let is_offer = matches!(event, ToScheduler::Event(_, SchedulerEvent::Offers(_)));
        assert!(!is_offer, "nobody may promise this any more");
    }
}

/// A loop whose lease is over, with an agent that is away and a framework that wants to subscribe.
async fn frozen(lease: &Lease) -> (Alone, AgentId, Mono) {
    let (agent, registry) = with_agent();
    // As long as after a link that broke, so that a resumption gives more.
    let settings = Settings::new("m1");
    let settings = Settings { agent_reregister_timeout: settings.agent_timeout, ..settings };
    let beginning = Beginning { settings, registry, lease: Some(lease.clone()), ..Beginning::default() };
    let alone = lead(beginning).await;
    let (stream, events) = subscribe(&alone.core, "f", described("f", None)).await;
    drop((stream, events));
    let id = agent.id.expect("it has one");
    let books = alone.core.snapshot().await.expect("readers are answered all the same");
    assert!(books.frameworks.is_empty(), "nothing is obeyed");
    (alone, id.clone(), away_until(&books, &id))
}

fn away_until(books: &Snapshot, agent: &AgentId) -> Mono {
    match books.agents[agent].state {
        AgentState::Recovered { until } => until,
        ref other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_comes_while_the_lease_does_not_hold_is_obeyed_once_it_does_and_everybody_has_their_time_again()
{
    let lease = Lease::over();
    let (mut alone, agent, before) = frozen(&lease).await;
    assert!(alone.records.try_recv().is_err());
    lease.renew(Instant::now(), Duration::from_secs(3_600));
    let written = tokio::time::timeout(DEADLINE, alone.records.recv()).await.expect("it goes on");
    assert!(matches!(written.expect("something is written").change, RegistryChange::PutFramework(..)));
    let books = alone.core.snapshot().await.expect("it runs");
    assert_eq!(books.frameworks.len(), 1);
    assert!(away_until(&books, &agent) > before);
}

#[tokio::test]
async fn a_leadership_that_ends_while_its_lease_does_not_hold_obeys_nothing_more() {
    let (mut alone, ..) = frozen(&Lease::over()).await;
    alone.ended.cancel();
    ended(&alone.core).await;
    assert!(alone.records.recv().await.is_none(), "nothing was written");
}
