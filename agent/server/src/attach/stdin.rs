//! What a program reads, from whoever writes to it.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use chapada_shim::WindowSize;
use tokio::io::AsyncWriteExt;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;

/// The other end of a program's standard input.
#[derive(Debug)]
pub(crate) enum Stdin {
    /// There is none, or it has been closed.
    Closed,
    Pipe(pipe::Sender),
    /// The side of its terminal that is typed on. Does not block.
    Terminal(Arc<AsyncFd<File>>),
}

impl Stdin {
    /// Writes all of it, as fast as the program reads. What a program does not want any more is thrown away.
    pub(crate) async fn write(&mut self, data: &[u8]) {
        let written = match self {
            Self::Closed => return,
            Self::Pipe(pipe) => pipe.write_all(data).await,
            Self::Terminal(terminal) => type_on(terminal, data).await,
        };
        if let Err(error) = written {
            tracing::debug!(%error, "a program reads no more");
            *self = Self::Closed;
        }
    }

    /// The end of the file. On a terminal it is for whoever types to say so, with the key that means it there.
    pub(crate) fn end(&mut self) {
        if let Self::Pipe(_) = self {
            *self = Self::Closed;
        }
    }

    /// Changes the size of the terminal; `false` when there is none.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn resize(&self, size: WindowSize) -> io::Result<bool> {
        match self {
            Self::Terminal(terminal) => {
                chapada_shim::resize(terminal.get_ref(), size).map_err(|error| error.source)?;
                Ok(true)
            }
            Self::Closed | Self::Pipe(_) => Ok(false),
        }
    }
}

async fn type_on(terminal: &AsyncFd<File>, mut data: &[u8]) -> io::Result<()> {
    while !data.is_empty() {
        let mut guard = terminal.writable().await?;
        match guard.try_io(|terminal| terminal.get_ref().write(data)) {
            Ok(count) => data = &data[count?.min(data.len())..],
            Err(_not_yet) => {}
        }
    }
    Ok(())
}
