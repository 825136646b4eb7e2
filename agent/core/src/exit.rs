//! How a container ended, as its shim wrote it down.

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// What ended its first process.
    pub cause: ExitCause,
    /// Set when the kernel killed something in it for want of memory.
    pub memory: Option<MemoryExceeded>,
}

impl Exit {
    /// As wait(2) gives it; nothing where nobody knows.
    pub fn status(&self) -> Option<i32> {
        match self.cause {
            ExitCause::Code(code) => Some(i32::from(code) << 8),
            ExitCause::Signal(signal) => Some(signal),
            ExitCause::NotStarted { .. } | ExitCause::Unknown { .. } => None,
        }
    }
}

/// What ended the first process of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExitCause {
    /// It exited with this status.
    Code(u8),
    /// A signal of this number.
    Signal(i32),
    /// It never ran: something of the container could not be made.
    NotStarted {
        /// What.
        message: String,
    },
    /// The keeper of the exit status died with the container, so that nobody knows.
    Unknown {
        /// What is known instead.
        message: String,
    },
}

/// The figures of a memory limit that was hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryExceeded {
    /// The limit in bytes.
    pub limit_bytes: u64,
    /// The most that was in use, in bytes.
    pub peak_bytes: u64,
}

/// What the C library calls a signal, which is what Mesos shows: `9` is "Killed".
pub fn signal_name(signal: i32) -> String {
    let name = match signal {
        1 => "Hangup",
        2 => "Interrupt",
        3 => "Quit",
        4 => "Illegal instruction",
        5 => "Trace/breakpoint trap",
        6 => "Aborted",
        7 => "Bus error",
        8 => "Floating point exception",
        9 => "Killed",
        10 => "User defined signal 1",
        11 => "Segmentation fault",
        12 => "User defined signal 2",
        13 => "Broken pipe",
        14 => "Alarm clock",
        15 => "Terminated",
        16 => "Stack fault",
        24 => "CPU time limit exceeded",
        25 => "File size limit exceeded",
        31 => "Bad system call",
        other => return format!("Unknown signal {other}"),
    };
    name.to_owned()
}
