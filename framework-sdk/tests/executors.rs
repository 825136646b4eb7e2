//! Task groups and executors of one's own: what crosses the wire, and what comes back.

mod support;

use chapada_sdk::model::{AgentId, ExecutorId, Filters, Milli, TaskId};
use chapada_sdk::wire::executor_info::Type as Kind;
use chapada_sdk::wire::offer::operation::Type as OperationType;
use chapada_sdk::wire::scheduler::call::Type;
use chapada_sdk::wire::scheduler::event::{self, Type as EventType};
use chapada_sdk::{
    Event, ExecutorBuilder, InvalidExecutor, InvalidTask, Offer, Placement, Request, TaskBuilder, connect,
    fits, wire,
};
use support::scripted_master::ScriptedMaster;
use support::{config, soon};

fn task(id: &str) -> TaskId {
    id.parse().expect("an id")
}

/// Takes so many CPUs and MiB of memory and of disk out of what is left of an offer.
fn take(offer: &mut Offer, cpus: f64, mem: f64, disk: u64) -> Placement {
    let request = Request { disk: Milli::whole(disk), ..Request::new(cpus, mem) };
    let placement = fits(offer, &request, 0).expect("there is room");
    *offer = offer.without(&placement.resources).expect("it was taken from it");
    placement
}

/// The next offer that the scheduler is made.
async fn next_offer(events: &mut chapada_sdk::Events) -> Offer {
    loop {
        if let Some(Ok(Event::Offers(mut offers))) = soon("an offer", events.next()).await {
            return offers.remove(0);
        }
    }
}

fn amount(resources: &[wire::Resource], name: &str) -> f64 {
    let found = resources.iter().find(|resource| resource.name() == name);
    found.and_then(|resource| resource.scalar.as_ref()).expect("it is there").value()
}

#[tokio::test]
async fn a_pod_is_one_operation_with_its_executor_and_all_of_its_tasks() {
    let mut master = ScriptedMaster::start().await;
    let (driver, mut events) = connect(config(&master), None);
    let (mut subscription, _) = master.subscribed("f1", 15.0).await;
    subscription.offer("o1").await;
    let mut offer = next_offer(&mut events).await;
    let id: ExecutorId = "pod-1".parse().unwrap();
    let executor = ExecutorBuilder::pod(&id).place(&take(&mut offer, 0.1, 32.0, 10)).unwrap();
    let tasks: Vec<_> = ["web", "log"]
        .map(|name| {
            let placement = take(&mut offer, 0.5, 64.0, 1);
            TaskBuilder::shell(&task(name), "sleep 1").place(&offer, &placement).unwrap()
        })
        .into();
    driver.launch_group([offer.id.clone()], &executor, &tasks, Filters::default()).await.unwrap();
    let accept = subscription.expect(Type::Accept).await.accept.unwrap();
    assert_eq!(accept.offer_ids[0].value(), "o1");
    assert_eq!(accept.operations.len(), 1);
    assert_eq!(accept.operations[0].r#type(), OperationType::LaunchGroup);
    let group = accept.operations[0].launch_group.clone().unwrap();
    let sent = group.executor.unwrap();
    assert_eq!((sent.r#type(), sent.executor_id.as_ref().unwrap().value()), (Kind::Default, "pod-1"));
    assert!(sent.command.is_none(), "the built-in executor has no command");
    assert_eq!((amount(&sent.resources, "cpus"), amount(&sent.resources, "disk")), (0.1, 10.0));
    let names: Vec<_> = group.task_group.unwrap().tasks;
    assert_eq!(names.iter().map(wire::TaskInfo::name).collect::<Vec<_>>(), ["web", "log"]);
    assert!(names.iter().all(|task| task.executor.is_none() && task.agent_id.is_some()));
}

#[tokio::test]
async fn an_executor_of_one_s_own_is_started_by_its_first_task_spoken_with_and_ended() {
    let mut master = ScriptedMaster::start().await;
    let (driver, mut events) = connect(config(&master), None);
    let (mut subscription, _) = master.subscribed("f1", 15.0).await;
    subscription.offer("o1").await;
    let mut offer = next_offer(&mut events).await;
    let id: ExecutorId = "worker".parse().unwrap();
    let executor = ExecutorBuilder::program(&id, "/usr/bin/worker", ["worker", "-v"])
        .env("LEVEL", "3")
        .data(*b"about all")
        .shutdown_grace_period(std::time::Duration::from_secs(7))
        .place(&take(&mut offer, 0.1, 32.0, 0))
        .unwrap();
    let placement = take(&mut offer, 1.0, 64.0, 0);
    let job =
        TaskBuilder::by_executor(&task("job-1"), &executor).data(*b"what to do").place(&offer, &placement);
    driver.launch([offer.id.clone()], vec![job.unwrap()], Filters::default()).await.unwrap();
    let accept = subscription.expect(Type::Accept).await;
    let sent = support::scripted_master::launched(&accept).remove(0);
    assert_eq!((sent.data(), sent.command.is_none()), (&b"what to do"[..], true));
    let sent = sent.executor.unwrap();
    assert_eq!((sent.r#type(), sent.data()), (Kind::Custom, &b"about all"[..]));
    assert_eq!(sent.shutdown_grace_period.unwrap().nanoseconds, Some(7_000_000_000));
    assert_eq!(amount(&sent.resources, "mem"), 32.0);
    let command = sent.command.unwrap();
    assert_eq!(
        (command.value(), command.shell(), &command.arguments[1][..]),
        ("/usr/bin/worker", false, "-v")
    );
    assert_eq!(command.environment.unwrap().variables[0].value(), "3");

    let agent: AgentId = "a1".parse().unwrap();
    driver.message(&agent, &id, b"faster").await.unwrap();
    let message = subscription.expect(Type::Message).await.message.unwrap();
    assert_eq!((message.executor_id.unwrap().value(), message.data.unwrap()), ("worker", b"faster".to_vec()));
    let said = event::Message {
        agent_id: Some((&agent).into()),
        executor_id: Some((&id).into()),
        data: Some(b"as you like".to_vec()),
    };
    subscription.send(EventType::Message, |event| event.message = Some(said)).await;
    let Some(Ok(Event::Message(heard))) = soon("its word", events.next()).await else { panic!("no message") };
    assert_eq!((heard.executor, heard.data), (id.clone(), b"as you like".to_vec()));
    driver.shutdown_executor(&agent, &id).await.unwrap();
    let shutdown = subscription.expect(Type::Shutdown).await.shutdown.unwrap();
    assert_eq!((shutdown.agent_id.unwrap().value(), shutdown.executor_id.unwrap().value()), ("a1", "worker"));
    let end =
        event::Failure { agent_id: Some((&agent).into()), executor_id: Some((&id).into()), status: Some(9) };
    subscription.send(EventType::Failure, |event| event.failure = Some(end)).await;
    let Some(Ok(Event::Failure(end))) = soon("its end", events.next()).await else { panic!("no failure") };
    assert_eq!((end.executor, end.status), (Some(id), Some(9)));
}

#[tokio::test]
async fn a_command_where_there_can_be_none_is_refused_before_it_is_sent() {
    let nothing = Placement::default();
    let id: ExecutorId = "e".parse().unwrap();
    let pod = ExecutorBuilder::pod(&id).env("A", "b").place(&nothing);
    assert!(matches!(pod, Err(InvalidExecutor::Command)), "{pod:?}");
    let mut master = ScriptedMaster::start().await;
    let (_driver, mut events) = connect(config(&master), None);
    let (subscription, _) = master.subscribed("f1", 15.0).await;
    subscription.offer("o1").await;
    let offer = next_offer(&mut events).await;
    let own = ExecutorBuilder::shell(&id, "exec ./worker").place(&nothing).unwrap();
    let task = TaskBuilder::by_executor(&task("t"), &own).user("nobody").place(&offer, &nothing);
    assert!(matches!(task, Err(InvalidTask::Command)), "{task:?}");
}
