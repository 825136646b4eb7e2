//! `POST /leadership/step-down`: an operator has this master give its place to the next one in line.

use std::sync::Arc;
use std::time::Duration;

use chapada_listener::{Action, BodyError, Call, HttpResponse, Routes, bytes, text};
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::plain::path_and_query;
use crate::shell::Shell;

/// Where it is asked for.
const PATH: &str = "/leadership/step-down";
/// Requests that may wait: the first is obeyed, and whoever is behind it is told so.
pub(crate) const REQUESTS: usize = 8;

/// What an operator asks for.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Asked {
    /// Also when no other master waits to lead.
    force: bool,
}

/// A request, on its way to whoever holds the leadership.
pub(crate) struct StepDown {
    pub(crate) force: bool,
    pub(crate) reply: oneshot::Sender<Result<SteppedDown, Refused>>,
}

/// What was given away.
#[derive(Debug, Serialize)]
pub(crate) struct SteppedDown {
    /// Of the leadership that is over.
    pub(crate) epoch: u64,
    /// From the request until the place was free, in seconds.
    seconds: f64,
}

/// Why the leader stays.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("This master keeps its records in a file, so no other can lead: give all masters one --zk")]
    Alone,
    #[error("No other master waits to lead: start one, or say \"force\": true to stand in line again")]
    NobodyWaits,
    #[error("ZooKeeper does not say who waits to lead: {0}")]
    Unknown(String),
}

impl SteppedDown {
    pub(crate) fn new(epoch: u64, took: Duration) -> Self {
        Self { epoch, seconds: took.as_secs_f64() }
    }
}

/// Adds the route.
pub(crate) fn routes(routes: Routes, shell: &Arc<Shell>) -> Routes {
    let shell = shell.clone();
    routes.on(Method::POST, PATH, Action::OperateCluster, move |call| {
        let shell = shell.clone();
        async move {
            match asked(&shell, call).await {
                Ok(response) | Err(response) => response,
            }
        }
    })
}

async fn asked(shell: &Shell, call: Call) -> Result<HttpResponse, HttpResponse> {
    let path = path_and_query(&call);
    let elsewhere = || match shell.leading() {
        Ok(_) => text(StatusCode::CONFLICT, "The leadership has changed meanwhile"),
        Err(elsewhere) => elsewhere.response(&path),
    };
    shell.leading().map_err(|elsewhere| elsewhere.response(&path))?;
    let body = call.read_body().await.map_err(BodyError::into_response)?;
    let asked = match body.is_empty() {
        true => Asked::default(),
        false => serde_json::from_slice(&body)
            .map_err(|why| text(StatusCode::BAD_REQUEST, format!("The body is not understood: {why}")))?,
    };
    let (reply, answer) = oneshot::channel();
    shell.step_downs.try_send(StepDown { force: asked.force, reply }).map_err(|error| match error {
        mpsc::error::TrySendError::Full(_) => text(StatusCode::CONFLICT, "This master is stepping down"),
        mpsc::error::TrySendError::Closed(_) => elsewhere(),
    })?;
    match answer.await {
        Ok(Ok(done)) => {
            let body = serde_json::to_vec(&done).expect("two numbers always serialise");
            Ok(bytes(StatusCode::OK, "application/json", body))
        }
        Ok(Err(refused)) => Err(text(StatusCode::CONFLICT, refused.to_string())),
        Err(_) => Err(elsewhere()),
    }
}
