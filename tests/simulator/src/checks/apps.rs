//! I6 for the services framework: an app never runs more instances than its strategy allows, each launch is meant before it is
//! sent, and once nothing breaks each app has what it wants and nothing runs for nobody.

use std::collections::BTreeMap;

use chapada_agent_core::TaskRecord;
use chapada_master_core::{Call, Operation, Proposal};
use chapada_model::{FrameworkId, TaskId};
use chapada_services_core::AppId;

use crate::actors::{Services, instance_of};
use crate::sim::Sim;

impl Sim {
    fn services_of(&self, framework: &FrameworkId) -> Option<&Services> {
        self.frameworks[self.framework_of(framework)?].actor.services()
    }

    /// The live tasks of a framework on all machines.
    fn live_tasks<'a>(&'a self, framework: &'a FrameworkId) -> impl Iterator<Item = &'a TaskId> {
        let all = self.agents.iter().flat_map(|agent| agent.kernel.containers.values());
        let live = all.filter(move |found| found.is_live() && found.framework() == framework);
        live.flat_map(|found| found.tasks().map(|task| &task.key.task))
    }

    /// A task begins: with those that run and were launched before it there are no more than were allowed then. Those that
    /// did not count then, because their agent was out of reach for long enough, stand apart.
    pub(crate) fn check_allowed(&mut self, record: &TaskRecord) {
        let (framework, task) = (&record.key.framework, &record.key.task);
        let Some(services) = self.services_of(framework) else { return };
        let Some(mine) = services.decisions().of(task) else {
            return self.fail(|| format!("I6: {task} begins, and nobody decided that"));
        };
        let counted = |other: &&TaskId| {
            services.decisions().of(other).is_some_and(|decision| {
                decision.app == mine.app && decision.order < mine.order && !mine.apart.contains(*other)
            })
        };
        let others: Vec<String> =
            self.live_tasks(framework).filter(counted).map(ToString::to_string).collect();
        let (allowed, app) = (mine.allowed, mine.app.clone());
        if others.len() + 1 > allowed {
            self.fail(|| format!("I6: {task} begins beside {others:?}, and {app} may have {allowed}"));
        }
    }

    /// A launch is sent: its record must be durable.
    pub(crate) fn check_recorded(&mut self, framework: usize, call: &Call) {
        let node = &self.frameworks[framework];
        let Call::Accept(accept) = call else { return };
        if node.actor.services().is_none() {
            return;
        }
        let tasks = accept.operations.iter().flat_map(|operation| match operation {
            Operation::Launch { tasks } => tasks.as_slice(),
            _ => &[],
        });
        let is_recorded = |task: &TaskId| {
            let key = instance_of(task).map(|instance| format!("instance.{instance}"));
            let record = key.and_then(|key| node.store.records.get(&key));
            record.is_some_and(|record| String::from_utf8_lossy(record).contains(&format!("\"{task}\"")))
        };
        let missing = tasks.into_iter().find_map(|task| match task {
            Proposal::Valid(task) => (!is_recorded(&task.id)).then(|| task.id.clone()),
            Proposal::Malformed(_) => None,
        });
        if let Some(task) = missing {
            self.fail(|| format!("I6: f{framework} launches {task}, and its record is not durable"));
        }
    }

    /// How many tasks of each app of a framework run on any machine; those that belong to no app under the empty name.
    pub fn running_of_apps(&self, framework: usize) -> BTreeMap<String, usize> {
        let mut running = BTreeMap::new();
        let Some(id) = self.framework_id(framework) else { return running };
        for task in self.live_tasks(&id) {
            let app = instance_of(task).map_or_else(String::new, |instance| instance.app().to_string());
            *running.entry(app).or_default() += 1;
        }
        running
    }

    /// What the services framework still has to bring about.
    pub(super) fn unsettled_apps(&self, index: usize, found: &mut Vec<String>) {
        let Some(services) = self.frameworks[index].actor.services() else { return };
        let Some(core) = services.core() else {
            return found.push(format!("f{index} has not read its records"));
        };
        if !core.is_connected() {
            found.push(format!("f{index} takes no offers yet"));
        }
        let mut running = self.running_of_apps(index);
        for deployment in core.deployments() {
            let apps: Vec<&AppId> = deployment.apps().collect();
            found.push(format!("f{index} has a deployment of {apps:?} on its way: {:?}", deployment.now()));
        }
        for state in core.apps() {
            let (app, wanted) =
                (state.app.definition.id.to_string(), state.app.definition.instances as usize);
            let runs = running.remove(&app).unwrap_or(0);
            let known = state.instances.values().filter(|instance| instance.is_good()).count();
            if (runs, known) != (wanted, wanted) {
                let answer = core.inquire(self.clock(0), &state.app.definition.id).map(|why| why.answer());
                let why = answer.into_iter().flat_map(|answer| answer.reasons).map(|reason| reason.sentence);
                let why = why.collect::<Vec<_>>().join("; ");
                found.push(format!(
                    "{app} of f{index} wants {wanted}, has {known} good ones, and {runs} run ({why})"
                ));
            }
        }
        for (app, count) in running {
            found.push(format!("{count} tasks of {app:?} of f{index} run for nobody"));
        }
    }
}
