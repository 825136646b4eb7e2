//! How many tasks of an app are in which state, and how long they have run.

use chapada_services_core::{AppState, Condition, Task, Timestamp};
use serde_json::{Value, json};

/// The four views of `taskStats`, put together task by task.
#[derive(Debug)]
pub(crate) struct Stats {
    now: Timestamp,
    after_last_scaling: View,
    latest: View,
    outdated: View,
    all: View,
}

impl Stats {
    pub(crate) fn at(now: Timestamp) -> Self {
        let view = View::default;
        Self { now, after_last_scaling: view(), latest: view(), outdated: view(), all: view() }
    }

    pub(crate) fn add(&mut self, state: &AppState, task: &Task) {
        let info = state.app.version_info;
        if task.version >= info.last_scaling_at {
            self.after_last_scaling.add(task, self.now);
        }
        match task.is_of(info.last_config_change_at) {
            true => self.latest.add(task, self.now),
            false => self.outdated.add(task, self.now),
        }
        self.all.add(task, self.now);
    }

    /// A view without a task is left out, and so are times when none has started.
    pub(crate) fn views(self) -> Value {
        let views = [
            ("startedAfterLastScaling", self.after_last_scaling),
            ("withLatestConfig", self.latest),
            ("withOutdatedConfig", self.outdated),
            ("totalSummary", self.all),
        ];
        let views = views.into_iter().filter(|(_, view)| view.tasks > 0);
        views.map(|(name, view)| (name.to_owned(), json!({"stats": view.stats()}))).collect()
    }
}

/// What is counted of some tasks.
#[derive(Debug, Default)]
struct View {
    tasks: u32,
    staged: u32,
    running: u32,
    healthy: u32,
    unhealthy: u32,
    /// For how many seconds each that has started runs.
    ages: Vec<f64>,
}

impl View {
    fn add(&mut self, task: &Task, now: Timestamp) {
        self.tasks += 1;
        match task.condition {
            Condition::Provisioned | Condition::Staging | Condition::Starting => self.staged += 1,
            Condition::Running => {
                self.running += 1;
                self.healthy += u32::from(task.healthy == Some(true));
                self.unhealthy += u32::from(task.healthy == Some(false));
            }
            Condition::Killing | Condition::Unreachable => {}
        }
        self.ages.extend(task.started_at.map(|at| now.since(at).as_secs_f64()));
    }

    fn stats(self) -> Value {
        let Self { staged, running, healthy, unhealthy, ages, .. } = self;
        let counts =
            json!({"staged": staged, "running": running, "healthy": healthy, "unhealthy": unhealthy});
        let mut stats = json!({"counts": counts});
        if let Some((average, median)) = average_and_median(ages) {
            stats["lifeTime"] = json!({"averageSeconds": average, "medianSeconds": median});
        }
        stats
    }
}

/// Of an even number of values the median is the middle between the two in the middle. The values are not sorted: this is
/// done where others wait.
fn average_and_median(mut values: Vec<f64>) -> Option<(f64, f64)> {
    let (count, middle) = (values.len(), values.len() / 2);
    if count == 0 {
        return None;
    }
    let average = values.iter().sum::<f64>() / count as f64;
    let (below, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let median = match below.iter().copied().max_by(f64::total_cmp).filter(|_| count.is_multiple_of(2)) {
        Some(lower) => (lower + *upper) / 2.0,
        None => *upper,
    };
    Some((average, median))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_one_in_the_middle_or_between_the_two() {
        assert_eq!(average_and_median(Vec::new()), None);
        assert_eq!(average_and_median(vec![9.0, 1.0, 2.0]), Some((4.0, 2.0)));
        assert_eq!(average_and_median(vec![9.0, 1.0, 2.0, 4.0]), Some((4.0, 3.0)));
    }
}
