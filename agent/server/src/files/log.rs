//! A file that may be a log, over its turns: when it is full, `stdout` becomes `stdout.1` and a new `stdout` begins.

use super::{Chunk, FileError, Files, Place, Reader};

/// What is looked at at once for the ends of lines.
const BLOCK: u64 = 64 * 1024;
/// Older files of one log that are looked for; what keeps more is read from the youngest of these on.
const MOST_OLDER: u32 = 1_000;

/// Reads on where it was, in whichever file that is by now.
#[derive(Debug)]
pub(crate) struct LogReader {
    files: Files,
    place: Place,
    reader: Reader,
    offset: u64,
}

impl LogReader {
    /// Begins in the file itself, at its end at the latest. A negative offset counts from there. Blocks, as all here do.
    pub(crate) fn at(files: Files, place: Place, offset: i64) -> Result<Self, FileError> {
        let reader = files.reader(&place)?;
        let size = reader.size()?;
        let offset = match u64::try_from(offset) {
            Ok(offset) => offset.min(size),
            Err(_) => size.saturating_sub(offset.unsigned_abs()),
        };
        Ok(Self { files, place, reader, offset })
    }

    /// Begins so many lines before the end, if need be in an older file; with all that is kept when there are not so many.
    pub(crate) fn last_lines(files: Files, place: Place, lines: u64) -> Result<Self, FileError> {
        let mut from = Self::at(files, place, 0)?;
        let mut left = lines;
        // The end of the last line is not one between two.
        let mut is_end = true;
        for age in 1..=MOST_OLDER {
            if let Some(offset) = from.reader.lines_back(&mut left, is_end)? {
                from.offset = offset;
                break;
            }
            is_end &= from.reader.size()? == 0;
            match from.older(age) {
                Ok(Some(older)) => from.reader = older,
                // What is in the way of an older one is none.
                Ok(None) | Err(FileError::Invalid(_) | FileError::NotAFile(_)) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(from)
    }

    /// What comes next, at most `length` bytes; no data when there is no more for now.
    pub(crate) fn next(&mut self, length: u64) -> Result<Chunk, FileError> {
        if self.reader.size()? < self.offset {
            // It was emptied, to begin anew.
            self.offset = 0;
        }
        loop {
            let chunk = self.read(length)?;
            if !chunk.data.is_empty() {
                return Ok(chunk);
            }
            let Some(newer) = self.newer()? else { return Ok(chunk) };
            // It was written to until it turned.
            let chunk = self.read(length)?;
            if !chunk.data.is_empty() {
                return Ok(chunk);
            }
            (self.reader, self.offset) = (newer, 0);
        }
    }

    /// As [`LogReader::next`], in the file that it is in now.
    pub(crate) fn read(&mut self, length: u64) -> Result<Chunk, FileError> {
        let chunk = self.reader.read(self.offset, length)?;
        self.offset += chunk.data.len() as u64;
        Ok(chunk)
    }

    /// The file after the one that is read, once there is one.
    fn newer(&self) -> Result<Option<Reader>, FileError> {
        let own = self.reader.identity()?;
        let mut next = match self.older(0)? {
            Some(newest) if newest.identity()? != own => newest,
            // There is none while it turns.
            Some(_) | None => return Ok(None),
        };
        let mut is_gap = false;
        for age in 1..=MOST_OLDER {
            match self.older(age)? {
                Some(older) if older.identity()? == own => return Ok(Some(next)),
                Some(older) => (next, is_gap) = (older, false),
                // While it turns, one name is free.
                None if is_gap => break,
                None => is_gap = true,
            }
        }
        // So many turns ago that it is gone.
        Ok(Some(next))
    }

    fn older(&self, age: u32) -> Result<Option<Reader>, FileError> {
        match self.files.reader(&self.place.older(age)) {
            Ok(reader) => Ok(Some(reader)),
            Err(FileError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Reader {
    /// Looks for the beginning of the line that is so many before the end, and takes off those that it passed. With `is_end`
    /// a line that ends where the file does ends there.
    fn lines_back(&self, left: &mut u64, is_end: bool) -> Result<Option<u64>, FileError> {
        let mut end = self.size()?;
        match *left {
            0 => return Ok(Some(end)),
            u64::MAX => return Ok(None),
            _ => {}
        }
        let mut is_last = is_end;
        while end > 0 {
            let start = end.saturating_sub(BLOCK);
            let block = self.read(start, end - start)?.data;
            for (index, byte) in block.iter().enumerate().rev() {
                let ends_all = std::mem::take(&mut is_last);
                if *byte != b'\n' || ends_all {
                    continue;
                }
                *left = left.saturating_sub(1);
                if *left == 0 {
                    return Ok(Some(start + index as u64 + 1));
                }
            }
            end = start;
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;
    use crate::layout::Layout;

    const SANDBOX: &str = "a/frameworks/f/executors/e/runs/c";

    struct Sandbox {
        _folder: tempfile::TempDir,
        path: PathBuf,
        files: Files,
    }

    impl Sandbox {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let layout = Layout::new(folder.path().to_owned());
            let path = layout.agents().join(SANDBOX);
            fs::create_dir_all(&path).unwrap();
            Self { files: Files::new(layout), path, _folder: folder }
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.path.join(name), text).unwrap();
        }

        fn append(&self, text: &str) {
            use std::io::Write;
            let file = fs::OpenOptions::new().create(true).append(true).open(self.path.join("stdout"));
            file.unwrap().write_all(text.as_bytes()).unwrap();
        }

        /// As the shim does with `files` files.
        fn turn(&self, files: u32) {
            let name = |age: u32| {
                self.path.join(if age == 0 { "stdout".to_owned() } else { format!("stdout.{age}") })
            };
            for age in (0..files - 1).rev().filter(|age| name(*age).exists()) {
                fs::rename(name(age), name(age + 1)).unwrap();
            }
            fs::File::create_new(name(0)).unwrap();
        }

        fn place(&self) -> Place {
            self.files.place(&format!("{}/stdout", self.path.display())).unwrap()
        }

        fn log(&self, offset: i64) -> LogReader {
            LogReader::at(self.files.clone(), self.place(), offset).unwrap()
        }

        fn last(&self, lines: u64) -> String {
            rest(&mut LogReader::last_lines(self.files.clone(), self.place(), lines).unwrap())
        }
    }

    fn rest(log: &mut LogReader) -> String {
        let mut text = Vec::new();
        loop {
            match log.next(7).unwrap().data {
                piece if piece.is_empty() => return String::from_utf8(text).unwrap(),
                piece => text.extend(piece),
            }
        }
    }

    #[test]
    fn reading_goes_on_over_turns_and_loses_nothing_that_is_kept() {
        let sandbox = Sandbox::new();
        sandbox.append("one\n");
        let mut log = sandbox.log(0);
        assert_eq!(rest(&mut log), "one\n");
        sandbox.append("two\n");
        sandbox.turn(3);
        sandbox.append("three\n");
        sandbox.turn(3);
        sandbox.append("four\n");
        assert_eq!(rest(&mut log), "two\nthree\nfour\n");
        assert_eq!(rest(&mut log), "");
        // More turns than files are kept: what is left is read.
        for text in ["five\n", "six\n", "seven\n"] {
            sandbox.turn(3);
            sandbox.append(text);
        }
        assert_eq!(rest(&mut log), "five\nsix\nseven\n");
    }

    #[test]
    fn a_name_that_is_free_while_the_log_turns_is_not_the_oldest() {
        let sandbox = Sandbox::new();
        sandbox.append("one\n");
        let mut log = sandbox.log(-4);
        assert_eq!(rest(&mut log), "one\n");
        sandbox.turn(5);
        sandbox.append("two\n");
        sandbox.turn(5);
        sandbox.append("three\n");
        let (here, there) = (sandbox.path.join("stdout.1"), sandbox.path.join("stdout.2"));
        fs::rename(&there, sandbox.path.join("stdout.3")).unwrap();
        fs::rename(&here, &there).unwrap();
        assert_eq!(rest(&mut log), "two\nthree\n");
    }

    #[test]
    fn a_log_of_one_file_is_read_from_its_beginning_when_it_was_emptied() {
        let sandbox = Sandbox::new();
        sandbox.append("a long line\n");
        let mut log = sandbox.log(0);
        rest(&mut log);
        sandbox.write("stdout", "new\n");
        assert_eq!(rest(&mut log), "new\n");
    }

    #[test]
    fn the_last_lines_may_be_in_older_files() {
        let sandbox = Sandbox::new();
        sandbox.write("stdout.2", "1\n2\n");
        sandbox.write("stdout.1", "3\n4\n");
        sandbox.write("stdout", "5\n6");
        for (lines, expected) in [
            (0, ""),
            (1, "6"),
            (2, "5\n6"),
            (3, "4\n5\n6"),
            (5, "2\n3\n4\n5\n6"),
            (100, "1\n2\n3\n4\n5\n6"),
            (u64::MAX, "1\n2\n3\n4\n5\n6"),
        ] {
            assert_eq!(sandbox.last(lines), expected, "{lines} lines");
        }
        sandbox.write("stdout", "");
        assert_eq!(sandbox.last(1), "4\n", "the log has just turned");
        let long = format!("first\n{}\n", "x".repeat(3 * BLOCK as usize));
        sandbox.write("stdout", &long);
        assert_eq!(sandbox.last(1), long["first\n".len()..]);
        assert_eq!(sandbox.last(2), long);
    }
}
