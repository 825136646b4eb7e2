//! The cpu controller: a share under contention, and a hard limit by CFS quota.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::{Context, IsolationError};

use super::file::{field, read, read_number, write, write_if_present};
use super::{Controller, Limits, Statistics, Target};

/// The kernel's own period. Quotas are enforced once each.
const PERIOD_US: u64 = 100_000;
/// The kernel refuses a smaller quota.
const MIN_QUOTA_US: u64 = 1_000;
/// Bounds of v1 `cpu.shares`.
const SHARES: (u64, u64) = (2, 262_144);
/// Bounds of v2 `cpu.weight`.
const WEIGHTS: (u64, u64) = (1, 10_000);
/// `cpuacct.stat` counts in USER_HZ, which is 100 on every architecture we build for.
const NS_PER_TICK: u64 = 10_000_000;

/// The v1 form: `cpu` and `cpuacct`, which may be mounted together or apart. Where there is a v2 tree beside them, that counts,
/// more exactly and without a group in `cpuacct`.
#[derive(Debug, Clone)]
pub struct CpuV1 {
    /// The container's directory in the `cpu` hierarchy.
    pub cpu: PathBuf,
    /// The container's directory in the `cpuacct` hierarchy, if there is one.
    pub cpuacct: Option<PathBuf>,
    /// The container's directory in the v2 tree, if there is one.
    pub unified: Option<PathBuf>,
}

impl Controller for CpuV1 {
    fn apply(&self, limits: &Limits, target: Target) -> Result<(), IsolationError> {
        if let Some(milli) = limits.cpu.share_milli {
            write(&self.cpu, "cpu.shares", &shares(milli).to_string())?;
        }
        match limits.cpu.quota_milli {
            _ if target == Target::New => Ok(()),
            // The kernel's own period is what a new group has.
            Some(milli) => write(&self.cpu, "cpu.cfs_quota_us", &quota_us(milli).to_string()),
            None => write_if_present(&self.cpu, "cpu.cfs_quota_us", "-1"),
        }
    }

    fn quota(&self, limits: &Limits) -> Result<Option<Quota>, IsolationError> {
        let open = |milli| Quota::open(&self.cpu, "cpu.cfs_quota_us", quota_us(milli).to_string());
        limits.cpu.quota_milli.map(open).transpose()
    }

    fn read(&self, into: &mut Statistics) -> Result<(), IsolationError> {
        // Nobody changes the period of a group that we have made.
        into.cpu_quota_milli =
            read_number(&self.cpu, "cpu.cfs_quota_us")?.map(|quota| quota * 1000 / PERIOD_US);
        if let Some(text) = read(&self.cpu, "cpu.stat")? {
            read_throttling(&text, into);
            into.cpu_throttled_ns = field(&text, "throttled_time").unwrap_or(0);
        }
        if let Some(unified) = &self.unified {
            read_usage(&read(unified, "cpu.stat")?.unwrap_or_default(), into);
            return Ok(());
        }
        let Some(cpuacct) = &self.cpuacct else { return Ok(()) };
        into.cpu_usage_ns = read_number(cpuacct, "cpuacct.usage")?.unwrap_or(0);
        if let Some(text) = read(cpuacct, "cpuacct.stat")? {
            into.cpu_user_ns = field(&text, "user").unwrap_or(0) * NS_PER_TICK;
            into.cpu_system_ns = field(&text, "system").unwrap_or(0) * NS_PER_TICK;
        }
        Ok(())
    }
}

/// The v2 form.
#[derive(Debug, Clone)]
pub struct CpuV2 {
    /// The container's directory in the v2 tree.
    pub directory: PathBuf,
}

impl Controller for CpuV2 {
    fn apply(&self, limits: &Limits, target: Target) -> Result<(), IsolationError> {
        if let Some(milli) = limits.cpu.share_milli {
            write(&self.directory, "cpu.weight", &weight(shares(milli)).to_string())?;
        }
        if target == Target::New {
            return Ok(());
        }
        let quota = limits.cpu.quota_milli.map_or("max".to_owned(), |milli| quota_us(milli).to_string());
        write(&self.directory, "cpu.max", &format!("{quota} {PERIOD_US}"))
    }

    fn quota(&self, limits: &Limits) -> Result<Option<Quota>, IsolationError> {
        let open =
            |milli| Quota::open(&self.directory, "cpu.max", format!("{} {PERIOD_US}", quota_us(milli)));
        limits.cpu.quota_milli.map(open).transpose()
    }

    fn read(&self, into: &mut Statistics) -> Result<(), IsolationError> {
        if let Some(text) = read(&self.directory, "cpu.max")? {
            let mut words = text.split_whitespace().map(|word| word.parse::<u64>().ok());
            if let (Some(Some(quota)), Some(Some(period))) = (words.next(), words.next()) {
                into.cpu_quota_milli = Some(quota * 1000 / period.max(1));
            }
        }
        if let Some(text) = read(&self.directory, "cpu.stat")? {
            read_throttling(&text, into);
            into.cpu_throttled_ns = field(&text, "throttled_usec").unwrap_or(0) * 1000;
            read_usage(&text, into);
        }
        Ok(())
    }
}

/// The hard limit of a group that has just been made, open to be set from where its file is not seen any more. Making a
/// container takes a few milliseconds of a processor, more than a small quota has in one period: under it, many would be
/// stopped in the middle for the rest of one.
#[derive(Debug)]
pub struct Quota {
    file: File,
    value: String,
}

impl Quota {
    fn open(directory: &Path, name: &str, value: String) -> Result<Self, IsolationError> {
        let path = directory.join(name);
        let file = OpenOptions::new().write(true).open(&path).context("open", path.display())?;
        Ok(Self { file, value })
    }

    /// From here on it holds.
    ///
    /// # Errors
    /// Names the value that the kernel refused.
    pub fn set(mut self) -> Result<(), IsolationError> {
        let written = self.file.write_all(self.value.as_bytes());
        written.context("limit the time of processors to", self.value)
    }
}

fn read_usage(text: &str, into: &mut Statistics) {
    let nanoseconds = |key: &str| field(text, key).unwrap_or(0) * 1000;
    into.cpu_usage_ns = nanoseconds("usage_usec");
    into.cpu_user_ns = nanoseconds("user_usec");
    into.cpu_system_ns = nanoseconds("system_usec");
}

fn read_throttling(text: &str, into: &mut Statistics) {
    into.cpu_periods = field(text, "nr_periods").unwrap_or(0);
    into.cpu_throttled_periods = field(text, "nr_throttled").unwrap_or(0);
}

fn quota_us(milli: u64) -> u64 {
    milli.saturating_mul(PERIOD_US / 1000).max(MIN_QUOTA_US)
}

/// One processor is 1024 shares.
fn shares(milli: u64) -> u64 {
    (milli.saturating_mul(1024) / 1000).clamp(SHARES.0, SHARES.1)
}

/// The weight that stands to 100 as the shares stand to 1024, bent so that both ends of the ranges meet.
///
/// Source: the conversion that runc, crun and systemd agreed on in 2025: 2 is 1, 1024 is 100, 262144 is 10000.
fn weight(shares: u64) -> u64 {
    #[expect(clippy::cast_precision_loss, reason = "shares are at most 2^18")]
    let log = (shares as f64).log2();
    let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 10000")]
    let weight = 10_f64.powf(exponent).ceil() as u64;
    weight.clamp(WEIGHTS.0, WEIGHTS.1)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::CpuLimits;
    use super::*;

    #[test]
    fn shares_become_the_weight_that_other_runtimes_agree_on() {
        assert_eq!(weight(2), 1);
        assert_eq!(weight(1024), 100);
        assert_eq!(weight(262_144), 10_000);
        assert!((1..1024).map(weight).is_sorted());
    }

    #[test]
    fn the_v2_files_are_written_in_their_format() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["cpu.max", "cpu.weight"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let cpu = CpuV2 { directory: dir.path().to_owned() };
        let limits = Limits {
            cpu: CpuLimits { share_milli: Some(1000), quota_milli: Some(200) },
            ..Limits::default()
        };
        cpu.apply(&limits, Target::New).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("cpu.weight")).unwrap(), "100");
        assert_eq!(
            fs::read_to_string(dir.path().join("cpu.max")).unwrap(),
            "",
            "only the command has a quota"
        );
        cpu.quota(&limits).unwrap().unwrap().set().unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("cpu.max")).unwrap(), "20000 100000");
        assert!(cpu.quota(&Limits::default()).unwrap().is_none());
        let mut statistics = Statistics::default();
        cpu.read(&mut statistics).unwrap();
        assert_eq!(statistics.cpu_quota_milli, Some(200));
        cpu.apply(&Limits::default(), Target::Running).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("cpu.max")).unwrap(), "max 100000");
    }

    #[test]
    fn tiny_quotas_are_raised_to_what_the_kernel_takes() {
        assert_eq!(quota_us(1), MIN_QUOTA_US);
        assert_eq!(quota_us(u64::MAX), u64::MAX);
        assert_eq!(shares(0), 2);
    }
}
