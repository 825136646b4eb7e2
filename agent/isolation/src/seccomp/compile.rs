//! From verdicts on numbers to the instructions that the kernel runs: a binary search over ranges.

use super::{ARCH, ARCHITECTURE, ENOSYS, FIRST_ARGUMENT, Filter, Instruction, LAST_KNOWN, NUMBER};

/// What becomes of a system call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Always the same.
    Return(u32),
    /// The first rule that fits decides, or else the last value.
    Depends(Vec<Rule>, u32),
}

/// What becomes of a system call whose arguments are all so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) conditions: Vec<Condition>,
    pub(super) value: u32,
}

/// One thing that is asked of an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Condition {
    /// Which argument, from 0 to 5.
    pub(super) argument: u32,
    pub(super) test: Test,
    pub(super) value: u64,
}

/// How an argument, an unsigned number of 64 bits, is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Test {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    /// The argument's bits in this mask are the value.
    Masked(u64),
}

/// A filter in which `verdict` decides on each known number; later ones, and programs of other architectures, find that
/// there is no such system call.
pub(super) fn compile(verdict: impl Fn(u32) -> Verdict) -> Filter {
    let mut ranges: Vec<(u32, Verdict)> = (0..=LAST_KNOWN).map(|number| (number, verdict(number))).collect();
    ranges.push((LAST_KNOWN + 1, Verdict::Return(ENOSYS)));
    ranges.dedup_by(|next, kept| next.1 == kept.1);
    let mut program = vec![load(ARCH), jump(libc::BPF_JEQ, ARCHITECTURE, 1, 0), give(ENOSYS), load(NUMBER)];
    search(&ranges, &mut program);
    Filter(program)
}

/// Decides between the ranges by halves.
fn search(ranges: &[(u32, Verdict)], program: &mut Vec<Instruction>) {
    match ranges {
        [] => {}
        [(_, Verdict::Return(value))] => program.push(give(*value)),
        [(_, Verdict::Depends(rules, otherwise))] => {
            rules.iter().for_each(|rule| ask(rule, program));
            program.push(give(*otherwise));
        }
        _ => {
            let (lower, upper) = ranges.split_at(ranges.len() / 2);
            let mut below = Vec::new();
            search(lower, &mut below);
            // A conditional jump goes over at most 255 instructions, an unconditional one over any number.
            match u8::try_from(below.len()) {
                Ok(over) => program.push(jump(libc::BPF_JGE, upper[0].0, over, 0)),
                Err(_) => {
                    program.extend([jump(libc::BPF_JGE, upper[0].0, 0, 1), skip(below.len() as u32)]);
                }
            }
            program.append(&mut below);
            search(upper, program);
        }
    }
}

/// Gives the rule's value if it fits, and goes on behind itself if not.
fn ask(rule: &Rule, program: &mut Vec<Instruction>) {
    let mut steps: Vec<Step> = rule.conditions.iter().flat_map(|condition| condition.steps()).collect();
    steps.push(Step::Plain(give(rule.value)));
    let length = steps.len();
    program.extend(steps.into_iter().enumerate().map(|(at, step)| {
        let fail = (length - at - 1) as u8;
        match step {
            Step::Plain(instruction) => instruction,
            Step::Test { test, value, yes, no } => jump(test, value, yes.over(fail), no.over(fail)),
        }
    }));
}

enum Step {
    Plain(Instruction),
    Test { test: u32, value: u32, yes: To, no: To },
}

/// Where a comparison leads.
#[derive(Clone, Copy)]
enum To {
    Next,
    /// Over the comparison of the lower half: the upper one has decided.
    OverLower,
    /// Over another comparison of the upper half, too.
    OverRest,
    Fail,
}

impl To {
    fn over(self, fail: u8) -> u8 {
        match self {
            Self::Next => 0,
            Self::OverLower => 2,
            Self::OverRest => 3,
            Self::Fail => fail,
        }
    }
}

impl Condition {
    /// Numbers are compared by halves, the upper one first.
    fn steps(&self) -> Vec<Step> {
        use To::{Fail, Next, OverLower, OverRest};
        let low = FIRST_ARGUMENT + 8 * self.argument;
        let (upper, lower) = ((self.value >> 32) as u32, self.value as u32);
        let load = |offset| Step::Plain(load(offset));
        let test = |test, value, yes, no| Step::Test { test, value, yes, no };
        let ordered = |greater, otherwise, last: Step| {
            let is_greater = test(libc::BPF_JGT, upper, greater, Next);
            vec![load(low + 4), is_greater, test(libc::BPF_JEQ, upper, Next, otherwise), load(low), last]
        };
        match self.test {
            Test::Equal => vec![
                load(low + 4),
                test(libc::BPF_JEQ, upper, Next, Fail),
                load(low),
                test(libc::BPF_JEQ, lower, Next, Fail),
            ],
            Test::NotEqual => vec![
                load(low + 4),
                test(libc::BPF_JEQ, upper, Next, OverLower),
                load(low),
                test(libc::BPF_JEQ, lower, Fail, Next),
            ],
            Test::Masked(mask) => {
                let mut steps = Vec::new();
                // A half of which nothing is asked is not looked at.
                if mask >> 32 != 0 || upper != 0 {
                    let masked = Step::Plain(and((mask >> 32) as u32));
                    steps.extend([load(low + 4), masked, test(libc::BPF_JEQ, upper, Next, Fail)]);
                }
                let masked = Step::Plain(and(mask as u32));
                steps.extend([load(low), masked, test(libc::BPF_JEQ, lower, Next, Fail)]);
                steps
            }
            Test::Greater => ordered(OverRest, Fail, test(libc::BPF_JGT, lower, Next, Fail)),
            Test::GreaterOrEqual => ordered(OverRest, Fail, test(libc::BPF_JGE, lower, Next, Fail)),
            Test::Less => ordered(Fail, OverLower, test(libc::BPF_JGE, lower, Fail, Next)),
            Test::LessOrEqual => ordered(Fail, OverLower, test(libc::BPF_JGT, lower, Fail, Next)),
        }
    }
}

fn load(offset: u32) -> Instruction {
    plain(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset)
}

fn and(mask: u32) -> Instruction {
    plain(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, mask)
}

fn skip(instructions: u32) -> Instruction {
    plain(libc::BPF_JMP | libc::BPF_JA, instructions)
}

fn give(value: u32) -> Instruction {
    plain(libc::BPF_RET | libc::BPF_K, value)
}

fn plain(code: u32, value: u32) -> Instruction {
    Instruction { operation: code as u16, yes: 0, no: 0, value }
}

fn jump(test: u32, value: u32, yes: u8, no: u8) -> Instruction {
    Instruction { operation: (libc::BPF_JMP | test | libc::BPF_K) as u16, yes, no, value }
}
