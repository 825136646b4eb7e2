//! Where a framework keeps what must outlive it.

use std::collections::BTreeMap;

use chapada_model::Text;
use chapada_sdk_core::Intent;

/// What becomes of writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trouble {
    /// They are made and answered.
    #[default]
    None,
    /// The next one is not made.
    Refuses,
    /// The next one is made, and nobody hears of it.
    AnswerLost,
}

/// Durable intents.
#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) intents: BTreeMap<Text, Intent>,
    pub(crate) trouble: Trouble,
}

impl Store {
    /// Writes an intent; true when it is known to be durable. Otherwise its framework ends, as the SDK has it.
    pub(crate) fn put(&mut self, intent: &Intent) -> bool {
        let trouble = std::mem::take(&mut self.trouble);
        if trouble != Trouble::Refuses {
            self.intents.insert(intent.task.name.clone(), intent.clone());
        }
        trouble == Trouble::None
    }
}
