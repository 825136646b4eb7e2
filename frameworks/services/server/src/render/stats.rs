//! How many tasks of an app are in which state, and how long they have run.

use chapada_services_core::{AppState, Condition, Task, Timestamp};
use serde_json::{Value, json};

/// The four views of `taskStats`; one without a task is left out, and so are times when none has started.
pub(crate) fn views(state: &AppState, now: Timestamp) -> Value {
    let info = state.app.version_info;
    let outdated = |task: &Task| !task.is_of(info.last_config_change_at);
    let mut views = json!({});
    let mut add = |name: &str, tasks: Vec<&Task>| {
        if !tasks.is_empty() {
            views[name] = json!({"stats": stats(&tasks, now)});
        }
    };
    let those = |wanted: &dyn Fn(&Task) -> bool| state.tasks().filter(|task| wanted(task)).collect();
    add("startedAfterLastScaling", those(&|task| task.version >= info.last_scaling_at));
    add("withLatestConfig", those(&|task| !outdated(task)));
    add("withOutdatedConfig", those(&outdated));
    add("totalSummary", those(&|_| true));
    views
}

fn stats(tasks: &[&Task], now: Timestamp) -> Value {
    let count = |wanted: &dyn Fn(&Task) -> bool| tasks.iter().filter(|task| wanted(task)).count();
    let runs = |task: &Task| task.condition == Condition::Running;
    let mut stats = json!({"counts": {
        "staged": count(&|task| {
            matches!(task.condition, Condition::Provisioned | Condition::Staging | Condition::Starting)
        }),
        "running": count(&runs),
        "healthy": count(&|task| runs(task) && task.healthy == Some(true)),
        "unhealthy": count(&|task| runs(task) && task.healthy == Some(false)),
    }});
    let started = tasks.iter().filter_map(|task| task.started_at);
    let ages = started.map(|at| now.since(at).as_secs_f64()).collect();
    if let Some((average, median)) = average_and_median(ages) {
        stats["lifeTime"] = json!({"averageSeconds": average, "medianSeconds": median});
    }
    stats
}

/// Of an even number of values the median is the middle between the two in the middle.
fn average_and_median(mut values: Vec<f64>) -> Option<(f64, f64)> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    let median = match values.len() % 2 {
        0 => (values[middle - 1] + upper) / 2.0,
        _ => upper,
    };
    Some((values.iter().sum::<f64>() / values.len() as f64, median))
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
