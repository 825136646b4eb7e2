//! Intents in the store: each change of one is durable before anything can be done that rests on it.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::time::Duration;

use chapada_coordination::{Change, WriteError};
use chapada_model::{AgentId, Mono, TaskStatus, Text};
use chapada_sdk_core::{DelayRule, Intent, IntentChange, Intents};

use crate::store::{OpenedStore, Store};

/// [`Intents`] of which every change is in the store when the call that makes it returns. They read as `Intents` do.
///
/// A store that refuses for a reason that may pass is asked again, as by [`Store::write_in_parts`]. A call that fails, or is dropped
/// before it returns, has changed nothing here.
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
    /// As [`Store::write_in_parts`].
    pub async fn want(&mut self, name: &str) -> Result<(), WriteError> {
        let want = |intents: &mut Intents| {
            intents.want(name);
        };
        self.change(name, want).await
    }

    /// Wants these, and forgets all others: what still runs of those becomes a stray.
    ///
    /// # Errors
    /// As [`Store::write_in_parts`]; some may be wanted and forgotten then.
    pub async fn want_only(&mut self, names: impl IntoIterator<Item = String>) -> Result<(), WriteError> {
        let names: BTreeSet<Text> = names.into_iter().map(Text::from).collect();
        let others = self.iter().map(|intent| intent.task.name.clone()).filter(|name| !names.contains(name));
        for name in others.collect::<Vec<_>>() {
            self.forget(&name).await?;
        }
        for name in &names {
            self.want(name).await?;
        }
        Ok(())
    }

    /// [`Intents::forget`].
    ///
    /// # Errors
    /// As [`Store::write_in_parts`].
    pub async fn forget(&mut self, name: &str) -> Result<Option<Intent>, WriteError> {
        self.change(name, |intents| intents.forget(name)).await
    }

    /// [`Intents::launch`]: launch the task once this has returned.
    ///
    /// # Errors
    /// As [`Store::write_in_parts`].
    pub async fn launch(&mut self, name: &str, agent: &AgentId) -> Result<Option<Intent>, WriteError> {
        self.change(name, |intents| intents.launch(name, agent.clone())).await
    }

    /// [`Intents::again`].
    ///
    /// # Errors
    /// As [`Store::write_in_parts`].
    pub async fn again(&mut self, name: &str) -> Result<Option<Intent>, WriteError> {
        self.change(name, |intents| intents.again(name)).await
    }

    /// [`Intents::retry`].
    ///
    /// # Errors
    /// As [`Store::write_in_parts`].
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
    /// As [`Store::write_in_parts`].
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
    /// As [`Store::write_in_parts`].
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
        let after = self.intents.get(name).cloned();
        if before == after {
            return Ok(outcome);
        }
        // Should the write fail, or be given up, it stays as it was.
        self.intents.set(name, before);
        let written = match &after {
            Some(intent) => {
                let json = serde_json::to_vec(intent).map_err(|error| self.unwritable(name, &error))?;
                Change::put(self.kind, name, &json)
            }
            None => Change::delete(self.kind, name),
        };
        self.store.write_in_parts(vec![written]).await?;
        self.intents.set(name, after);
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

#[cfg(test)]
mod tests {
    use chapada_coordination::{Coordination, MemoryStore, Schema};
    use chapada_model::TaskState;
    use tokio::time::Instant;

    use super::*;
    use crate::election::Candidate;

    /// What is in the store, and nothing else is known.
    async fn opened(store: &MemoryStore) -> OpenedStore {
        let candidate = Candidate::new(Schema { name: "intents", version: 1, grouped: &[] });
        let mut campaign = Coordination::Memory(store.clone()).campaign(candidate.info);
        let term = campaign.wait_until_leading().await.expect("nobody else runs");
        Store::open(&term, candidate.schema).await.expect("it is in memory")
    }

    async fn restored(store: &MemoryStore) -> DurableIntents {
        DurableIntents::restore(&opened(store).await, "intents").expect("as stored")
    }

    fn status(task: &str, state: TaskState) -> TaskStatus {
        TaskStatus::new(task.parse().expect("an id"), state)
    }

    /// One that waits, one that runs, one that has ended.
    async fn three(store: &MemoryStore) -> DurableIntents {
        let mut intents = restored(store).await;
        let agent = "a1".parse().expect("an id");
        intents.want_only(["ends", "runs", "waits"].map(str::to_owned)).await.expect("stored");
        for name in ["ends", "runs"] {
            intents.launch(name, &agent).await.expect("stored");
        }
        intents.on_update(&status("runs.1", TaskState::Running)).await.expect("stored");
        intents.on_update(&status("ends.1", TaskState::Failed)).await.expect("stored");
        intents
    }

    #[tokio::test]
    async fn a_call_that_fails_has_changed_nothing() {
        let agent: AgentId = "a1".parse().expect("an id");
        let rule = DelayRule { first: Duration::from_secs(1), factor: 2.0, most: Duration::from_secs(9) };
        // After each refusal the term is over, so each call has a store of its own.
        for call in ["want", "forget", "launch", "again", "retry", "give up", "update", "want only"] {
            let store = MemoryStore::default();
            let mut intents = three(&store).await;
            let (before, records) = (intents.intents.clone(), store.records());
            let refusal = WriteError::Interfered("by hand".to_owned());
            store.refuse_writes([refusal.clone()]);
            let refused = match call {
                "want" => intents.want("more").await,
                "forget" => intents.forget("runs").await.map(drop),
                "launch" => intents.launch("waits", &agent).await.map(drop),
                "again" => intents.again("ends").await.map(drop),
                "retry" => intents.retry("ends", &rule, Mono(0)).await.map(drop),
                "give up" => intents.give_up("runs").await.map(drop),
                "update" => intents.on_update(&status("runs.1", TaskState::Lost)).await.map(drop),
                _ => intents.want_only([]).await,
            };
            assert_eq!(refused, Err(refusal), "{call}");
            assert_eq!(intents.intents, before, "{call}");
            assert_eq!(store.records(), records, "{call}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_fails_for_now_is_asked_again_and_a_call_that_is_given_up_has_changed_nothing() {
        let store = MemoryStore::default();
        let mut intents = three(&store).await;
        let full = WriteError::Storage { place: "a disk".to_owned(), message: "is full".to_owned() };
        store.refuse_writes(vec![full; 4]);
        let (before, began) = (intents.intents.clone(), Instant::now());
        let given_up = tokio::time::timeout(Duration::from_millis(1500), intents.want("more")).await;
        assert!(given_up.is_err() && intents.intents == before);
        intents.want("more").await.expect("stored in the end");
        assert!(began.elapsed() >= Duration::from_secs(3), "{:?}", began.elapsed());
        assert_eq!(restored(&store).await.intents, intents.intents);
    }

    #[tokio::test]
    async fn what_is_not_among_those_wanted_is_forgotten() {
        let store = MemoryStore::default();
        let mut intents = three(&store).await;
        intents.want_only(["more", "runs"].map(str::to_owned)).await.expect("stored");
        let known: Vec<String> =
            restored(&store).await.iter().map(|intent| intent.task.to_string()).collect();
        assert_eq!(known, ["more.0", "runs.1"], "what runs stays as it is");
    }
}
