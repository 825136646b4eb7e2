//! How long an app that keeps failing waits before its next launch.

use std::time::Duration;

use chapada_model::Mono;

use crate::definition::AppDefinition;

/// The wait of one app. It grows with each failure and is forgotten after a quiet time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delay {
    length: Duration,
    from: Mono,
}

impl Delay {
    /// The wait after one more failure of `app` at `now`. A wait that was over for as long as the longest one is forgotten.
    ///
    /// Source: Marathon multiplies by `backoffFactor` and never waits longer than `maxLaunchDelaySeconds`.
    pub fn after_failure(previous: Option<Self>, app: &AppDefinition, now: Mono) -> Self {
        let most = app.max_launch_delay_seconds.duration();
        let length = match previous.filter(|delay| now <= delay.until() + most) {
            None => app.backoff_seconds.duration(),
            Some(delay) => {
                let grown = delay.length.as_secs_f64() * app.backoff_factor;
                Duration::try_from_secs_f64(grown).unwrap_or(most)
            }
        };
        Self { length: length.min(most), from: now }
    }

    /// When the wait is over.
    pub fn until(self) -> Mono {
        self.from + self.length
    }

    /// What is left of the wait.
    pub fn left(self, now: Mono) -> Duration {
        self.until().since(now)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn app() -> AppDefinition {
        let json = json!({"id": "/a", "cmd": "false", "backoffSeconds": 1, "backoffFactor": 2, "maxLaunchDelaySeconds": 5});
        AppDefinition::from_json(json.as_object().unwrap(), "*").unwrap()
    }

    #[test]
    fn grows_to_the_longest_and_is_forgotten_after_a_quiet_time() {
        let now = Mono(0);
        let mut delay = None;
        let mut lengths = Vec::new();
        for _ in 0..5 {
            let next = Delay::after_failure(delay, &app(), now);
            lengths.push(next.left(now).as_secs());
            delay = Some(next);
        }
        assert_eq!(lengths, [1, 2, 4, 5, 5]);
        let still = Mono(0) + 10 * SECOND;
        assert_eq!(Delay::after_failure(delay, &app(), still).left(still), 5 * SECOND);
        let quiet = still + Duration::from_millis(1);
        assert_eq!(Delay::after_failure(delay, &app(), quiet).left(quiet), SECOND);
    }
}
