//! What a master sends, read without a connection: for those who bring their own, and for tests.

use chapada_wire::convert::InvalidField;
use chapada_wire::v1::scheduler;

use crate::convert;
use crate::event::Event;

/// Reads an event of the scheduler API. `None` for what a scheduler does not hear of: heartbeats, SUBSCRIBED and ERROR,
/// which the connection handles, and offers of which none can be understood.
///
/// # Errors
/// [`InvalidField`] names the field that makes no sense.
pub fn event(event: scheduler::Event) -> Result<Option<Event>, InvalidField> {
    convert::event(event).map(|converted| converted.event)
}
