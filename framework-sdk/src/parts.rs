//! Changes that need not be durable together, in as few transactions as they fit.

use std::future::Future;
use std::time::Duration;

use chapada_coordination::{Change, WriteError};

/// Writes in order what `write` takes at once, halving what does not fit one transaction; a part that the store refuses for now (a
/// full disk) is tried again every `retry`, for ever.
pub(crate) async fn in_parts<F>(
    changes: Vec<Change>,
    retry: Duration,
    mut write: impl FnMut(Vec<Change>) -> F,
) -> Result<(), WriteError>
where
    F: Future<Output = Result<(), WriteError>>,
{
    let mut parts = vec![changes];
    while let Some(part) = parts.pop() {
        match write(part.clone()).await {
            Ok(()) => {}
            Err(WriteError::TooLarge { .. }) if part.len() > 1 => {
                let mut first = part;
                let second = first.split_off(first.len() / 2);
                parts.extend([second, first]);
            }
            Err(error @ WriteError::Storage { .. }) => {
                tracing::error!(%error, "a change is not durable yet; trying again");
                tokio::time::sleep(retry).await;
                parts.push(part);
            }
            Err(
                error @ (WriteError::TooLarge { .. }
                | WriteError::Deposed
                | WriteError::OutcomeUnknown
                | WriteError::BadRecord { .. }
                | WriteError::Interfered(_)),
            ) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(keys: &str) -> Vec<Change> {
        keys.chars().map(|key| Change::delete("letters", &key.to_string())).collect()
    }

    /// Writes with a store that takes two changes at once; the answer of each attempt in `refusals` comes before.
    async fn written(
        keys: &str,
        refusals: impl IntoIterator<Item = WriteError>,
    ) -> (Vec<Vec<Change>>, Result<(), WriteError>) {
        let (mut taken, mut refusals) = (Vec::new(), refusals.into_iter());
        let outcome = in_parts(changes(keys), Duration::from_millis(1), |part| {
            let answer = match refusals.next() {
                Some(refusal) => Err(refusal),
                None if part.len() > 2 => Err(WriteError::TooLarge { bytes: part.len(), limit: 2 }),
                None => Ok(()),
            };
            if answer.is_ok() {
                taken.push(part);
            }
            std::future::ready(answer)
        });
        let outcome = outcome.await;
        (taken, outcome)
    }

    #[tokio::test]
    async fn what_does_not_fit_is_halved_and_stays_in_order() {
        let (taken, outcome) = written("abcde", []).await;
        assert_eq!(taken, [changes("ab"), changes("c"), changes("de")]);
        assert!(outcome.is_ok());
        let (taken, outcome) = written("", []).await;
        assert_eq!((taken.len(), outcome.is_ok()), (1, true));
    }

    #[tokio::test]
    async fn what_will_never_be_stored_is_said() {
        let alone = [WriteError::TooLarge { bytes: 9, limit: 2 }];
        let (taken, outcome) = written("a", alone).await;
        assert!(taken.is_empty() && matches!(outcome, Err(WriteError::TooLarge { .. })), "alone too large");
        let (taken, outcome) = written("abc", [WriteError::Deposed]).await;
        assert!(taken.is_empty() && matches!(outcome, Err(WriteError::Deposed)));
    }

    #[tokio::test]
    async fn a_store_that_is_full_for_now_is_asked_again() {
        let full = WriteError::Storage { place: "a disk".to_owned(), message: "is full".to_owned() };
        let (taken, outcome) = written("a", [full]).await;
        assert_eq!((taken, outcome.is_ok()), (vec![changes("a")], true));
    }
}
