//! How much this process writes into its log, changed for a while by SET_LOGGING_LEVEL and by `/logging/toggle`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{Method, StatusCode};
use tokio::task::JoinHandle;

use crate::authority::Action;
use crate::call::Call;
use crate::guard::ContentRule;
use crate::reply::{HttpResponse, empty, text};
use crate::routes::{RouteEntry, Routes};

/// Makes the log as talkative as a level says: 0 as the process was started, 1 with what helps to find a fault, 2 and
/// above with everything. `Err` says why it could not; nothing has changed then.
pub type SetLevel = Arc<dyn Fn(u32) -> Result<(), String> + Send + Sync>;

/// The level, and when it ends.
#[derive(Clone, Default)]
pub struct Logging {
    set: Option<SetLevel>,
    now: Arc<Mutex<Now>>,
}

#[derive(Default)]
struct Now {
    level: u32,
    /// Waits to go back to level 0.
    ending: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Logging {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Logging").field("level", &self.level()).finish_non_exhaustive()
    }
}

impl Logging {
    /// A log whose level `set` changes.
    pub fn with(set: SetLevel) -> Self {
        Self { set: Some(set), now: Arc::default() }
    }

    /// The level now.
    pub fn level(&self) -> u32 {
        self.lock().level
    }

    /// Changes the level; it goes back to 0 by itself. A later change takes the place of an earlier one.
    ///
    /// # Errors
    /// Says why the level cannot be changed; it is as before then.
    pub fn set(&self, level: u32, duration: Duration) -> Result<(), String> {
        let Some(set) = &self.set else {
            return Err("the log of this process belongs to the program around it".to_owned());
        };
        let mut now = self.lock();
        set(level)?;
        now.level = level;
        if let Some(ending) = now.ending.take() {
            ending.abort();
        }
        if level > 0 {
            now.ending = Some(tokio::spawn(self.clone().end(duration)));
        }
        Ok(())
    }

    /// Adds `/logging/toggle`: GET shows the level, POST with `level` and `duration` in the query changes it. Mesos takes a GET for
    /// both; here no page may change anything by naming an address.
    #[must_use]
    pub fn routes(&self, routes: Routes) -> Routes {
        self.routes_behind(routes, |call| std::future::ready(Ok(call)))
    }

    /// The same, where a change takes more than the policy's word: `admit` gives the call back, or the answer.
    #[must_use]
    pub fn routes_behind<F>(
        &self,
        routes: Routes,
        admit: impl Fn(Call) -> F + Send + Sync + 'static,
    ) -> Routes
    where
        F: Future<Output = Result<Call, HttpResponse>> + Send + 'static,
    {
        const TOGGLE: &str = "/logging/toggle";
        let (shown, changed) = (self.clone(), self.clone());
        let entry = RouteEntry {
            method: Some(Method::POST),
            pattern: TOGGLE,
            action: Action::OperateCluster,
            content: ContentRule::Form,
        };
        routes
            .get(TOGGLE, Action::ViewFlags, move |call: Call| {
                let logging = shown.clone();
                async move { logging.show(&call) }
            })
            .add(entry, move |call: Call| {
                let (logging, admitted) = (changed.clone(), admit(call));
                async move {
                    match admitted.await {
                        Ok(call) => logging.toggle(&call),
                        Err(refusal) => refusal,
                    }
                }
            })
    }

    fn show(&self, call: &Call) -> HttpResponse {
        let query = call.query();
        match query.get("level").or(query.get("duration")) {
            None => text(StatusCode::OK, format!("{}\n", self.level())),
            Some(_) => text(StatusCode::METHOD_NOT_ALLOWED, "A change of the level takes a POST.\n"),
        }
    }

    fn toggle(&self, call: &Call) -> HttpResponse {
        let query = call.query();
        let refused = |message: String| text(StatusCode::BAD_REQUEST, message);
        let Some(level) = query.get("level") else {
            return refused("Expecting 'level=value' in query.\n".to_owned());
        };
        let Some(duration) = query.get("duration") else {
            return refused("Expecting 'duration=value' in query.\n".to_owned());
        };
        let Ok(level) = level.parse() else { return refused(format!("Invalid level '{level}'.\n")) };
        let duration = match humantime::parse_duration(duration) {
            Ok(duration) => duration,
            Err(error) => return refused(format!("Invalid duration '{duration}': {error}.\n")),
        };
        match self.set(level, duration) {
            Ok(()) => empty(StatusCode::OK),
            Err(why) => text(StatusCode::NOT_IMPLEMENTED, format!("{why}.\n")),
        }
    }

    async fn end(self, after: Duration) {
        tokio::time::sleep(after).await;
        let mut now = self.lock();
        match self.set.as_ref().map_or(Ok(()), |set| set(0)) {
            Ok(()) => (now.level, now.ending) = (0, None),
            Err(why) => tracing::error!("the logging level stays: {why}"),
        }
    }

    /// Nothing that holds it can leave it half changed.
    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_level_ends_by_itself_and_the_last_one_counts() {
        let (sink, mut said) = tokio::sync::mpsc::unbounded_channel();
        let logging = Logging::with(Arc::new(move |level| match level {
            9 => Err("no such level".to_owned()),
            level => sink.send(level).map_err(|error| error.to_string()),
        }));
        logging.set(2, Duration::ZERO).unwrap();
        logging.set(1, Duration::from_secs(3600)).unwrap();
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert_eq!(logging.set(9, Duration::ZERO), Err("no such level".to_owned()));
        assert_eq!(logging.level(), 1, "the end of the first concerns it no more");
        logging.set(3, Duration::ZERO).unwrap();
        let mut levels = Vec::new();
        said.recv_many(&mut levels, 3).await;
        levels.extend(said.recv().await);
        assert_eq!((levels, logging.level()), (vec![2, 1, 3, 0], 0));
        assert!(Logging::default().set(1, Duration::from_secs(1)).is_err());
    }
}
