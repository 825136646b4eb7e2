//! Keeps as many tasks running as it is told, whatever dies: a task, an agent, the leading master, or this program.
#![forbid(unsafe_code)]

use std::time::Duration;

use chapada_sdk::model::{AgentId, Filters, TaskId, TaskStatus, Text};
use chapada_sdk::{
    DelayRule, Driver, DurableIntents, IntentChange, Offer, OpenedStore, Request, Scheduler, SchedulerError,
    Schema, Subscribed, TaskBuilder, fits, random,
};

/// What the store holds.
pub const SCHEMA: Schema = Schema { name: "chapada-ha", version: 1, grouped: &[] };
/// How long a task that ends waits before it is started again.
const DELAY: DelayRule =
    DelayRule { first: Duration::from_millis(200), factor: 2.0, most: Duration::from_secs(60) };
/// A task out of reach for so long is replaced, and ended should it come back.
const GIVE_UP_AFTER: Duration = Duration::from_secs(300);
/// Nothing is to be started: keep the offers away until `revive`.
const NOT_NEEDED: Filters = Filters { refuse: Duration::from_secs(3600) };

/// The scheduler.
pub struct Ha {
    intents: DurableIntents,
    command: String,
    instances: usize,
    /// Whether offers are kept away.
    quiet: bool,
}

impl Ha {
    /// What was stored before, and from now on so many tasks of this shell command.
    ///
    /// # Errors
    /// When the store is damaged.
    pub fn restore(opened: &OpenedStore, instances: usize, command: &str) -> Result<Self, SchedulerError> {
        let (intents, command) = (DurableIntents::restore(opened, "intents")?, command.to_owned());
        Ok(Self { intents, command, instances, quiet: false })
    }

    async fn use_offer(&mut self, driver: &Driver, mut offer: Offer) -> Result<(), SchedulerError> {
        let mut tasks = Vec::new();
        let due: Vec<Text> = self.intents.due(driver.now()).map(|one| one.task.name.clone()).collect();
        for name in &due {
            let Ok(placement) = fits(&offer, &Request::new(0.1, 32.0), random()) else { break };
            // Durable when this returns; only then is it launched.
            let Some(intent) = self.intents.launch(name, &offer.agent).await? else { continue };
            let task = TaskBuilder::shell(&intent.task.task_id()?, &self.command).name(&**name);
            tasks.push(task.place(&offer, &placement)?);
            offer.take(&placement.resources)?;
        }
        let filters = if tasks.len() == due.len() { NOT_NEEDED } else { Filters::default() };
        self.quiet |= filters == NOT_NEEDED;
        match tasks.is_empty() {
            true => Ok(driver.decline([offer.id], filters).await?),
            false => Ok(driver.launch([offer.id], tasks, filters).await?),
        }
    }
}

impl Scheduler for Ha {
    fn known_tasks(&self) -> Vec<(TaskId, Option<AgentId>)> {
        self.intents.unsettled().collect()
    }

    async fn subscribed(&mut self, driver: &Driver, _: Subscribed) -> Result<(), SchedulerError> {
        // What runs of others, after a start with fewer, is a stray by this.
        self.intents.want_only((0..self.instances).map(|number| format!("ha-{number}"))).await?;
        Ok(driver.revive().await?)
    }

    async fn offers(&mut self, driver: &Driver, offers: Vec<Offer>) -> Result<(), SchedulerError> {
        for offer in offers {
            self.use_offer(driver, offer).await?;
        }
        Ok(())
    }

    async fn update(&mut self, driver: &Driver, status: TaskStatus) -> Result<(), SchedulerError> {
        let change = self.intents.on_update(&status).await?;
        tracing::info!(task = %status.task, state = status.state.name(), ?change);
        // One that has ended is started again by the next tick.
        if change == IntentChange::Stray {
            driver.kill(&status.task, status.agent.as_ref(), None).await?;
        }
        Ok(())
    }

    async fn tick(&mut self, driver: &Driver) -> Result<(), SchedulerError> {
        let now = driver.now();
        for name in self.intents.unreachable_for(GIVE_UP_AFTER, now) {
            self.intents.give_up(&name).await?;
        }
        let ended: Vec<Text> = self.intents.ended().map(|intent| intent.task.name.clone()).collect();
        for name in ended {
            self.intents.retry(&name, &DELAY, now).await?;
        }
        if self.quiet && self.intents.due(now).next().is_some() {
            driver.revive().await?;
            self.quiet = false;
        }
        Ok(())
    }
}
