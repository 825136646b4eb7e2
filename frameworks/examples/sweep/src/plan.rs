//! What is to run, what has come of it, and whether the sweep has ended. Knows nothing of the cluster.

use std::collections::BTreeMap;

use chapada_sdk::model::{AgentId, TaskId, TaskState, TaskStatus};
use chapada_sdk::{Intent, IntentChange, Intents, Phase};

use crate::grid::Point;

/// Tasks of one point that were lost without a fault of its command before the point counts as failed.
const MAX_LOST: u32 = 20;

/// The points of a sweep and how far each is.
#[derive(Debug)]
pub(crate) struct Plan {
    points: BTreeMap<String, PointState>,
    intents: Intents,
    attempts: u32,
    parallel: usize,
}

#[derive(Debug)]
struct PointState {
    point: Point,
    failed: u32,
    lost: u32,
    outcome: Option<Result<String, String>>,
}

/// What came of one point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) point: Point,
    /// Tasks launched for it.
    pub(crate) tasks: u64,
    /// The last line of its output, or why there is none.
    pub(crate) result: Result<String, String>,
}

/// What an update asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Nothing,
    /// Fetch the result of the point of this name.
    Collect(String),
    /// Nobody wants this task.
    Kill,
    /// There is something to launch again.
    Retry,
}

impl Plan {
    pub(crate) fn new(points: Vec<Point>, attempts: u32, parallel: usize) -> Self {
        let mut intents = Intents::default();
        let digits = points.len().to_string().len();
        let points = points.into_iter().enumerate().map(|(number, point)| {
            let name = format!("point-{number:0digits$}");
            intents.want(name.as_str());
            (name, PointState { point, failed: 0, lost: 0, outcome: None })
        });
        Self { points: points.collect(), intents, attempts: attempts.max(1), parallel: parallel.max(1) }
    }

    /// The next point to launch, when there is one and not too many run.
    pub(crate) fn next(&self) -> Option<String> {
        let running = self.intents.unsettled().count();
        (running < self.parallel)
            .then(|| self.intents.waiting().next())?
            .map(|intent| intent.task.name.to_string())
    }

    pub(crate) fn point(&self, name: &str) -> &[(String, String)] {
        self.points.get(name).map_or(&[], |state| &state.point)
    }

    pub(crate) fn launch(&mut self, name: &str, agent: AgentId) -> Option<Intent> {
        self.intents.launch(name, agent)
    }

    pub(crate) fn known_tasks(&self) -> Vec<(TaskId, Option<AgentId>)> {
        self.intents.unsettled().collect()
    }

    pub(crate) fn on_update(&mut self, status: &TaskStatus) -> Next {
        match self.intents.on_update(status) {
            IntentChange::Alive(_) | IntentChange::Nothing => Next::Nothing,
            IntentChange::Stray if status.state.is_terminal() => Next::Nothing,
            IntentChange::Stray => Next::Kill,
            IntentChange::Ended(task, TaskState::Finished) => Next::Collect(task.name.to_string()),
            IntentChange::Ended(task, state) => {
                let message = status.message.as_deref().unwrap_or("no message");
                self.failed(&task.name, state, &format!("{}: {message}", state.name()))
            }
        }
    }

    /// Its task has finished, and this is what it wrote, or why that could not be read.
    pub(crate) fn collected(&mut self, name: &str, output: Result<String, String>) -> Next {
        match output {
            Ok(output) => {
                let last = output.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
                self.settle(name, Ok(last.trim().to_owned()));
                Next::Nothing
            }
            Err(error) => {
                self.failed(name, TaskState::Failed, &format!("its output could not be read: {error}"))
            }
        }
    }

    fn failed(&mut self, name: &str, state: TaskState, why: &str) -> Next {
        let Some(point) = self.points.get_mut(name) else { return Next::Nothing };
        let exhausted = match state {
            // Killed: it took too long.
            TaskState::Failed | TaskState::Killed => {
                point.failed += 1;
                point.failed >= self.attempts
            }
            TaskState::Error => true,
            _ => {
                point.lost += 1;
                point.lost >= MAX_LOST
            }
        };
        if exhausted {
            self.settle(name, Err(why.to_owned()));
            return Next::Nothing;
        }
        self.intents.again(name);
        Next::Retry
    }

    fn settle(&mut self, name: &str, outcome: Result<String, String>) {
        if let Some(point) = self.points.get_mut(name) {
            point.outcome = Some(outcome);
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.points.values().all(|point| point.outcome.is_some())
    }

    /// How many points are settled, and how many there are.
    pub(crate) fn progress(&self) -> (usize, usize) {
        (self.points.values().filter(|point| point.outcome.is_some()).count(), self.points.len())
    }

    pub(crate) fn into_outcomes(self) -> Vec<Outcome> {
        let intents = self.intents;
        let outcome = |(name, state): (String, PointState)| {
            let intent = intents.get(&name);
            let tasks = intent.map_or(0, |intent| intent.task.incarnation);
            let unfinished = match intent.map(|intent| intent.phase) {
                Some(Phase::Launching | Phase::Alive(_)) => "not finished",
                Some(Phase::Waiting | Phase::Ended(_)) | None => "not run",
            };
            let result = state.outcome.unwrap_or_else(|| Err(unfinished.to_owned()));
            Outcome { point: state.point, tasks, result }
        };
        self.points.into_iter().map(outcome).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(parallel: usize) -> Plan {
        let points = (0..3).map(|n| vec![("n".to_owned(), n.to_string())]).collect();
        Plan::new(points, 2, parallel)
    }

    fn update(id: &str, state: TaskState) -> TaskStatus {
        TaskStatus::new(id.parse().expect("an id"), state)
    }

    fn launch(plan: &mut Plan) -> String {
        let name = plan.next().expect("something to launch");
        plan.launch(&name, "a1".parse().expect("an id")).expect("it waits").task.to_string()
    }

    #[test]
    fn runs_every_point_and_keeps_to_the_bound() {
        let mut plan = plan(2);
        assert_eq!((launch(&mut plan), launch(&mut plan)), ("point-0.1".to_owned(), "point-1.1".to_owned()));
        assert_eq!(plan.next(), None, "two at a time");
        for name in ["point-0", "point-1", "point-2"] {
            if name == "point-2" {
                assert_eq!(launch(&mut plan), "point-2.1");
            }
            let finished = update(&format!("{name}.1"), TaskState::Finished);
            assert_eq!(plan.on_update(&finished), Next::Collect(name.to_owned()));
            assert_eq!(plan.on_update(&finished), Next::Nothing, "once");
            plan.collected(name, Ok(format!("noise\nresult of {name}\n\n")));
        }
        assert!(plan.is_done());
        assert_eq!(plan.into_outcomes()[2].result, Ok("result of point-2".to_owned()));
    }

    #[test]
    fn failures_are_retried_as_often_as_allowed_and_losses_are_not_counted() {
        let mut plan = plan(1);
        assert_eq!(launch(&mut plan), "point-0.1");
        assert_eq!(plan.on_update(&update("point-0.1", TaskState::Dropped)), Next::Retry);
        assert_eq!(launch(&mut plan), "point-0.2");
        assert_eq!(plan.on_update(&update("point-0.2", TaskState::Failed)), Next::Retry);
        assert_eq!(launch(&mut plan), "point-0.3");
        assert_eq!(plan.on_update(&update("point-0.1", TaskState::Running)), Next::Kill);
        assert_eq!(plan.on_update(&update("point-0.3", TaskState::Failed)), Next::Nothing);
        assert_eq!(launch(&mut plan), "point-1.1", "the next one's turn");
        assert!(!plan.is_done());
        let outcomes = plan.into_outcomes();
        assert_eq!(outcomes[0].result, Err("TASK_FAILED: no message".to_owned()));
        assert_eq!(outcomes[1].result, Err("not finished".to_owned()));
        assert_eq!(outcomes[2].result, Err("not run".to_owned()));
    }
}
