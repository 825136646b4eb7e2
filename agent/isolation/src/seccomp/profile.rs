//! Profiles of system calls as Docker and OCI write them in JSON.
//!
//! Source: `moby/profiles/seccomp` and the OCI runtime specification, `config-linux.md`, "Seccomp".

use serde::Deserialize;

use crate::capabilities;
use crate::{Context, IsolationError};

use super::compile::{self, Condition, Rule, Test, Verdict};
use super::{Filter, names};

/// What a profile calls the architecture we build for, in `includes` and in `architectures`.
#[cfg(target_arch = "x86_64")]
const OURS: [&str; 2] = ["amd64", "SCMP_ARCH_X86_64"];
#[cfg(target_arch = "aarch64")]
const OURS: [&str; 2] = ["arm64", "SCMP_ARCH_AARCH64"];

/// Most system calls have fewer rules by far; a filter has 65,535 instructions at most.
const MAX_ENTRIES: usize = 4096;

/// A profile as it stands in its file. Fields that it does not know are refused, so that no rule is overlooked.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Profile {
    default_action: String,
    default_errno_ret: Option<u16>,
    /// The name that Podman writes beside the number.
    #[serde(default, rename = "defaultErrno")]
    _default_errno: Option<String>,
    #[serde(default)]
    architectures: Vec<String>,
    #[serde(default)]
    arch_map: Vec<Architecture>,
    #[serde(default)]
    flags: Vec<String>,
    #[serde(default)]
    syscalls: Vec<Entry>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Architecture {
    architecture: String,
    #[serde(default, rename = "subArchitectures")]
    _below: Option<Vec<String>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    #[serde(default)]
    names: Vec<String>,
    /// The older form.
    name: Option<String>,
    action: String,
    errno_ret: Option<u16>,
    #[serde(default, rename = "errno")]
    _errno: Option<String>,
    #[serde(default)]
    args: Option<Vec<Argument>>,
    #[serde(default, rename = "comment")]
    _comment: Option<String>,
    #[serde(default)]
    includes: When,
    #[serde(default)]
    excludes: When,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Argument {
    index: u32,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: String,
}

/// When an entry counts, or does not.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct When {
    #[serde(default)]
    caps: Option<Vec<String>>,
    #[serde(default)]
    arches: Option<Vec<String>>,
    /// The oldest kernel; none of those that we run on is older than any that is asked for.
    #[serde(default, rename = "minKernel")]
    min_kernel: Option<String>,
}

impl Profile {
    /// The filter for a container whose bounding set is this. Names that this machine does not have are passed over.
    ///
    /// # Errors
    /// Names an action, comparison or flag that is unknown, or that this agent does not serve; and a profile for other machines.
    pub fn compile(&self, bounding: &[u32]) -> Result<Filter, IsolationError> {
        let listed = self.architectures.iter().chain(self.arch_map.iter().map(|map| &map.architecture));
        let listed: Vec<&String> = listed.collect();
        if !listed.is_empty() && !listed.iter().any(|name| OURS.contains(&name.as_str())) {
            return Err(invalid("architectures", "it is for other machines"));
        }
        if self.syscalls.len() > MAX_ENTRIES {
            return Err(invalid("syscalls", "there are more than 4096 entries"));
        }
        if let Some(flag) = self.flags.iter().find(|flag| *flag != "SECCOMP_FILTER_FLAG_LOG") {
            return Err(invalid(flag, "this flag is not supported"));
        }
        let default = action(&self.default_action, self.default_errno_ret)?;
        let mut rules: Vec<(u32, Rule)> = Vec::new();
        for entry in self.syscalls.iter().filter(|entry| entry.counts(bounding)) {
            let value = action(&entry.action, entry.errno_ret)?;
            let alternatives = entry.alternatives()?;
            for number in entry.names.iter().chain(&entry.name).filter_map(|name| names::number(name)) {
                rules.extend(alternatives.iter().map(|it| (number, Rule { conditions: it.clone(), value })));
            }
        }
        rules.sort_by_key(|(number, _)| *number);
        let filter = compile::compile(|number| {
            let first = rules.partition_point(|(known, _)| *known < number);
            let own = rules[first..].iter().take_while(|(known, _)| *known == number).map(|(_, rule)| rule);
            verdict(own.collect(), default)
        });
        u16::try_from(filter.0.len())
            .map_err(super::too_long)
            .context("use", "the profile of system calls")?;
        Ok(filter)
    }
}

/// A rule without conditions counts before those with some, as with libseccomp.
fn verdict(rules: Vec<&Rule>, default: u32) -> Verdict {
    if let Some(always) = rules.iter().find(|rule| rule.conditions.is_empty()) {
        return Verdict::Return(always.value);
    }
    // What ends as it would without it needs no rule.
    let rules: Vec<Rule> = rules.into_iter().filter(|rule| rule.value != default).cloned().collect();
    if rules.is_empty() { Verdict::Return(default) } else { Verdict::Depends(rules, default) }
}

impl Entry {
    fn counts(&self, bounding: &[u32]) -> bool {
        let has =
            |name: &String| capabilities::by_name(name).is_some_and(|number| bounding.contains(&number));
        let ours = |name: &String| OURS.contains(&name.as_str());
        let given = |list: &Option<Vec<String>>| list.as_ref().filter(|list| !list.is_empty()).cloned();
        let included = given(&self.includes.caps).is_none_or(|caps| caps.iter().all(has))
            && given(&self.includes.arches).is_none_or(|arches| arches.iter().any(ours));
        let excluded = given(&self.excludes.caps).is_some_and(|caps| caps.iter().any(has))
            || given(&self.excludes.arches).is_some_and(|arches| arches.iter().any(ours))
            || self.excludes.min_kernel.is_some();
        included && !excluded
    }

    /// The conditions of each rule that the entry amounts to: all of them must hold, but if an argument is named twice each
    /// is a rule of its own, as with runc.
    fn alternatives(&self) -> Result<Vec<Vec<Condition>>, IsolationError> {
        let arguments = self.args.as_deref().unwrap_or_default();
        let conditions = arguments.iter().map(Argument::condition).collect::<Result<Vec<_>, _>>()?;
        let twice = |condition: &Condition| {
            conditions.iter().filter(|it| it.argument == condition.argument).count() > 1
        };
        if conditions.iter().any(twice) {
            return Ok(conditions.into_iter().map(|condition| vec![condition]).collect());
        }
        Ok(vec![conditions])
    }
}

impl Argument {
    fn condition(&self) -> Result<Condition, IsolationError> {
        if self.index > 5 {
            return Err(invalid(&self.index.to_string(), "a system call has six arguments, from 0 to 5"));
        }
        let (test, value) = match self.op.as_str() {
            "SCMP_CMP_EQ" => (Test::Equal, self.value),
            "SCMP_CMP_NE" => (Test::NotEqual, self.value),
            "SCMP_CMP_GT" => (Test::Greater, self.value),
            "SCMP_CMP_GE" => (Test::GreaterOrEqual, self.value),
            "SCMP_CMP_LT" => (Test::Less, self.value),
            "SCMP_CMP_LE" => (Test::LessOrEqual, self.value),
            "SCMP_CMP_MASKED_EQ" => (Test::Masked(self.value), self.value_two),
            other => return Err(invalid(other, "there is no such comparison")),
        };
        Ok(Condition { argument: self.index, test, value })
    }
}

/// What the kernel calls an action.
fn action(name: &str, errno: Option<u16>) -> Result<u32, IsolationError> {
    // 4095 is the last number that the kernel gives a program.
    let errno = u32::from(errno.unwrap_or(libc::EPERM as u16).min(4095));
    Ok(match name {
        "SCMP_ACT_ALLOW" => libc::SECCOMP_RET_ALLOW,
        "SCMP_ACT_ERRNO" => libc::SECCOMP_RET_ERRNO | errno,
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => libc::SECCOMP_RET_KILL_THREAD,
        "SCMP_ACT_KILL_PROCESS" => libc::SECCOMP_RET_KILL_PROCESS,
        "SCMP_ACT_LOG" => libc::SECCOMP_RET_LOG,
        "SCMP_ACT_TRAP" => libc::SECCOMP_RET_TRAP,
        other => return Err(invalid(other, "this action is not supported")),
    })
}

fn invalid(subject: &str, reason: &str) -> IsolationError {
    IsolationError::invalid("use in a profile of system calls", subject, reason)
}

#[cfg(test)]
mod tests {
    use super::super::{ALLOW, ARCHITECTURE, ENOSYS, EPERM, LAST_KNOWN, answer};
    use super::*;

    fn filter(json: serde_json::Value) -> Filter {
        serde_json::from_value::<Profile>(json).unwrap().compile(&capabilities::ROOT_DEFAULT).unwrap()
    }

    fn ask(filter: &Filter, name: &str, arguments: [u64; 6]) -> u32 {
        answer(filter, ARCHITECTURE, names::number(name).unwrap(), arguments)
    }

    const NONE: [u64; 6] = [0; 6];

    #[test]
    fn an_allow_list_allows_what_it_lists() {
        let filter = filter(serde_json::json!({
            "defaultAction": "SCMP_ACT_ERRNO",
            "defaultErrnoRet": 38,
            "archMap": [{ "architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"] },
                        { "architecture": "SCMP_ARCH_AARCH64" }],
            "syscalls": [
                { "names": ["read", "write", "of_a_later_kernel"], "action": "SCMP_ACT_ALLOW" },
                { "name": "mount", "action": "SCMP_ACT_ERRNO", "errnoRet": 1 },
                { "names": ["reboot"], "action": "SCMP_ACT_KILL_PROCESS" },
                { "names": ["chroot"], "action": "SCMP_ACT_ALLOW", "includes": { "caps": ["CAP_SYS_CHROOT"] } },
                { "names": ["bpf"], "action": "SCMP_ACT_ALLOW", "includes": { "caps": ["CAP_SYS_ADMIN"] } },
                { "names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": { "minKernel": "4.8" } },
                { "names": ["setns"], "action": "SCMP_ACT_ALLOW", "excludes": { "caps": ["CAP_SYS_CHROOT"] } },
                { "names": ["acct"], "action": "SCMP_ACT_ALLOW", "includes": { "arches": ["s390"] } },
            ]
        }));
        for (name, expected) in [
            ("read", ALLOW),
            ("write", ALLOW),
            ("openat", ENOSYS),
            ("mount", EPERM),
            ("reboot", libc::SECCOMP_RET_KILL_PROCESS),
            ("chroot", ALLOW),
            ("bpf", ENOSYS),
            ("ptrace", ALLOW),
            ("setns", ENOSYS),
            ("acct", ENOSYS),
        ] {
            assert_eq!(ask(&filter, name, NONE), expected, "{name}");
        }
        assert_eq!(answer(&filter, ARCHITECTURE, LAST_KNOWN + 1, NONE), ENOSYS);
        assert_eq!(answer(&filter, 1, 0, NONE), ENOSYS);
    }

    #[test]
    fn arguments_are_compared_as_numbers_of_64_bits() {
        let big = 1_u64 << 40;
        let values = [0, 1, 4, 5, 6, big - 1, big, big + 4, big + 5, big + 6, u64::MAX];
        type Holds = fn(u64, u64) -> bool;
        let tests: [(&str, Holds); 6] = [
            ("SCMP_CMP_EQ", |a, b| a == b),
            ("SCMP_CMP_NE", |a, b| a != b),
            ("SCMP_CMP_GT", |a, b| a > b),
            ("SCMP_CMP_GE", |a, b| a >= b),
            ("SCMP_CMP_LT", |a, b| a < b),
            ("SCMP_CMP_LE", |a, b| a <= b),
        ];
        for (op, holds) in tests {
            for bound in [5, big, big + 5] {
                let filter = filter(serde_json::json!({
                    "defaultAction": "SCMP_ACT_ERRNO",
                    "syscalls": [{ "names": ["personality"], "action": "SCMP_ACT_ALLOW",
                                   "args": [{ "index": 3, "value": bound, "op": op }] }]
                }));
                for value in values {
                    let expected = if holds(value, bound) { ALLOW } else { EPERM };
                    assert_eq!(
                        ask(&filter, "personality", [0, 0, 0, value, 0, 0]),
                        expected,
                        "{value} {op} {bound}"
                    );
                }
            }
        }
    }

    #[test]
    fn conditions_are_joined_and_rules_are_alternatives() {
        let equal = |index: u32, value: u64| serde_json::json!({ "index": index, "value": value, "op": "SCMP_CMP_EQ" });
        let filter = filter(serde_json::json!({
            "defaultAction": "SCMP_ACT_ERRNO",
            "syscalls": [
                { "names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [equal(0, 1), equal(1, 2)] },
                { "names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [equal(0, 7)] },
                { "names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [equal(0, 0), equal(0, 8)] },
                { "names": ["clone"], "action": "SCMP_ACT_ALLOW",
                  "args": [{ "index": 0, "value": 0x7e02_0000_u64, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ" }] },
                { "names": ["kill"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38, "args": [equal(0, 1)] },
                { "names": ["kill"], "action": "SCMP_ACT_ALLOW", "args": [] },
            ]
        }));
        let cases = [
            ("socket", [1, 2], ALLOW),
            ("socket", [1, 3], EPERM),
            ("socket", [7, 3], ALLOW),
            ("personality", [8, 0], ALLOW),
            ("personality", [9, 0], EPERM),
            ("clone", [0x11, 0], ALLOW),
            ("clone", [0x1002_0011, 0], EPERM),
            ("kill", [1, 0], ALLOW),
        ];
        for (name, [a, b], expected) in cases {
            assert_eq!(ask(&filter, name, [a, b, 0, 0, 0, 0]), expected, "{name} {a} {b}");
        }
    }

    #[test]
    fn long_lists_of_rules_need_long_jumps_and_are_right() {
        let rules: Vec<_> = (0..200_u64)
            .map(|value| {
                serde_json::json!({ "names": ["read", "write", "lseek"], "action": "SCMP_ACT_ALLOW",
                "args": [{ "index": 0, "value": value << 33, "op": "SCMP_CMP_EQ" }] })
            })
            .collect();
        let filter = filter(serde_json::json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules }));
        for name in ["read", "write", "lseek"] {
            assert_eq!(ask(&filter, name, [199 << 33, 0, 0, 0, 0, 0]), ALLOW);
            assert_eq!(ask(&filter, name, [200 << 33, 0, 0, 0, 0, 0]), EPERM);
        }
        assert_eq!(ask(&filter, "openat", NONE), EPERM);
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        let refuse = |json: serde_json::Value| {
            let profile = serde_json::from_value::<Profile>(json).map_err(|error| error.to_string());
            profile.and_then(|profile| profile.compile(&[]).map_err(|error| error.to_string())).unwrap_err()
        };
        let entry = |entry: serde_json::Value| serde_json::json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [entry] });
        assert!(
            refuse(serde_json::json!({ "defaultAction": "SCMP_ACT_NOTIFY" })).contains("SCMP_ACT_NOTIFY")
        );
        assert!(
            refuse(serde_json::json!({ "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/x" }))
                .contains("listenerPath")
        );
        assert!(
            refuse(
                serde_json::json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_S390X"] })
            )
            .contains("architectures")
        );
        assert!(
            refuse(serde_json::json!({ "defaultAction": "SCMP_ACT_ALLOW", "flags": ["SPEC_ALLOW"] }))
                .contains("SPEC_ALLOW")
        );
        let argument = serde_json::json!([{ "index": 6, "value": 0, "op": "SCMP_CMP_EQ" }]);
        assert!(
            refuse(entry(
                serde_json::json!({ "names": ["read"], "action": "SCMP_ACT_ALLOW", "args": argument })
            ))
            .contains('6')
        );
        let argument = serde_json::json!([{ "index": 0, "value": 0, "op": "SCMP_CMP_LIKE" }]);
        assert!(
            refuse(entry(
                serde_json::json!({ "names": ["read"], "action": "SCMP_ACT_ALLOW", "args": argument })
            ))
            .contains("LIKE")
        );
    }
}
