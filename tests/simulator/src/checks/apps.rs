//! I6 for the services framework: an app or pod never runs more instances than its strategy allows, nor an instance twice; each
//! launch is meant before it is sent; and once nothing breaks each has what it wants and nothing runs for nobody.

use std::collections::{BTreeMap, BTreeSet};

use chapada_agent_core::{Runner, TaskRecord};
use chapada_master_core::{Call, Operation, Proposal};
use chapada_model::{FrameworkId, TaskId};
use chapada_services_core::AppId;

use crate::actors::{Incarnation, Services};
use crate::sim::Sim;
use crate::tally::Met;

impl Sim {
    fn services_of(&self, framework: &FrameworkId) -> Option<&Services> {
        self.frameworks[self.framework_of(framework)?].actor.services()
    }

    /// The live tasks of a framework on all machines.
    pub(super) fn live_tasks<'a>(&'a self, framework: &'a FrameworkId) -> impl Iterator<Item = &'a TaskId> {
        let all = self.agents.iter().flat_map(|agent| agent.kernel.containers.values());
        let live = all.filter(move |found| found.is_live() && found.framework() == framework);
        live.flat_map(|found| found.tasks().map(|task| &task.key.task))
    }

    /// A task begins: with those that run and were launched before it there are no more than were allowed then, and none of
    /// them is its own instance's. Those that did not count then, because their agent was out of reach for long enough, stand
    /// apart. The containers of a pod's instance count as one.
    pub(crate) fn check_allowed(&mut self, record: &TaskRecord) {
        let (framework, task) = (&record.key.framework, &record.key.task);
        let Some(services) = self.services_of(framework) else { return };
        let incarnation = Incarnation::of(task);
        let decided = incarnation.and_then(|one| Some((services.decisions().of(&one)?, one)));
        let Some((mine, incarnation)) = decided else {
            return self.fail(|| format!("I6: {task} begins, and nobody decided that"));
        };
        let counted = |other: &TaskId| {
            let found = Incarnation::of(other)?;
            let decision = services.decisions().of(&found)?;
            let is_before = decision.app == mine.app && decision.order < mine.order;
            (is_before && !mine.is_apart(&found, other)).then_some(found)
        };
        let others: BTreeSet<Incarnation> = self.live_tasks(framework).filter_map(counted).collect();
        let (allowed, app) = (mine.allowed, mine.app.clone());
        let former = others.iter().find(|other| other.instance == incarnation.instance).cloned();
        let is_of_pod = matches!(record.runner, Runner::Pod { .. });
        if is_of_pod {
            self.tally.met(Met::ContainerStarted);
        }
        if let Some(former) = former {
            self.fail(|| format!("I6: {task} begins, and {former} of the same instance still runs"));
        }
        if others.len() + 1 > allowed {
            let others: Vec<String> = others.iter().map(ToString::to_string).collect();
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
            Operation::LaunchGroup(group) => group.tasks.as_slice(),
            _ => &[],
        });
        let is_recorded = |task: &TaskId| {
            let key = Incarnation::of(task).map(|one| format!("instance.{}", one.instance));
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

    /// The tasks of each app and pod of a framework that run on any machine; those that belong to none under the empty name.
    fn running_of_apps(&self, framework: usize) -> BTreeMap<String, BTreeSet<&TaskId>> {
        let mut running = BTreeMap::<String, BTreeSet<&TaskId>>::new();
        let Some(id) = &self.frameworks[framework].id else { return running };
        for task in self.live_tasks(id) {
            let app = Incarnation::of(task).map_or_else(String::new, |one| one.instance.app().to_string());
            running.entry(app).or_default().insert(task);
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
        for state in core.specs() {
            let (app, wanted) =
                (state.app.definition.id.to_string(), state.app.definition.instances as usize);
            let runs = running.remove(&app).unwrap_or_default();
            let known: BTreeSet<&TaskId> = state.tasks().flat_map(|task| task.live_ids()).collect();
            let good = state.instances.values().filter(|instance| instance.is_good()).count();
            if (good, state.instances.len()) != (wanted, wanted) || runs != known {
                let answer = core.inquire(self.clock(0), &state.app.definition.id).map(|why| why.answer());
                let why = answer.into_iter().flat_map(|answer| answer.reasons).map(|reason| reason.sentence);
                let why = why.collect::<Vec<_>>().join("; ");
                found.push(format!(
                    "{app} of f{index} wants {wanted}, has {good} good ones with {known:?}, and {runs:?} run ({why})"
                ));
            }
        }
        for (app, tasks) in running {
            found.push(format!("{tasks:?} of {app:?} of f{index} run for nobody"));
        }
    }
}
