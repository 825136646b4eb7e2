//! Carries the decisions about copies out: stores, launches, kills.

use std::time::Duration;

use chapada_sdk::model::{AgentId, Filters, Mono, TaskId, TaskStatus};
use chapada_sdk::{
    Change, Driver, Offer, Request, Scheduler, SchedulerError, Store, TaskBuilder, fits, random,
};
use tokio::time::Instant;

use crate::copies::{Copies, Next};
use crate::flags::Flags;

/// Nothing is to be started: keep the offers away until `revive`.
const NOT_NEEDED: Filters = Filters { refuse: Duration::from_secs(60 * 60) };
/// It holds too little; perhaps later.
const TOO_LITTLE: Filters = Filters { refuse: Duration::from_secs(5) };

pub(crate) struct Keeper {
    copies: Copies,
    store: Store,
    flags: Flags,
    began: Instant,
}

impl Keeper {
    pub(crate) fn new(copies: Copies, store: Store, flags: Flags) -> Self {
        Self { copies, store, flags, began: Instant::now() }
    }

    fn now(&self) -> Mono {
        Mono(0) + self.began.elapsed()
    }

    /// As many copies as are wanted and fit: stored first, then launched.
    async fn use_offer(&mut self, driver: &Driver, offer: Offer) -> Result<(), SchedulerError> {
        if self.copies.next().is_none() {
            return Ok(driver.decline([offer.id], NOT_NEEDED).await?);
        }
        let request: Request = self.flags.request();
        let (mut tasks, mut changes, mut rest) = (Vec::new(), Vec::<Change>::new(), offer.clone());
        while let Some(name) = self.copies.next() {
            let placement = match fits(&rest, &request, random()) {
                Ok(placement) => placement,
                Err(why) => {
                    tracing::debug!(hostname = %offer.hostname, %why, "not another copy here");
                    break;
                }
            };
            let Some((intent, change)) = self.copies.launch(&name, offer.agent.clone()) else { break };
            let mut task = TaskBuilder::shell(&intent.task.task_id()?, &self.flags.command).name(&*name);
            for (number, port) in placement.ports.iter().enumerate() {
                task = task.env(format!("PORT{number}"), port.to_string());
            }
            tracing::info!(task_id = %intent.task, agent_id = %offer.agent, "starting a copy");
            tasks.push(task.place(&rest, &placement)?);
            changes.push(change);
            rest = rest.without(&placement.resources)?;
        }
        if tasks.is_empty() {
            return Ok(driver.decline([offer.id], TOO_LITTLE).await?);
        }
        self.store.write_in_parts(changes).await?;
        Ok(driver.launch([offer.id], tasks, Filters::default()).await?)
    }
}

impl Scheduler for Keeper {
    fn known_tasks(&self) -> Vec<(TaskId, Option<AgentId>)> {
        self.copies.known_tasks()
    }

    async fn subscribed(
        &mut self,
        driver: &Driver,
        _: chapada_sdk::Subscribed,
    ) -> Result<(), SchedulerError> {
        if self.flags.remove {
            driver.teardown().await?;
            self.store.forget_framework_id().await?;
        }
        Ok(())
    }

    async fn offers(&mut self, driver: &Driver, offers: Vec<Offer>) -> Result<(), SchedulerError> {
        for offer in offers {
            self.use_offer(driver, offer).await?;
        }
        Ok(())
    }

    async fn update(&mut self, driver: &Driver, status: TaskStatus) -> Result<(), SchedulerError> {
        match self.copies.on_update(self.now(), random(), &status, &self.flags) {
            Next::Nothing => Ok(()),
            Next::Store(change) => Ok(self.store.write_in_parts(vec![change]).await?),
            Next::Kill => Ok(driver.kill(&status.task, status.agent.as_ref(), None).await?),
        }
    }

    async fn tick(&mut self, driver: &Driver) -> Result<(), SchedulerError> {
        let changes = self.copies.on_time(self.now(), &self.flags);
        if !changes.is_empty() {
            self.store.write_in_parts(changes).await?;
            driver.revive().await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use chapada_sdk::model::TaskState;
    use chapada_sdk_testkit::{Arrival, Fault, TestKit};
    use clap::Parser;

    use super::*;
    use crate::copies::SCHEMA;

    #[test]
    fn every_fault_at_a_launch_is_survived() {
        let flags = Flags::parse_from(["keeper", "--store", "x", "-n", "2", "--ports", "1", "true"]);
        let faults = [
            Fault::KillScheduler,
            Fault::DeposeScheduler,
            Fault::TakeOver,
            Fault::Disconnect,
            Fault::FailOver { agents_return_after: Duration::from_secs(3) },
        ];
        for (fault, arrival) in faults.into_iter().flat_map(|f| [(f, Arrival::Arrives), (f, Arrival::Lost)]) {
            let flags = flags.clone();
            let mut kit = TestKit::start(SCHEMA, move |opened| {
                let copies = Copies::restore(&opened.records, &flags)?;
                Ok(Keeper::new(copies, opened.store.clone(), flags.clone()))
            });
            kit.agent("a1", "cpus:4;mem:1024;ports:[31000-31009]");
            kit.one_of_each(|task| task.as_str().rsplit_once('.').map_or("", |(name, _)| name).to_owned());
            kit.at_launch(0, arrival, fault);
            kit.settle(2);
            kit.at_launch(0, arrival, fault);
            kit.end_task(&kit.tasks()[0].id.clone(), TaskState::Failed);
            kit.settle(2);
            kit.check();
        }
    }
}
