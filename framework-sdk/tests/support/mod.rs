//! What the tests of the SDK share.
#![expect(
    dead_code,
    clippy::unwrap_used,
    reason = "each test file takes what it needs, and tests may unwrap"
)]

pub(crate) mod scripted_master;

use std::future::Future;
use std::time::Duration;

use chapada_sdk::FrameworkConfig;
use scripted_master::ScriptedMaster;

/// Nothing takes longer, on a machine under load.
const PATIENCE: Duration = Duration::from_secs(60);

/// Fails loudly instead of hanging.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {PATIENCE:?} for: {what}"),
    }
}

pub(crate) fn config(master: &ScriptedMaster) -> FrameworkConfig {
    let mut config = FrameworkConfig::new("a-test", master.address().to_string().parse().unwrap());
    config.resubscribe.first = Duration::from_millis(10);
    config.tick = Duration::from_millis(20);
    config.reconciliation.repeat.first = Duration::from_millis(50);
    config
}
