//! Intents in the store: each change of one is durable before anything can be done that rests on it.

use std::ops::Deref;
use std::time::Duration;

use chapada_coordination::{Change, WriteError};
use chapada_model::{AgentId, Mono, TaskStatus, Text};
use chapada_sdk_core::{DelayRule, Intent, IntentChange, Intents};

use crate::store::{OpenedStore, Store};

/// [`Intents`] of which every change is in the store when the call that makes it returns. They read as `Intents` do.
///
/// A call that fails has changed nothing.
#[derive(Debug)]
pub struct DurableIntents {
    intents: Intents,
    store: Store,
    kind: &'static str,
}

/// A record that is no intent.
#[derive(Debug, thiserror::Error)]
#[error("record {kind}/{key} in the store is damaged: delete the store if its tasks may be forgotten")]
pub struct DamagedIntent {
    /// The record's kind.
    pub kind: &'static str,
    /// The record's key.
    pub key: String,
    /// What is wrong with it.
    #[source]
    pub source: serde_json::Error,
}

impl DurableIntents {
    /// What the store holds under this kind of record: lower-case letters, digits and hyphens, for example `intents`.
    ///
    /// # Errors
    /// When a record is no intent.
    pub fn restore(opened: &OpenedStore, kind: &'static str) -> Result<Self, DamagedIntent> {
        let records = opened.records.iter().filter(|record| record.key.kind == kind);
        let read = |record: &chapada_coordination::Record| {
            let damaged = |source| DamagedIntent { kind, key: record.key.key.clone(), source };
            serde_json::from_slice::<Intent>(&record.value).map_err(damaged)
        };
        let intents = Intents::restore(records.map(read).collect::<Result<Vec<_>, _>>()?);
        Ok(Self { intents, store: opened.store.clone(), kind })
    }

    /// [`Intents::want`].
    ///
    /// # Errors
    /// As [`Store::write`].
    pub async fn want(&mut self, name: &str) -> Result<(), WriteError> {
        let want = |intents: &mut Intents| {
            intents.want(name);
        };
        self.change(name, want).await
    }

    /// [`Intents::forget`].
    ///
    /// # Errors
    /// As [`Store::write`].
    pub async fn forget(&mut self, name: &str) -> Result<Option<Intent>, WriteError> {
        self.change(name, |intents| intents.forget(name)).await
    }

    /// [`Intents::launch`]: launch the task once this has returned.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub async fn launch(&mut self, name: &str, agent: &AgentId) -> Result<Option<Intent>, WriteError> {
        self.change(name, |intents| intents.launch(name, agent.clone())).await
    }

    /// [`Intents::again`].
    ///
    /// # Errors
    /// As [`Store::write`].
    pub async fn again(&mut self, name: &str) -> Result<Option<Intent>, WriteError> {
        self.change(name, |intents| intents.again(name)).await
    }

    /// [`Intents::retry`].
    ///
    /// # Errors
    /// As [`Store::write`].
    pub async fn retry(
        &mut self,
        name: &str,
        rule: &DelayRule,
        now: Mono,
    ) -> Result<Option<Intent>, WriteError> {
        self.change(name, |intents| intents.retry(name, rule, now)).await
    }

    /// [`Intents::give_up`].
    ///
    /// # Errors
    /// As [`Store::write`].
    pub async fn give_up(&mut self, name: &str) -> Result<Option<Intent>, WriteError> {
        self.change(name, |intents| intents.give_up(name)).await
    }

    /// [`Intents::unreachable_for`]. Nothing of it is stored.
    pub fn unreachable_for(&mut self, long: Duration, now: Mono) -> Vec<Text> {
        self.intents.unreachable_for(long, now)
    }

    /// [`Intents::on_update`]. The update may be acknowledged once this has returned.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub async fn on_update(&mut self, status: &TaskStatus) -> Result<IntentChange, WriteError> {
        let name = chapada_sdk_core::TaskName::parse(&status.task).map(|task| task.name);
        self.change(&name.unwrap_or_default(), |intents| intents.on_update(status)).await
    }

    async fn change<T>(
        &mut self,
        name: &str,
        change: impl FnOnce(&mut Intents) -> T,
    ) -> Result<T, WriteError> {
        let before = self.intents.get(name).cloned();
        let outcome = change(&mut self.intents);
        let after = self.intents.get(name);
        if before.as_ref() == after {
            return Ok(outcome);
        }
        let written = match after {
            Some(intent) => {
                let json = serde_json::to_vec(intent).map_err(|error| self.unwritable(name, &error))?;
                Change::put(self.kind, name, &json)
            }
            None => Change::delete(self.kind, name),
        };
        if let Err(error) = self.store.write(vec![written]).await {
            self.intents.set(name, before);
            return Err(error);
        }
        Ok(outcome)
    }

    fn unwritable(&self, name: &str, error: &serde_json::Error) -> WriteError {
        WriteError::BadRecord { kind: self.kind.to_owned(), key: name.to_owned(), why: error.to_string() }
    }
}

impl Deref for DurableIntents {
    type Target = Intents;

    fn deref(&self) -> &Intents {
        &self.intents
    }
}
