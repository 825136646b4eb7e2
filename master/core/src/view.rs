//! What readers work out from a snapshot.

use std::sync::Arc;

use chapada_model::{FrameworkId, Resources, TaskId, TaskKey};

use crate::{Offer, Snapshot, Task};

/// The smallest text that is a valid id, where the tasks of a framework begin.
const FIRST_ID: &str = " ";

impl Snapshot {
    /// The tasks of a framework that are in the books, in the order of their ids. Completed ones are apart.
    pub fn tasks_of<'a>(&'a self, framework: &'a FrameworkId) -> impl Iterator<Item = &'a Arc<Task>> {
        let first = TaskId::new(FIRST_ID).expect("a space is a valid id");
        let first = TaskKey { framework: framework.clone(), task: first };
        self.tasks.range(first..).map(|(_, task)| task).take_while(move |task| task.framework == *framework)
    }

    /// The outstanding offers of a framework. Visits all offers.
    pub fn offers_of<'a>(&'a self, framework: &'a FrameworkId) -> impl Iterator<Item = &'a Arc<Offer>> {
        self.offers.values().filter(move |offer| offer.framework == *framework)
    }

    /// What a framework's tasks and executors hold. Visits all agents for the executors.
    pub fn allocated_to(&self, framework: &FrameworkId) -> Resources {
        let tasks = self.tasks_of(framework).filter(|task| task.is_live()).map(|task| &task.resources);
        let executors = self.agents.values().flat_map(|agent| agent.executors.iter());
        let executors = executors.filter(|(key, _)| key.framework == *framework).map(|(_, e)| &e.resources);
        sum(tasks.chain(executors))
    }

    /// What a framework is offered. Visits all offers.
    pub fn offered_to(&self, framework: &FrameworkId) -> Resources {
        let offered: Vec<Resources> =
            self.offers_of(framework).map(|offer| offer.resources.unallocated()).collect();
        sum(offered.iter())
    }
}

/// Adds up for showing: what is there on several agents, such as a port, is shown once.
fn sum<'a>(all: impl Iterator<Item = &'a Resources>) -> Resources {
    all.fold(Resources::EMPTY, |mut sum, more| {
        for resource in more {
            sum.add_for_show(resource);
        }
        sum
    })
}
