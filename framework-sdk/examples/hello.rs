//! Runs one command on the cluster, prints what becomes of it, and exits when it has ended.

use std::time::Duration;

use chapada_sdk::model::{AgentId, Filters, TaskId, TaskState, TaskStatus};
use chapada_sdk::{
    CancellationToken, Driver, FrameworkConfig, IntentChange, Intents, Offer, Request, Scheduler,
    SchedulerError, TaskBuilder, fits, random, run,
};

/// Decides where the command runs, and when all is done.
pub(crate) struct Hello {
    /// What to run and what is known of it.
    intents: Intents,
    command: String,
}

impl Hello {
    /// Runs this shell command once.
    pub(crate) fn new(command: &str) -> Self {
        let mut intents = Intents::default();
        intents.want("hello");
        Self { intents, command: command.to_owned() }
    }
}

impl Scheduler for Hello {
    fn known_tasks(&self) -> Vec<(TaskId, Option<AgentId>)> {
        self.intents.unsettled().collect()
    }

    async fn offers(&mut self, driver: &Driver, offers: Vec<Offer>) -> Result<(), SchedulerError> {
        for offer in offers {
            let placement = match fits(&offer, &Request::new(0.1, 32.0), random()) {
                Ok(placement) => placement,
                Err(why) => {
                    println!("not on {}: {why}", offer.hostname);
                    driver.decline([offer.id], Filters::default()).await?;
                    continue;
                }
            };
            match self.intents.launch("hello", offer.agent.clone()) {
                Some(intent) => {
                    let id = intent.task.task_id()?;
                    let task = TaskBuilder::shell(&id, &self.command).place(&offer, &placement)?;
                    driver.launch([offer.id], vec![task], Filters::default()).await?;
                }
                None => driver.decline([offer.id], Filters { refuse: Duration::from_secs(3600) }).await?,
            }
        }
        Ok(())
    }

    async fn update(&mut self, driver: &Driver, status: TaskStatus) -> Result<(), SchedulerError> {
        println!("{} is {}", status.task, status.state.name());
        match self.intents.on_update(&status) {
            // It never started: try again.
            IntentChange::Ended(_, TaskState::Dropped | TaskState::Unknown) => {
                self.intents.again("hello");
                driver.revive().await?;
            }
            IntentChange::Ended(..) => driver.teardown().await?,
            IntentChange::Stray => driver.kill(&status.task, status.agent.as_ref(), None).await?,
            IntentChange::Alive(_) | IntentChange::Nothing => {}
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let master = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:5050".to_owned());
    let config = FrameworkConfig::new("hello", master.parse()?);
    run(config, None, Hello::new("echo hello from $(hostname)"), CancellationToken::new()).await?;
    Ok(())
}
