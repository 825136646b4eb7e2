//! What is in use right now, by digest: a pull holds its layers, a launch its image.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::digest::Digest;

#[derive(Debug, Default)]
pub(crate) struct Pins(Mutex<HashMap<Digest, usize>>);

/// Holds one digest for as long as it lives.
#[derive(Debug)]
pub(crate) struct Pin {
    pins: Arc<Pins>,
    digest: Digest,
}

impl Pins {
    pub(crate) fn pin(self: &Arc<Self>, digest: &Digest) -> Pin {
        *self.held().entry(digest.clone()).or_default() += 1;
        Pin { pins: self.clone(), digest: digest.clone() }
    }

    /// What is held. Nothing is taken hold of while the answer is looked at.
    pub(super) fn held(&self) -> MutexGuard<'_, HashMap<Digest, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut held = self.pins.held();
        if let Some(count) = held.get_mut(&self.digest) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.digest);
            }
        }
    }
}
