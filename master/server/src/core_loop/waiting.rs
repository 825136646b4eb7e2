//! Callers whose change is on its way into the registry.

use std::collections::HashMap;

use chapada_master_core::{CallRefused, OperatorRefused, Ticket};
use tokio::sync::oneshot;

pub(super) type DurableReply = oneshot::Sender<Result<(), OperatorRefused>>;

pub(super) type CallReply = oneshot::Sender<Result<(), CallRefused>>;

/// Whoever waits for a change to be durable.
pub(super) enum Waiting {
    Operator(DurableReply),
    Framework(CallReply),
}

impl Waiting {
    /// Whether nobody waits any more: its connection has ended.
    fn has_hung_up(&self) -> bool {
        match self {
            Self::Operator(reply) => reply.is_closed(),
            Self::Framework(reply) => reply.is_closed(),
        }
    }
}

/// Who waits for what. Changes that are asked for again are no new change, so many may wait for one while its write is slow. Those
/// who have hung up are let go of before room is made for more: of one change never more than twice as many are kept as waited for it
/// at one time, and these have a connection each.
#[derive(Default)]
pub(super) struct Callers(HashMap<Ticket, Vec<Waiting>>);

impl Callers {
    pub(super) fn add(&mut self, ticket: Ticket, who: Waiting) {
        let waiting = self.0.entry(ticket).or_default();
        if waiting.len() == waiting.capacity() {
            waiting.retain(|other| !other.has_hung_up());
        }
        waiting.push(who);
    }

    /// Those who waited for a change that is durable now.
    pub(super) fn take(&mut self, ticket: Ticket) -> Vec<Waiting> {
        self.0.remove(&ticket).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_that_hang_up_while_a_write_is_slow_are_let_go_of() {
        let (mut callers, ticket, mut verdicts) = (Callers::default(), Ticket(1), Vec::new());
        for call in 0..100_000 {
            let (reply, verdict) = oneshot::channel();
            callers.add(ticket, Waiting::Framework(reply));
            // Each hangs up when the eighth after it has called, apart from one in ten thousand.
            verdicts.push(verdict);
            if verdicts.len() > 8 && call % 10_000 != 0 {
                verdicts.remove(verdicts.len() - 9);
            }
        }
        let (kept, most) = (callers.0[&ticket].len(), 2 * verdicts.len());
        assert!(kept <= most, "{kept} are kept where {} wait", verdicts.len());
        for waiting in callers.take(ticket) {
            match waiting {
                Waiting::Framework(reply) => drop(reply.send(Ok(()))),
                Waiting::Operator(_) => unreachable!("none was added"),
            }
        }
        let is_answered = |verdict: &mut oneshot::Receiver<_>| verdict.try_recv() == Ok(Ok(()));
        let answered = verdicts.iter_mut().map(is_answered).filter(|is_answered| *is_answered).count();
        assert_eq!(answered, verdicts.len(), "whoever still waits is answered");
        assert!(callers.take(ticket).is_empty() && callers.0.is_empty());
    }
}
