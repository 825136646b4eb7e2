//! How long an app that keeps failing waits before its next launch, in the terms of the SDK's delays.

use chapada_sdk_core::DelayRule;

use crate::definition::AppDefinition;

impl AppDefinition {
    /// How its delays grow.
    ///
    /// Source: Marathon multiplies by `backoffFactor` and never waits longer than `maxLaunchDelaySeconds`.
    pub fn delay_rule(&self) -> DelayRule {
        DelayRule {
            first: self.backoff_seconds.duration(),
            factor: self.backoff_factor,
            most: self.max_launch_delay_seconds.duration(),
        }
    }
}
