//! The memory controller: a hard limit on everything charged, without swap, and the kernel's count of its kills.

use std::path::{Path, PathBuf};

use crate::IsolationError;

use super::file::{field, read, read_number, write, write_if_present};
use super::{Controller, Limits, MIN_MEMORY_BYTES, Statistics, Target};

/// v1 says "no limit" with a number near 2^63; no machine has this much.
const UNLIMITED: u64 = 1 << 60;

/// The v1 form.
#[derive(Debug, Clone)]
pub struct MemoryV1 {
    /// The container's directory in the `memory` hierarchy.
    pub directory: PathBuf,
}

impl Controller for MemoryV1 {
    fn apply(&self, limits: &Limits, target: Target) -> Result<(), IsolationError> {
        self.spare(limits, target)?;
        if limits.memory_bytes.is_none() && target == Target::New {
            return Ok(());
        }
        let bytes = limits.memory_bytes.map(|bytes| bytes.max(MIN_MEMORY_BYTES));
        let bytes = bytes.map(|bytes| bytes.max(self.kept(target)));
        let text = |bytes: Option<u64>| bytes.map_or("-1".to_owned(), |bytes| bytes.to_string());
        let value = text(bytes);
        let with_swap = |bytes: u64| bytes.checked_add(limits.swap_bytes.unwrap_or(0));
        let both = text(bytes.and_then(with_swap));
        let (memory, with_swap) = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes");
        // The kernel keeps memory <= memory + swap at every moment, so which goes first depends on the direction.
        if write(&self.directory, memory, &value).is_err() {
            write_if_present(&self.directory, with_swap, &both)?;
            write(&self.directory, memory, &value)?;
        }
        write_if_present(&self.directory, with_swap, &both)
    }

    fn read(&self, into: &mut Statistics) -> Result<(), IsolationError> {
        into.memory_total_bytes = read_number(&self.directory, "memory.usage_in_bytes")?.unwrap_or(0);
        into.memory_kernel_bytes = read_number(&self.directory, "memory.kmem.usage_in_bytes")?.unwrap_or(0);
        into.memory_sockets_bytes =
            read_number(&self.directory, "memory.kmem.tcp.usage_in_bytes")?.unwrap_or(0);
        if let Some(text) = read(&self.directory, "memory.stat")? {
            let bytes = |key: &str| field(&text, key).unwrap_or(0);
            into.memory_rss_bytes = bytes("total_rss");
            into.memory_cache_bytes = bytes("total_cache");
            into.memory_mapped_bytes = bytes("total_mapped_file");
            into.memory_unevictable_bytes = bytes("total_unevictable");
            into.memory_swap_bytes = bytes("total_swap");
            into.memory_limit_bytes =
                field(&text, "hierarchical_memory_limit").filter(|limit| *limit < UNLIMITED);
        }
        Ok(())
    }

    fn read_last(&self, into: &mut Statistics) -> Result<(), IsolationError> {
        into.memory_peak_bytes = read_number(&self.directory, "memory.max_usage_in_bytes")?;
        if let Some(text) = read(&self.directory, "memory.oom_control")? {
            into.oom_kills = field(&text, "oom_kill").unwrap_or(0);
        }
        Ok(())
    }
}

impl MemoryV1 {
    /// What cannot be taken from processes that run.
    fn kept(&self, target: Target) -> u64 {
        match target {
            Target::New => 0,
            Target::Running => kept(&self.directory, &["total_rss", "total_shmem"]),
        }
    }

    fn spare(&self, limits: &Limits, target: Target) -> Result<(), IsolationError> {
        match limits.memory_soft_bytes {
            Some(bytes) => write(&self.directory, "memory.soft_limit_in_bytes", &bytes.to_string()),
            None if target == Target::New => Ok(()),
            None => write_if_present(&self.directory, "memory.soft_limit_in_bytes", "-1"),
        }
    }
}

/// What these fields of `memory.stat` say together: a limit below that would kill, or not be taken.
fn kept(directory: &Path, fields: &[&str]) -> u64 {
    let text = read(directory, "memory.stat").ok().flatten().unwrap_or_default();
    fields.iter().filter_map(|name| field(&text, name)).sum()
}

/// The v2 form.
#[derive(Debug, Clone)]
pub struct MemoryV2 {
    /// The container's directory in the v2 tree.
    pub directory: PathBuf,
}

impl Controller for MemoryV2 {
    fn apply(&self, limits: &Limits, target: Target) -> Result<(), IsolationError> {
        let text = |bytes: Option<u64>| {
            let bytes = bytes.filter(|bytes| *bytes < u64::MAX);
            bytes.map_or("max".to_owned(), |bytes| bytes.to_string())
        };
        let is_new = target == Target::New;
        let kept = if is_new { 0 } else { kept(&self.directory, &["anon", "shmem", "kernel"]) };
        if limits.memory_soft_bytes.is_some() || !is_new {
            write(&self.directory, "memory.low", &limits.memory_soft_bytes.unwrap_or(0).to_string())?;
        }
        if limits.memory_bytes.is_some() || !is_new {
            write(
                &self.directory,
                "memory.max",
                &text(limits.memory_bytes.map(|it| it.max(MIN_MEMORY_BYTES).max(kept))),
            )?;
        }
        let swap = limits.swap_bytes.or(limits.memory_bytes.map(|_| 0));
        if swap.is_some() || !is_new {
            write_if_present(&self.directory, "memory.swap.max", &text(swap))?;
        }
        // A container is one thing: what is left of it after a kill is of no use to anybody.
        write(&self.directory, "memory.oom.group", "1")
    }

    fn read(&self, into: &mut Statistics) -> Result<(), IsolationError> {
        into.memory_total_bytes = read_number(&self.directory, "memory.current")?.unwrap_or(0);
        into.memory_limit_bytes = read_number(&self.directory, "memory.max")?;
        into.memory_swap_bytes = read_number(&self.directory, "memory.swap.current")?.unwrap_or(0);
        if let Some(text) = read(&self.directory, "memory.stat")? {
            let bytes = |key: &str| field(&text, key).unwrap_or(0);
            into.memory_rss_bytes = bytes("anon");
            into.memory_cache_bytes = bytes("file");
            into.memory_mapped_bytes = bytes("file_mapped");
            into.memory_unevictable_bytes = bytes("unevictable");
            into.memory_kernel_bytes = bytes("kernel");
            into.memory_sockets_bytes = bytes("sock");
        }
        Ok(())
    }

    fn read_last(&self, into: &mut Statistics) -> Result<(), IsolationError> {
        into.memory_peak_bytes = read_number(&self.directory, "memory.peak")?;
        if let Some(text) = read(&self.directory, "memory.events")? {
            into.oom_kills = field(&text, "oom_kill").unwrap_or(0);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn v2_spares_and_swaps_as_told_and_forgets_it_when_told_nothing() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["memory.max", "memory.low", "memory.swap.max", "memory.oom.group"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let memory = MemoryV2 { directory: dir.path().to_owned() };
        let text = || {
            ["memory.max", "memory.low", "memory.swap.max"]
                .map(|name| fs::read_to_string(dir.path().join(name)).unwrap())
        };
        let limits = Limits {
            memory_bytes: Some(64 << 20),
            memory_soft_bytes: Some(32 << 20),
            swap_bytes: Some(1 << 20),
            ..Limits::default()
        };
        memory.apply(&limits, Target::New).unwrap();
        assert_eq!(text(), ["67108864", "33554432", "1048576"]);
        memory.apply(&Limits::default(), Target::Running).unwrap();
        assert_eq!(text(), ["max", "0", "max"]);
    }

    #[test]
    fn a_limit_is_not_lowered_below_what_is_in_use() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["memory.max", "memory.low", "memory.swap.max", "memory.oom.group"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        fs::write(dir.path().join("memory.stat"), "anon 50000000\nfile 90000000\nshmem 1000\n").unwrap();
        let memory = MemoryV2 { directory: dir.path().to_owned() };
        let limits = |mib: u64| Limits { memory_bytes: Some(mib << 20), ..Limits::default() };
        let limit = || fs::read_to_string(dir.path().join("memory.max")).unwrap();
        memory.apply(&limits(40), Target::Running).unwrap();
        assert_eq!(limit(), "50001000", "what the cache has can be taken from it");
        memory.apply(&limits(64), Target::Running).unwrap();
        assert_eq!(limit(), "67108864");
        let unlimited = Limits { swap_bytes: Some(u64::MAX), ..limits(64) };
        memory.apply(&unlimited, Target::New).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("memory.swap.max")).unwrap(), "max");
    }

    #[test]
    fn v2_turns_swap_off_and_kills_the_group_as_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["memory.max", "memory.swap.max", "memory.oom.group"] {
            fs::write(path(name), "").unwrap();
        }
        let memory = MemoryV2 { directory: dir.path().to_owned() };
        memory.apply(&Limits { memory_bytes: Some(64 << 20), ..Limits::default() }, Target::New).unwrap();
        assert_eq!(fs::read_to_string(path("memory.max")).unwrap(), "67108864");
        assert_eq!(fs::read_to_string(path("memory.swap.max")).unwrap(), "0");
        assert_eq!(fs::read_to_string(path("memory.oom.group")).unwrap(), "1");
        memory.apply(&Limits { memory_bytes: Some(1), ..Limits::default() }, Target::New).unwrap();
        assert_eq!(fs::read_to_string(path("memory.max")).unwrap(), MIN_MEMORY_BYTES.to_string());
    }

    #[test]
    fn v2_counts_kills_from_its_events() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("memory.events"), "low 0\nmax 7\noom 2\noom_kill 1\noom_group_kill 1\n")
            .unwrap();
        fs::write(dir.path().join("memory.max"), "max\n").unwrap();
        let mut statistics = Statistics::default();
        let memory = MemoryV2 { directory: dir.path().to_owned() };
        memory.read(&mut statistics).unwrap();
        memory.read_last(&mut statistics).unwrap();
        assert_eq!(statistics.oom_kills, 1);
        assert_eq!(statistics.memory_limit_bytes, None);
    }
}
