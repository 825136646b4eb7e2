//! What has found no place in the offers that are being looked at.

use chapada_sdk_core::{MismatchKind, Request};

/// So many different requests are kept.
const KEPT: usize = 16;

/// Requests that found no place in any of the offers, and why. While these only get less, another app that needs the same finds
/// none either, and is not held against each of them.
#[derive(Debug, Default)]
pub(super) struct Refused(Vec<(String, Request, Vec<MismatchKind>)>);

impl Refused {
    /// Notes that no offer to `role` will do. Not kept with constraints: what these allow depends on where an app's tasks are.
    pub(super) fn note(&mut self, role: &str, request: &Request, reasons: Vec<MismatchKind>) {
        if self.0.len() < KEPT && request.constraints.is_empty() {
            self.0.push((role.to_owned(), request.clone(), reasons));
        }
    }

    /// Why no offer will do, if that is known.
    pub(super) fn of(&self, role: &str, request: &Request) -> Option<&[MismatchKind]> {
        let alike = self.0.iter().find(|(known, asked, _)| known == role && asked == request);
        alike.map(|(_, _, reasons)| reasons.as_slice())
    }
}
