//! The terminal that we are on.

use std::io;

use chapada_wire::v1::tty_info::WindowSize;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How large terminals were.
const USUAL: WindowSize = WindowSize { rows: Some(24), columns: Some(80) };

/// The terminal passes on every key as it is, until this is dropped.
pub(super) struct Raw {
    before: Termios,
}

impl Raw {
    /// Takes over the terminal on standard input.
    ///
    /// # Errors
    /// The kernel's; the terminal is as before then.
    pub(super) fn enter() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Drain, &raw)?;
        Ok(Self { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Err(error) = tcsetattr(io::stdin(), OptionalActions::Now, &self.before) {
            eprintln!("chapada: cannot restore the terminal ({error}); `reset` does");
        }
    }
}

/// How large the terminal is.
pub(super) fn size() -> WindowSize {
    let known = tcgetwinsize(io::stdout()).or_else(|_| tcgetwinsize(io::stdin()));
    let known = known.ok().filter(|size| size.ws_row > 0 && size.ws_col > 0);
    known.map_or(USUAL, |size| WindowSize {
        rows: Some(size.ws_row.into()),
        columns: Some(size.ws_col.into()),
    })
}

/// The signals that would end us before the terminal is restored.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
    quit: Signal,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    /// The number of the next one.
    pub(super) async fn next(&mut self) -> i32 {
        let kind = tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = self.hang_up.recv() => SignalKind::hangup(),
            _ = self.quit.recv() => SignalKind::quit(),
        };
        kind.as_raw_value()
    }
}
