//! `/logging`: how much this process writes into its log, by Marathon's names of levels.

use std::sync::Arc;
use std::time::Duration;

use chapada_listener::Call;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Api;
use super::answer::{self, Answer, error, ok};

/// For how long a level holds that is asked for without an end: it is no way to configure the process.
const FOR: Duration = Duration::from_secs(3_600);
/// The longest that can be asked for.
const LONGEST: u64 = 7 * 24 * 3_600;

pub(crate) async fn get(api: Arc<Api>, _call: Call) -> Answer {
    ok(&levels(&api))
}

/// The root logger is the only one whose level can be changed.
fn levels(api: &Api) -> Value {
    let level = match api.logging.level() {
        0 => "INFO",
        1 => "DEBUG",
        _ => "TRACE",
    };
    json!({"ROOT": level})
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    logger: String,
    level: String,
    duration_seconds: Option<u64>,
}

pub(crate) async fn post(api: Arc<Api>, call: Call) -> Answer {
    let Change { logger, level, duration_seconds } = api.bodies.read(&call).await?;
    if !matches!(logger.as_str(), "ROOT" | "root" | "chapada" | "mesosphere.marathon") {
        return Err(answer::invalid("/logger", "is none that can be changed: use ROOT"));
    }
    let level = match level.to_ascii_lowercase().as_str() {
        "off" | "error" | "warn" | "info" | "inherit" => 0,
        "debug" => 1,
        "trace" | "all" => 2,
        _ => return Err(answer::invalid("/level", "must be one of trace, debug, info, warn, error")),
    };
    let duration = match duration_seconds {
        None => FOR,
        Some(seconds @ 1..=LONGEST) => Duration::from_secs(seconds),
        Some(_) => return Err(answer::invalid("/durationSeconds", "must be from 1 to 604800")),
    };
    api.logging.set(level, duration).map_err(|why| error(StatusCode::NOT_IMPLEMENTED, why))?;
    ok(&levels(&api))
}
