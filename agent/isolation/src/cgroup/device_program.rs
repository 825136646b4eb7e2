//! The small program by which the kernel asks, on v2, whether a process of a group may use a device. One comparison after the
//! other; the kernel compiles it once.
//!
//! Source: `linux/bpf.h` for numbers, `Documentation/bpf/prog_cgroup_sysctl.rst` and `struct bpf_cgroup_dev_ctx`.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::{DeviceKind, DeviceRule};

// Commands and kinds of `bpf(2)`.
const PROG_LOAD: i32 = 5;
const PROG_ATTACH: i32 = 8;
const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
/// Programs of the groups above decide, too.
const ALLOW_MULTI: u32 = 2;

// What the kernel puts into the first word of what it asks: the kind below, what is wanted above.
const KIND_BLOCK: i32 = 1;
const KIND_CHARACTER: i32 = 2;
const WANTS_MAKE: i32 = 1;
const WANTS_READ: i32 = 2;
const WANTS_WRITE: i32 = 4;
const OFFSET_WORD: i16 = 0;
const OFFSET_MAJOR: i16 = 4;
const OFFSET_MINOR: i16 = 8;

// Operations, 32 bits wide.
const LOAD: u8 = 0x61;
const COPY: u8 = 0xbc;
const AND: u8 = 0x54;
const SHIFT_RIGHT: u8 = 0x74;
const SET: u8 = 0xb4;
const JUMP_UNLESS_EQUAL: u8 = 0x56;
const EXIT: u8 = 0x95;

// Registers: the answer, the question, and what was taken from it.
const ANSWER: u8 = 0;
const QUESTION: u8 = 1;
const KIND: u8 = 2;
const WANTED: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const BEYOND: u8 = 6;

/// One instruction, as the kernel lays it out on little-endian machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
struct Instruction {
    operation: u8,
    registers: u8,
    offset: i16,
    value: i32,
}

/// A program that allows some devices.
#[derive(Debug)]
pub(super) struct Program(Vec<Instruction>);

impl Program {
    /// Allows what one of the rules allows.
    pub(super) fn allowing(rules: &[DeviceRule]) -> Self {
        let mut program = vec![
            load(KIND, OFFSET_WORD),
            on_value(AND, KIND, 0xffff),
            load(WANTED, OFFSET_WORD),
            on_value(SHIFT_RIGHT, WANTED, 16),
            load(MAJOR, OFFSET_MAJOR),
            load(MINOR, OFFSET_MINOR),
        ];
        for rule in rules {
            program.extend(allow(rule));
        }
        program.extend([on_value(SET, ANSWER, 0), exit()]);
        Self(program)
    }

    /// Loads it, and puts it on a v2 group, with which it goes.
    pub(super) fn attach(&self, group: &File) -> io::Result<()> {
        let program = self.load()?;
        let mut attributes = Attach {
            group: group.as_raw_fd() as u32,
            program: program.as_raw_fd() as u32,
            kind: ATTACH_CGROUP_DEVICE,
            flags: ALLOW_MULTI,
        };
        bpf(PROG_ATTACH, &mut attributes).map(drop)
    }

    fn load(&self) -> io::Result<OwnedFd> {
        let licence = c"Apache-2.0";
        let mut attributes = Load {
            kind: PROG_TYPE_CGROUP_DEVICE,
            count: self.0.len() as u32,
            instructions: self.0.as_ptr() as u64,
            licence: licence.as_ptr() as u64,
            log_level: 0,
            log_size: 0,
            log: 0,
            kernel_version: 0,
            flags: 0,
        };
        let number = bpf(PROG_LOAD, &mut attributes)?;
        // SAFETY: the kernel has just given us this descriptor, so nobody else owns it.
        Ok(unsafe { OwnedFd::from_raw_fd(number) })
    }
}

/// The head of `union bpf_attr` for loading.
#[repr(C)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    licence: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
}

/// The head of `union bpf_attr` for attaching.
#[repr(C)]
struct Attach {
    group: u32,
    program: u32,
    kind: u32,
    flags: u32,
}

fn bpf<T>(command: i32, attributes: &mut T) -> io::Result<i32> {
    // SAFETY: the attributes are a struct of the size given, with addresses that outlive the call.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}

/// Answers 1 if the rule fits, and goes on behind itself if not.
fn allow(rule: &DeviceRule) -> Vec<Instruction> {
    let kind = match rule.kind {
        DeviceKind::Character => KIND_CHARACTER,
        DeviceKind::Block => KIND_BLOCK,
    };
    let mut allowed = WANTS_MAKE;
    allowed |= if rule.read { WANTS_READ } else { 0 };
    allowed |= if rule.write { WANTS_WRITE } else { 0 };
    let mut steps = vec![
        on_value(JUMP_UNLESS_EQUAL, KIND, kind),
        Instruction { operation: COPY, registers: BEYOND | WANTED << 4, offset: 0, value: 0 },
        on_value(AND, BEYOND, !allowed),
        on_value(JUMP_UNLESS_EQUAL, BEYOND, 0),
        on_value(JUMP_UNLESS_EQUAL, MAJOR, rule.major as i32),
    ];
    steps.extend(rule.minor.map(|minor| on_value(JUMP_UNLESS_EQUAL, MINOR, minor as i32)));
    steps.extend([on_value(SET, ANSWER, 1), exit()]);
    let length = steps.len();
    for (at, step) in steps.iter_mut().enumerate().filter(|(_, step)| step.operation == JUMP_UNLESS_EQUAL) {
        step.offset = (length - at - 1) as i16;
    }
    steps
}

fn load(register: u8, offset: i16) -> Instruction {
    Instruction { operation: LOAD, registers: register | QUESTION << 4, offset, value: 0 }
}

fn on_value(operation: u8, register: u8, value: i32) -> Instruction {
    Instruction { operation, registers: register, offset: 0, value }
}

fn exit() -> Instruction {
    Instruction { operation: EXIT, registers: 0, offset: 0, value: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would answer, for the few instructions we use.
    fn ask(program: &Program, kind: i32, wanted: i32, major: i32, minor: i32) -> i32 {
        let question = [kind | wanted << 16, major, minor];
        let mut registers = [0_i32; 8];
        let mut at = 0;
        loop {
            let Instruction { operation, registers: names, offset, value } = program.0[at];
            let (to, from) = (usize::from(names & 15), usize::from(names >> 4));
            at += 1;
            match operation {
                LOAD => registers[to] = question[offset as usize / 4],
                COPY => registers[to] = registers[from],
                AND => registers[to] &= value,
                SHIFT_RIGHT => registers[to] = ((registers[to] as u32) >> value) as i32,
                SET => registers[to] = value,
                JUMP_UNLESS_EQUAL if registers[to] != value => at += offset as usize,
                JUMP_UNLESS_EQUAL => {}
                EXIT => return registers[0],
                other => panic!("operation {other:#x}"),
            }
        }
    }

    const NULL: DeviceRule =
        DeviceRule { kind: DeviceKind::Character, major: 1, minor: Some(3), read: true, write: true };
    const DISKS: DeviceRule =
        DeviceRule { kind: DeviceKind::Block, major: 8, minor: None, read: true, write: false };

    #[test]
    fn what_a_rule_allows_is_allowed_and_nothing_else() {
        let program = Program::allowing(&[NULL, DISKS]);
        let cases = [
            (KIND_CHARACTER, WANTS_READ | WANTS_WRITE, 1, 3, 1),
            (KIND_CHARACTER, WANTS_MAKE, 1, 3, 1),
            (KIND_CHARACTER, WANTS_READ, 1, 5, 0),
            (KIND_CHARACTER, WANTS_READ, 2, 3, 0),
            (KIND_BLOCK, WANTS_READ, 1, 3, 0),
            (KIND_BLOCK, WANTS_READ, 8, 0, 1),
            (KIND_BLOCK, WANTS_READ, 8, 77, 1),
            (KIND_BLOCK, WANTS_WRITE, 8, 0, 0),
            (KIND_BLOCK, WANTS_READ | WANTS_WRITE, 8, 0, 0),
            (KIND_CHARACTER, WANTS_READ, 8, 0, 0),
        ];
        for (kind, wanted, major, minor, answer) in cases {
            assert_eq!(ask(&program, kind, wanted, major, minor), answer, "{kind} {wanted} {major}:{minor}");
        }
        assert_eq!(ask(&Program::allowing(&[]), KIND_CHARACTER, WANTS_READ, 1, 3), 0);
    }

    #[test]
    fn instructions_are_as_long_as_the_kernels() {
        assert_eq!(size_of::<Instruction>(), 8);
    }
}
