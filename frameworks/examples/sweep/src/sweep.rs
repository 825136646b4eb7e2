//! Carries a plan out on the cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use chapada_sdk::model::{AgentId, Filters, TaskId, TaskState, TaskStatus};
use chapada_sdk::{Backoff, Driver, Offer, Request, Scheduler, SchedulerError, TaskBuilder, fits, random};

use tokio::time::Instant;

use crate::flags::Flags;
use crate::plan::{Next, Outcome, Plan};

/// For how long an offer is not wanted that holds too little, or when nothing waits; `revive` ends it.
const NOT_NOW: Filters = Filters { refuse: Duration::from_secs(60) };
/// Of a task's output; a result is its last line.
const MAX_OUTPUT_BYTES: u64 = 64 * 1024;
/// Tries to read an output, with pauses in between.
const READ_TRIES: u32 = 5;
const READ_PAUSE: Backoff = Backoff { first: Duration::from_millis(200), most: Duration::from_secs(2) };

pub(crate) struct Sweep {
    plan: Plan,
    flags: Flags,
    /// When each living task has had its time.
    deadlines: BTreeMap<TaskId, Instant>,
    torn_down: bool,
}

impl Sweep {
    pub(crate) fn new(plan: Plan, flags: Flags) -> Self {
        Self { plan, flags, deadlines: BTreeMap::new(), torn_down: false }
    }

    pub(crate) fn into_outcomes(self) -> Vec<Outcome> {
        self.plan.into_outcomes()
    }

    /// As many tasks as the offer holds.
    async fn use_offer(&mut self, driver: &Driver, offer: Offer) -> Result<(), SchedulerError> {
        let request = Request::new(self.flags.cpus, self.flags.mem);
        let (mut tasks, mut rest) = (Vec::new(), offer.clone());
        while let Some(name) = self.plan.next() {
            let placement = match fits(&rest, &request, random()) {
                Ok(placement) => placement,
                Err(why) if tasks.is_empty() => {
                    tracing::info!(hostname = %offer.hostname, %why, "offer not used");
                    break;
                }
                Err(_) => break,
            };
            let Some(intent) = self.plan.launch(&name, offer.agent.clone()) else { break };
            let mut task = TaskBuilder::shell(&intent.task.task_id()?, &self.flags.command).name(&name);
            for (name, value) in self.plan.point(&name) {
                task = task.env(name, value);
            }
            tasks.push(task.place(&rest, &placement)?);
            rest = rest.without(&placement.resources)?;
        }
        if tasks.is_empty() {
            return Ok(driver.decline([offer.id], NOT_NOW).await?);
        }
        Ok(driver.launch([offer.id], tasks, Filters { refuse: Duration::from_secs(1) }).await?)
    }

    async fn collect(&mut self, driver: &Driver, name: &str, task: &TaskId) -> Next {
        let mut failures = 0;
        let output = loop {
            match driver.read_file(task, "stdout", 0, MAX_OUTPUT_BYTES).await {
                Ok(output) => break Ok(output),
                Err(error) if failures >= READ_TRIES => break Err(error.to_string()),
                Err(error) => tracing::info!(task_id = %task, %error, "output not read yet"),
            }
            tokio::time::sleep(READ_PAUSE.wait(failures, random())).await;
            failures += 1;
        };
        self.plan.collected(name, output)
    }

    fn watch_the_clock(&mut self, status: &TaskStatus) {
        if status.state == TaskState::Running {
            self.deadlines.entry(status.task.clone()).or_insert_with(|| Instant::now() + self.flags.timeout);
        } else if status.state.is_terminal() {
            self.deadlines.remove(&status.task);
        }
    }

    /// Ends the tasks that take too long; asked again at each tick until they have ended.
    async fn end_overdue(&self, driver: &Driver) -> Result<(), SchedulerError> {
        let now = Instant::now();
        for (task, _) in self.deadlines.iter().filter(|(_, deadline)| **deadline <= now) {
            tracing::info!(task_id = %task, "took too long");
            driver.kill(task, None, None).await?;
        }
        Ok(())
    }

    async fn end_if_done(&mut self, driver: &Driver) -> Result<(), SchedulerError> {
        if self.plan.is_done() && !self.torn_down {
            driver.teardown().await?;
            self.torn_down = true;
        }
        Ok(())
    }
}

impl Scheduler for Sweep {
    fn known_tasks(&self) -> Vec<(TaskId, Option<AgentId>)> {
        self.plan.known_tasks()
    }

    async fn offers(&mut self, driver: &Driver, offers: Vec<Offer>) -> Result<(), SchedulerError> {
        for offer in offers {
            self.use_offer(driver, offer).await?;
        }
        Ok(())
    }

    async fn update(&mut self, driver: &Driver, status: TaskStatus) -> Result<(), SchedulerError> {
        self.watch_the_clock(&status);
        let before = self.plan.next().is_some();
        let mut next = self.plan.on_update(&status);
        if let Next::Collect(name) = &next {
            next = self.collect(driver, name, &status.task).await;
        }
        let (settled, of) = self.plan.progress();
        tracing::info!(task_id = %status.task, state = status.state.name(), settled, of, "update");
        match next {
            Next::Kill => driver.kill(&status.task, status.agent.as_ref(), None).await?,
            Next::Nothing | Next::Retry | Next::Collect(_) => {}
        }
        // Something waits that did not before: offers declined meanwhile are wanted again.
        if !before && self.plan.next().is_some() {
            driver.revive().await?;
        }
        self.end_if_done(driver).await
    }

    async fn tick(&mut self, driver: &Driver) -> Result<(), SchedulerError> {
        self.end_overdue(driver).await?;
        self.end_if_done(driver).await
    }
}
