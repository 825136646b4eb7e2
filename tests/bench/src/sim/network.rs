//! A network within one data centre: a delay, and order on each connection. It loses nothing: what breaks is for
//! `tests/simulator`.

use std::time::Duration;

use super::chance::Chance;
use chapada_model::Mono;

/// How long a message takes one way.
const LEAST: Duration = Duration::from_micros(50);
const MOST: Duration = Duration::from_micros(250);

/// One direction of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Channel(Mono);

impl Channel {
    /// When a message that leaves at this moment arrives: never before one that left earlier.
    pub(crate) fn arrival(&mut self, chance: &mut Chance, leaves: Mono) -> Mono {
        self.0 = self.0.max(leaves + chance.between(LEAST, MOST));
        self.0
    }
}
