//! Those who read along what a command writes, each by pipes of its own. Nobody is waited for: who does not empty a pipe
//! loses it.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// What waits in their pipes is charged to the container.
const MOST: usize = 8;

/// All of them.
#[derive(Default)]
pub(crate) struct Readers(Vec<Reader>);

struct Reader {
    streams: [File; 2],
    /// Told of being too slow.
    cut: File,
}

impl Readers {
    /// Takes one; parted with at once when there are too many.
    pub(crate) fn add(&mut self, files: Vec<OwnedFd>) {
        self.0.retain(Reader::is_there);
        let Ok([stdout, stderr, cut]) = <[OwnedFd; 3]>::try_from(files) else { return };
        let reader = Reader { streams: [stdout.into(), stderr.into()], cut: cut.into() };
        if self.0.len() >= MOST || reader.do_not_block().is_err() {
            return reader.part();
        }
        self.0.push(reader);
    }

    /// Gives everybody what was written to standard output (0) or error (1).
    pub(crate) fn give(&mut self, stream: usize, text: &[u8]) {
        let is_slow = |reader: &mut Reader| {
            let written = (&reader.streams[stream]).write(text);
            !written.is_ok_and(|count| count == text.len())
        };
        self.0.extract_if(.., is_slow).for_each(Reader::part);
    }
}

impl Reader {
    fn do_not_block(&self) -> nix::Result<()> {
        let [stdout, stderr] = &self.streams;
        [stdout, stderr, &self.cut]
            .into_iter()
            .try_for_each(|pipe| fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map(drop))
    }

    /// A pipe that nobody reads has an error.
    fn is_there(&self) -> bool {
        let mut watched = [PollFd::new(self.cut.as_fd(), PollFlags::empty())];
        !poll(&mut watched, PollTimeout::ZERO).is_ok_and(|count| count > 0)
    }

    fn part(mut self) {
        // If it has left, nobody is told.
        let _told = self.cut.write(b"c");
    }
}
