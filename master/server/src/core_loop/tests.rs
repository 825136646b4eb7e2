use chapada_coordination::{Coordination, LeaderInfo, MemoryStore};
use chapada_master_core::{RegistryState, Settings};
use tokio::sync::oneshot::error::TryRecvError;

use super::*;
use crate::clock::Clock;
use crate::registry::SCHEMA;

/// A loop, what it wants written, and what ends it when it is dropped.
async fn running() -> (Core, mpsc::Receiver<Writing>, (tokio_util::sync::DropGuard, watch::Sender<bool>)) {
    let (id, hostname, version) = ("m".to_owned(), "localhost".to_owned(), "1.0".to_owned());
    let ip = std::net::Ipv4Addr::LOCALHOST.into();
    let info = LeaderInfo { id, hostname, ip, port: 5050, version, capabilities: Vec::new() };
    let mut campaign = Coordination::Memory(MemoryStore::default()).campaign(info);
    let term = campaign.wait_until_leading().await.expect("alone");
    let epoch = term.open_registry(SCHEMA).await.expect("empty").epoch;
    let (writer, queue) = mpsc::channel(RECORD_QUEUE);
    let (suspend, suspended) = watch::channel(false);
    let ended = CancellationToken::new();
    let core = start(Start {
        clock: Clock::new(),
        settings: Settings::new("m1"),
        registry: RegistryState { epoch, ..RegistryState::default() },
        writer,
        suspended,
        lease: term.lease(),
        ended: ended.clone(),
    });
    (core.expect("a thread"), queue, (ended.drop_guard(), suspend))
}

fn described(name: &str, id: Option<FrameworkId>) -> FrameworkDescription {
    let info = chapada_wire::v1::FrameworkInfo {
        user: Some("root".to_owned()),
        name: Some(name.to_owned()),
        ..Default::default()
    };
    FrameworkDescription { id, ..FrameworkDescription::try_from(&info).expect("valid") }
}

/// Says that what comes next is durable.
async fn record(core: &Core, queue: &mut mpsc::Receiver<Writing>) {
    let ticket = queue.recv().await.expect("something is written").ticket;
    core.event(Event::Recorded { ticket }).await.expect("it runs");
}

#[tokio::test]
async fn an_update_of_a_framework_is_answered_when_it_is_durable_and_not_before() {
    let (core, mut queue, _ends) = running().await;
    let (sender, mut events) = mpsc::channel(16);
    let outbox = Outbox {
        sender,
        cut: CancellationToken::new(),
        freight: Freight::default(),
        answers: Answers::default(),
    };
    let (stream, framework) = (StreamId("s".into()), Box::new(described("before", None)));
    let (suppressed, constraints) = (Vec::new(), Arc::<OfferConstraints>::default());
    let subscribe = Input::Subscribe { stream: stream.clone(), outbox, framework, suppressed, constraints };
    core.send(subscribe).await.expect("it runs");
    record(&core, &mut queue).await;
    let Some(ToScheduler::Event(id, SchedulerEvent::Subscribed)) = events.recv().await else {
        panic!("not subscribed")
    };
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
    // What is asked second is taken after the batch of what was asked first, and that after both calls.
    for _ in 0..2 {
        let nobody = "nobody".parse().expect("an id");
        core.decisions(id.clone(), nobody).await.expect("it runs");
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
