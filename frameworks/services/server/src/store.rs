//! Records in the SDK's store: a file, or ZooKeeper.

use std::collections::HashSet;

use chapada_sdk::{Change, Record, Store as SdkStore, WriteError};
use chapada_services_core::{ReadError, Recovered, Write};

use crate::actor::Store;

/// The name of a record in the store: a kind and a key.
fn split(name: &str) -> (&str, &str) {
    name.split_once('.').unwrap_or(("other", name))
}

/// Reads all records, on every core: a start waits for nothing else as long. Those of apps come first, for the present definition
/// of each is among its versions once more.
pub(crate) fn read(records: &[Record]) -> Result<Vec<Recovered>, ReadError> {
    let (apps, others): (Vec<&Record>, Vec<&Record>) = records.iter().partition(|one| one.key.kind == "app");
    let mut all = read_part(&apps)?;
    let repeated: HashSet<String> = all.iter().filter_map(Recovered::repeated).collect();
    let is_new = |one: &&Record| one.key.kind != "version" || !repeated.contains(&name(one));
    let others: Vec<&Record> = others.into_iter().filter(is_new).collect();
    all.extend(read_part(&others)?);
    Ok(all)
}

fn read_part(records: &[&Record]) -> Result<Vec<Recovered>, ReadError> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let share = records.len().div_ceil(threads).max(1);
    let read = |part: &[&Record]| -> Result<Vec<Recovered>, ReadError> {
        part.iter().map(|record| Recovered::read(&name(record), &record.value)).collect()
    };
    let parts: Vec<Result<Vec<Recovered>, ReadError>> = std::thread::scope(|scope| {
        let started: Vec<_> = records.chunks(share).map(|part| scope.spawn(move || read(part))).collect();
        started
            .into_iter()
            .map(|part| part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let mut all = Vec::with_capacity(records.len());
    for part in parts {
        all.extend(part?);
    }
    Ok(all)
}

/// The name of a record as the core gave it.
fn name(record: &Record) -> String {
    format!("{}.{}", record.key.kind, record.key.key)
}

fn change(write: &Write) -> Change {
    match write {
        Write::Put { key, value } => {
            let (kind, key) = split(key);
            Change::put(kind, key, value)
        }
        Write::Delete { key } => {
            let (kind, key) = split(key);
            Change::delete(kind, key)
        }
    }
}

impl Store for SdkStore {
    async fn write(&mut self, writes: Vec<Write>) -> Result<(), WriteError> {
        self.write_in_parts(writes.iter().map(change).collect()).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chapada_sdk::RecordKey;

    use super::*;

    fn record(name: &str, value: &str) -> Record {
        let (kind, key) = split(name);
        Record { key: RecordKey::new(kind, key), value: Arc::from(value.as_bytes()) }
    }

    #[test]
    fn the_present_definition_of_an_app_is_read_once_and_every_other_one_too() {
        let definition = |version: &str| {
            let info = format!(r#"{{"lastScalingAt":"{version}","lastConfigChangeAt":"{version}"}}"#);
            format!(
                r#"{{"definition":{{"id":"/a/b","cmd":"x"}},"version":"{version}","version_info":{info}}}"#
            )
        };
        let present = definition("2015-01-08T15:06:07.123Z");
        let app = record("app.a_b", &format!(r#"{{"format":1,"app":{present}}}"#));
        let former = definition("2015-01-08T15:06:07.100Z");
        let former = record("version.a_b.1420729567100", &format!(r#"{{"format":1,"version":{former}}}"#));
        // Whether it is read shows in what cannot be.
        let repeats = record("version.a_b.1420729567123", "rubbish");
        let read = |records: &[Record]| super::read(records).map(|read| read.len());
        assert_eq!(read(&[app.clone(), former.clone(), repeats.clone()]).ok(), Some(2));
        assert!(read(&[former, repeats]).is_err(), "without its app it is all there is");
    }
}
