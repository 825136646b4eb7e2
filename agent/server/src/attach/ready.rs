//! Waiting for descriptors.

use std::io;
use std::os::fd::AsRawFd;

use tokio::io::unix::AsyncFd;

/// Lets a task wait for the one descriptor that this has for life.
#[expect(
    deprecated,
    reason = "the replacement is unsafe; what is given here keeps its descriptor, which is all it asks"
)]
pub(crate) fn watched<T: AsRawFd>(inner: T) -> io::Result<AsyncFd<T>> {
    AsyncFd::new(inner)
}
