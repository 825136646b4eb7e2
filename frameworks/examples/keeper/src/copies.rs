//! The copies: which there are to be, how far each is, and when one is due again. Time and randomness are arguments.

use std::collections::BTreeMap;
use std::time::Duration;

use chapada_sdk::model::{AgentId, Mono, TaskId, TaskState, TaskStatus, Text};
use chapada_sdk::{Change, Intent, IntentChange, Intents, Phase, Record, Schema};

use crate::flags::Flags;

/// What a keeper's store holds.
pub(crate) const SCHEMA: Schema = Schema { name: "chapada-keeper", version: 1, grouped: &[] };
/// One record for each copy: its intent as JSON.
const COPIES: &str = "copies";

#[derive(Debug)]
pub(crate) struct Copies {
    intents: Intents,
    /// When one that has ended is due again.
    due: BTreeMap<Text, Mono>,
    /// Since when one lives or is unreachable.
    since: BTreeMap<Text, Mono>,
    /// Copies that were stored and are not wanted any more, with where they ran.
    surplus: BTreeMap<TaskId, Option<AgentId>>,
}

/// A record that this program did not write.
#[derive(Debug, thiserror::Error)]
#[error("record {COPIES}/{key} in the store is damaged: delete the store if its copies may be forgotten")]
pub(crate) struct DamagedCopy {
    key: String,
    #[source]
    source: serde_json::Error,
}

/// What an update asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Nothing,
    /// Store this, nothing else.
    Store(Change),
    /// End this task; it is none of the copies.
    Kill,
}

impl Copies {
    /// What was stored, with as many copies as there are to be from now on.
    pub(crate) fn restore(records: &[Record], flags: &Flags) -> Result<Self, DamagedCopy> {
        let mut surplus = BTreeMap::new();
        let wanted: Vec<Text> = (0..flags.instances).map(|number| format!("copy-{number}").into()).collect();
        let mut stored: Vec<Intent> = Vec::new();
        for record in records.iter().filter(|record| record.key.kind == COPIES) {
            let intent: Intent = serde_json::from_slice(&record.value)
                .map_err(|source| DamagedCopy { key: record.key.key.clone(), source })?;
            if wanted.contains(&intent.task.name) {
                stored.push(intent);
            } else if let Ok(task) = intent.task.task_id() {
                surplus.insert(task, intent.agent);
            }
        }
        let mut intents = Intents::restore(stored);
        for name in wanted {
            intents.want(name);
        }
        Ok(Self { intents, due: BTreeMap::new(), since: BTreeMap::new(), surplus })
    }

    /// Every task that may live, wanted or not: the master's answer tells which to end.
    pub(crate) fn known_tasks(&self) -> Vec<(TaskId, Option<AgentId>)> {
        let surplus = self.surplus.iter().map(|(task, agent)| (task.clone(), agent.clone()));
        self.intents.unsettled().chain(surplus).collect()
    }

    /// The next copy to start, if one is due.
    pub(crate) fn next(&self) -> Option<Text> {
        self.intents.waiting().next().map(|intent| intent.task.name.clone())
    }

    /// Decides to start a copy there. The change is to be stored before the task is launched.
    pub(crate) fn launch(&mut self, name: &str, agent: AgentId) -> Option<(Intent, Change)> {
        let intent = self.intents.launch(name, agent)?;
        let change = stored(&intent);
        Some((intent, change))
    }

    pub(crate) fn on_update(&mut self, now: Mono, random: u64, status: &TaskStatus, flags: &Flags) -> Next {
        let gone = status.state.is_terminal() || status.state == TaskState::Unknown;
        if gone && self.surplus.remove(&status.task).is_some() {
            return match chapada_sdk::TaskName::parse(&status.task) {
                Ok(task) => Next::Store(Change::delete(COPIES, &task.name)),
                Err(_) => Next::Nothing,
            };
        }
        match self.intents.on_update(status) {
            IntentChange::Stray if gone => Next::Nothing,
            IntentChange::Stray => Next::Kill,
            IntentChange::Nothing => Next::Nothing,
            IntentChange::Alive(task) => {
                self.since.insert(task.name.clone(), now);
                self.store(&task.name)
            }
            IntentChange::Ended(task, state) => {
                let ran = self.since.remove(&task.name).map_or(Duration::ZERO, |since| now.since(since));
                if ran >= flags.max_backoff {
                    self.intents.ran_well(&task.name);
                }
                let failures = self.intents.get(&task.name).map_or(0, |intent| intent.failures);
                let wait = flags.restart().wait(failures.saturating_sub(1), random);
                tracing::info!(task_id = %status.task, state = state.name(), ?wait, "a copy has ended");
                self.due.insert(task.name.clone(), now + wait);
                self.store(&task.name)
            }
        }
    }

    /// What is due by time: copies to be started again, and those given up. To be stored, if anything.
    pub(crate) fn on_time(&mut self, now: Mono, flags: &Flags) -> Vec<Change> {
        let unreachable = |intent: &&Intent| intent.phase == Phase::Alive(TaskState::Unreachable);
        let too_long = |name: &Text| {
            self.since.get(name).is_some_and(|since| now.since(*since) >= flags.replace_unreachable_after)
        };
        let given_up: Vec<Text> = self
            .intents
            .iter()
            .filter(unreachable)
            .map(|intent| intent.task.name.clone())
            .filter(too_long)
            .collect();
        // After a restart it is not known when an ended copy was due: at once.
        let ended = self.intents.iter().filter(|intent| matches!(intent.phase, Phase::Ended(_)));
        let due = ended
            .map(|intent| intent.task.name.clone())
            .filter(|name| self.due.get(name).is_none_or(|due| *due <= now))
            .collect::<Vec<_>>();
        let mut changes = Vec::new();
        for name in &given_up {
            self.intents.give_up(name);
        }
        for name in due.iter().chain(&given_up) {
            self.due.remove(name);
            self.since.remove(name);
            changes.extend(self.intents.again(name).as_ref().map(stored));
        }
        // One that was unreachable before this program started counts from now.
        for intent in self.intents.iter().filter(unreachable) {
            self.since.entry(intent.task.name.clone()).or_insert(now);
        }
        changes
    }

    fn store(&self, name: &str) -> Next {
        self.intents.get(name).map_or(Next::Nothing, |intent| Next::Store(stored(intent)))
    }
}

fn stored(intent: &Intent) -> Change {
    let json = serde_json::to_vec(intent).expect("text and numbers always serialise");
    Change::put(COPIES, &intent.task.name, &json)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn flags(instances: usize) -> Flags {
        let instances = instances.to_string();
        Flags::parse_from(["keeper", "--store", "x", "-n", &instances, "true"])
    }

    fn at(seconds: u64) -> Mono {
        Mono(0) + Duration::from_secs(seconds)
    }

    fn update(id: &str, state: TaskState) -> TaskStatus {
        TaskStatus::new(id.parse().expect("an id"), state)
    }

    /// A store that takes changes as the real one does.
    fn apply(records: &mut BTreeMap<String, Record>, change: Change) {
        match change {
            Change::Put(record) => drop(records.insert(record.key.key.clone(), record)),
            Change::Delete(key) => drop(records.remove(&key.key)),
        }
    }

    fn launch(copies: &mut Copies) -> (String, Change) {
        let name = copies.next().expect("one is to be started");
        let (intent, change) = copies.launch(&name, "a1".parse().expect("an id")).expect("it waits");
        (intent.task.to_string(), change)
    }

    #[test]
    fn a_copy_that_ends_is_started_again_ever_more_slowly() {
        let flags = flags(1);
        let mut copies = Copies::restore(&[], &flags).expect("an empty store");
        let mut now = 0;
        for incarnation in 1..=8_u32 {
            assert_eq!(launch(&mut copies).0, format!("copy-0.{incarnation}"));
            assert_eq!(copies.next(), None);
            let failed = update(&format!("copy-0.{incarnation}"), TaskState::Failed);
            assert!(matches!(copies.on_update(at(now), u64::MAX, &failed, &flags), Next::Store(_)));
            let ceiling = (1 << (incarnation - 1)).min(60);
            assert!(copies.on_time(at(now + ceiling - 1), &flags).is_empty(), "{incarnation}");
            now += ceiling;
            assert_eq!(copies.on_time(at(now), &flags).len(), 1);
        }
        launch(&mut copies);
        copies.on_update(at(now), 0, &update("copy-0.9", TaskState::Running), &flags);
        copies.on_update(at(now + 60), u64::MAX, &update("copy-0.9", TaskState::Failed), &flags);
        assert_eq!(copies.on_time(at(now + 61), &flags).len(), 1, "it ran well: back to the first wait");
    }

    #[test]
    fn after_a_restart_nothing_is_started_twice_and_what_is_too_much_is_ended() {
        let mut records = BTreeMap::new();
        let before = flags(3);
        let mut copies = Copies::restore(&[], &before).expect("an empty store");
        for _ in 0..3 {
            let (_, change) = launch(&mut copies);
            apply(&mut records, change);
        }
        let after = flags(2);
        let stored: Vec<Record> = records.values().cloned().collect();
        let mut copies = Copies::restore(&stored, &after).expect("as stored");
        assert_eq!(copies.next(), None, "each may have been launched");
        assert_eq!(copies.known_tasks().len(), 3);
        assert!(matches!(
            copies.on_update(at(0), 0, &update("copy-0.1", TaskState::Running), &after),
            Next::Store(_)
        ));
        assert_eq!(copies.on_update(at(0), 0, &update("copy-2.1", TaskState::Running), &after), Next::Kill);
        let killed = copies.on_update(at(1), 0, &update("copy-2.1", TaskState::Killed), &after);
        assert_eq!(killed, Next::Store(Change::delete(COPIES, "copy-2")));
        // The launch of copy-1 was never sent.
        copies.on_update(at(1), 0, &update("copy-1.1", TaskState::Unknown), &after);
        assert_eq!(copies.on_time(at(2), &after).len(), 1);
        assert_eq!(launch(&mut copies).0, "copy-1.2");
    }

    #[test]
    fn one_unreachable_for_too_long_is_replaced_and_ended_when_it_returns() {
        let flags = flags(1);
        let mut copies = Copies::restore(&[], &flags).expect("an empty store");
        launch(&mut copies);
        copies.on_update(at(0), 0, &update("copy-0.1", TaskState::Running), &flags);
        copies.on_update(at(10), 0, &update("copy-0.1", TaskState::Unreachable), &flags);
        assert!(copies.on_time(at(309), &flags).is_empty());
        assert_eq!(copies.on_time(at(310), &flags).len(), 1);
        assert_eq!(launch(&mut copies).0, "copy-0.2");
        assert_eq!(copies.on_update(at(400), 0, &update("copy-0.1", TaskState::Running), &flags), Next::Kill);
    }

    #[test]
    fn a_damaged_record_is_named() {
        let Change::Put(record) = Change::put(COPIES, "copy-0", b"rubbish") else { unreachable!() };
        let error = Copies::restore(&[record], &flags(1)).expect_err("rubbish").to_string();
        assert!(error.contains("copies/copy-0"), "{error}");
    }
}
