//! Each rule is broken on purpose by a scheduler that does nothing else wrong, and the kit says which.

use std::collections::BTreeSet;
use std::time::Duration;

use chapada_sdk::model::{AgentId, Filters, Milli, Resource, Resources, TaskId, TaskState, TaskStatus};
use chapada_sdk::wire::scheduler::call::Type;
use chapada_sdk::{
    Acknowledge, Driver, DurableIntents, Intent, IntentChange, Offer, OpenedStore, Request, Scheduler,
    SchedulerError, Schema, TaskBuilder, fits,
};
use chapada_sdk_testkit::{Arrival, Fault, Rule, TestKit};

const SCHEMA: Schema = Schema { name: "planted", version: 1, grouped: &[] };
const MINUTE: Duration = Duration::from_secs(60);

/// What the scheduler does wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Planted {
    Nothing,
    StoresAfterTheLaunch,
    NeverAcknowledges,
    KeepsOffers,
    AnswersTwice,
    InventsAnOffer,
    TakesTooMuch,
    UsesOneIdForAll,
    StartsTwoOfAKind,
    ForgetsAnEndedTask,
    LeavesStrays,
    ForgetsItsName,
    FailsOnUpdates,
    KillsWhatIsOutOfReach,
    LaunchesFromMemory,
}

/// Keeps one task running, but for its fault.
struct One {
    intents: DurableIntents,
    store: chapada_sdk::Store,
    planted: Planted,
    /// Stored as launched, and launched without a look at the store when an offer comes: [`Planted::LaunchesFromMemory`].
    prepared: Option<Intent>,
}

impl One {
    fn restore(opened: &OpenedStore, planted: Planted) -> Result<Self, SchedulerError> {
        let intents = DurableIntents::restore(opened, "intents")?;
        Ok(Self { intents, store: opened.store.clone(), planted, prepared: None })
    }

    async fn launch(&mut self, driver: &Driver, mut offer: Offer) -> Result<(), SchedulerError> {
        let id = offer.id.clone();
        let mut placement = fits(&offer, &Request::new(1.0, 32.0), 0)?;
        if self.planted == Planted::TakesTooMuch {
            let more = Resources::from_list([Resource::scalar("cpus", Milli::whole(99))])?;
            placement.resources.add(&more.allocated_to(&offer.role))?;
        }
        let task = match self.planted {
            Planted::LaunchesFromMemory if let Some(prepared) = self.prepared.take() => {
                prepared.task.task_id()?
            }
            Planted::StoresAfterTheLaunch => {
                let launches = self.intents.get("one").map_or(0, |intent| intent.task.incarnation);
                let task = TaskId::new(format!("one.{}", launches + 1))?;
                let task = TaskBuilder::shell(&task, "true").place(&offer, &placement)?;
                driver.launch([id], vec![task], Filters::default()).await?;
                self.intents.launch("one", &offer.agent).await?;
                return Ok(());
            }
            Planted::UsesOneIdForAll => {
                self.intents.launch("one", &offer.agent).await?;
                TaskId::new("one.1")?
            }
            _ => match self.intents.launch("one", &offer.agent).await? {
                Some(intent) => intent.task.task_id()?,
                None => return Ok(driver.decline([id], Filters::default()).await?),
            },
        };
        let mut tasks = vec![TaskBuilder::shell(&task, "true").place(&offer, &placement)?];
        if self.planted == Planted::StartsTwoOfAKind {
            offer.take(&placement.resources)?;
            self.intents.want("one.x").await?;
            if let Some(other) = self.intents.launch("one.x", &offer.agent).await? {
                let placement = fits(&offer, &Request::new(1.0, 32.0), 0)?;
                tasks.push(TaskBuilder::shell(&other.task.task_id()?, "true").place(&offer, &placement)?);
            }
        }
        driver.launch([id.clone()], tasks, Filters::default()).await?;
        if self.planted == Planted::AnswersTwice {
            driver.decline([id], Filters::default()).await?;
        }
        Ok(())
    }
}

impl Scheduler for One {
    fn known_tasks(&self) -> Vec<(TaskId, Option<AgentId>)> {
        self.intents.unsettled().collect()
    }

    async fn subscribed(
        &mut self,
        driver: &Driver,
        _: chapada_sdk::Subscribed,
    ) -> Result<(), SchedulerError> {
        self.intents.want("one").await?;
        if self.planted == Planted::ForgetsItsName {
            self.store.forget_framework_id().await?;
        }
        Ok(driver.revive().await?)
    }

    async fn offers(&mut self, driver: &Driver, offers: Vec<Offer>) -> Result<(), SchedulerError> {
        for offer in offers {
            let waits = self.intents.waiting().next().is_some() || self.prepared.is_some();
            match self.planted {
                _ if waits => self.launch(driver, offer).await?,
                Planted::KeepsOffers => {}
                Planted::InventsAnOffer => {
                    driver.decline(["invented".parse()?, offer.id], Filters::default()).await?
                }
                _ => driver.decline([offer.id], Filters::default()).await?,
            }
        }
        Ok(())
    }

    async fn tick(&mut self, _: &Driver) -> Result<(), SchedulerError> {
        if self.planted == Planted::LaunchesFromMemory && self.prepared.is_none() {
            self.prepared = self.intents.launch("one", &"a1".parse()?).await?;
        }
        Ok(())
    }

    async fn update(&mut self, driver: &Driver, status: TaskStatus) -> Result<(), SchedulerError> {
        if self.planted == Planted::FailsOnUpdates {
            return Err("no update is liked".into());
        }
        match self.intents.on_update(&status).await? {
            IntentChange::Ended(task, _) if self.planted != Planted::ForgetsAnEndedTask => {
                self.intents.again(&task.name).await?;
            }
            IntentChange::Stray if self.planted == Planted::LeavesStrays => {}
            _ if self.planted == Planted::KillsWhatIsOutOfReach && status.state == TaskState::Unreachable => {
                driver.kill(&status.task, None, None).await?;
            }
            IntentChange::Stray if !status.state.is_terminal() => {
                driver.kill(&status.task, status.agent.as_ref(), None).await?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// The rules that a scheduler with this fault breaks while all sorts of things happen to it.
fn broken_by(planted: Planted) -> BTreeSet<Rule> {
    let configure = move |config: &mut chapada_sdk::FrameworkConfig| {
        if planted == Planted::NeverAcknowledges {
            config.acknowledge = Acknowledge::Explicitly;
        }
    };
    let mut kit = TestKit::start_with(SCHEMA, configure, move |opened| One::restore(opened, planted));
    kit.agent("a1", "cpus:4;mem:1024");
    kit.one_of_each(|task| task.as_str().split('.').next().unwrap_or_default().to_owned());
    kit.run_for(MINUTE);
    if let Some(task) = kit.tasks().first() {
        kit.end_task(&task.id, TaskState::Failed);
    }
    kit.run_for(MINUTE);
    if planted == Planted::LeavesStrays {
        // It is told that its task is gone, and starts another; then the first is back.
        kit.agent("a2", "cpus:4;mem:1024");
        kit.lose_agent("a1");
        kit.forget_tasks_of("a1");
        kit.run_for(MINUTE);
        kit.return_agent("a1");
    }
    kit.fault(Fault::KillScheduler);
    kit.settle(1);
    kit.broken().into_iter().map(|broken| broken.rule).collect()
}

#[test]
fn one_that_does_all_right_breaks_no_rule() {
    assert_eq!(broken_by(Planted::Nothing), BTreeSet::new());
}

#[test]
fn each_fault_is_named_by_its_rule_and_by_no_other_than_what_follows() {
    // Its own rule, then those that one who does so cannot keep.
    for (planted, rules) in [
        (Planted::StoresAfterTheLaunch, vec![Rule::IntentBeforeLaunch]),
        (Planted::NeverAcknowledges, vec![Rule::AcknowledgeEveryUpdate]),
        (Planted::KeepsOffers, vec![Rule::DeclineWhatIsNotUsed]),
        (Planted::AnswersTwice, vec![Rule::AnswerAnOfferOnce]),
        (Planted::InventsAnOffer, vec![Rule::AnswerAnOfferOnce]),
        (Planted::TakesTooMuch, vec![Rule::StayWithinTheOffer, Rule::NoLoss]),
        (Planted::UsesOneIdForAll, vec![Rule::UseATaskIdOnce, Rule::IntentBeforeLaunch, Rule::NoLoss]),
        (Planted::StartsTwoOfAKind, vec![Rule::NoDuplicate]),
        (Planted::ForgetsAnEndedTask, vec![Rule::NoLoss]),
        (Planted::ForgetsItsName, vec![Rule::KeepTheFrameworkId]),
        (Planted::FailsOnUpdates, vec![Rule::StayUp, Rule::NoLoss]),
        (Planted::LeavesStrays, vec![Rule::KnowWhatRuns, Rule::NoDuplicate]),
    ] {
        assert_eq!(broken_by(planted), rules.into_iter().collect(), "{planted:?}");
    }
}

#[test]
fn one_that_launches_without_the_store_when_deposed_is_found() {
    for (planted, rules) in
        [(Planted::LaunchesFromMemory, vec![Rule::StopWhenDeposed]), (Planted::Nothing, vec![])]
    {
        let mut kit = TestKit::start(SCHEMA, move |opened| One::restore(opened, planted));
        kit.agent("a1", "cpus:4;mem:1024");
        kit.hold_offers(true);
        kit.run_for(Duration::from_secs(3));
        kit.fault(Fault::DeposeUnheard);
        kit.hold_offers(false);
        kit.settle(1);
        assert_eq!(kit.broken().into_iter().map(|broken| broken.rule).collect::<Vec<_>>(), rules);
    }
}

#[test]
fn one_that_never_comes_to_rest_is_stopped() {
    let make = |opened: &OpenedStore| One::restore(opened, Planted::KillsWhatIsOutOfReach);
    let mut kit = TestKit::start(SCHEMA, make);
    kit.agent("a1", "cpus:4;mem:1024");
    kit.run_for(MINUTE);
    kit.lose_agent("a1");
    kit.run_for(MINUTE);
    let rules: Vec<Rule> = kit.broken().into_iter().map(|broken| broken.rule).collect();
    assert_eq!(rules, [Rule::ComeToRest]);
}

#[test]
fn offers_can_be_scripted() {
    let mut kit = TestKit::start(SCHEMA, |opened| One::restore(opened, Planted::Nothing));
    kit.agent("a1", "cpus:4;mem:1024");
    kit.hold_offers(true);
    kit.run_for(MINUTE);
    assert!(kit.calls(Type::Accept).is_empty());
    kit.offer("a1", "cpus:1;mem:32");
    kit.run_until("it is used", MINUTE, |kit| kit.running() == 1);
    kit.check();
}

#[test]
fn a_launch_that_is_lost_with_the_scheduler_is_made_again_under_another_id() {
    let mut kit = TestKit::start(SCHEMA, |opened| One::restore(opened, Planted::Nothing));
    kit.agent("a1", "cpus:4;mem:1024");
    kit.at_launch(0, Arrival::Lost, Fault::KillScheduler);
    kit.run_until("it runs", MINUTE, |kit| kit.running() == 1);
    assert_eq!(kit.tasks()[0].id.as_str(), "one.2");
    assert_eq!(kit.records().iter().filter(|record| record.key.kind == "intents").count(), 1);
    kit.check();
}
