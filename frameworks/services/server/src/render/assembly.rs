//! What is shown of an app or pod, put together instance by instance, so that it need not be done in one go.

use chapada_services_core::{AppState, Instance};

/// What is put together of one app or pod, instance by instance.
pub(crate) trait Assembly: Send + 'static {
    /// What comes out.
    type Out: Send + 'static;

    /// Whether its instances are of any interest.
    fn wants_instances(&self) -> bool {
        true
    }

    fn add(&mut self, state: &AppState, instance: &Instance);

    fn done(self, state: &AppState) -> Self::Out;
}
