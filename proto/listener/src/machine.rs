//! The machine that this process runs on, from `/proc`.

use std::collections::BTreeMap;

/// Load, processors and memory by Mesos' names, in processes, processors and bytes. What the kernel does not tell is
/// left out.
pub fn machine_stats() -> BTreeMap<&'static str, f64> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let mut stats = loads(&read("/proc/loadavg"));
    stats.append(&mut memory(&read("/proc/meminfo")));
    if let Ok(cpus) = std::thread::available_parallelism() {
        stats.insert("cpus_total", cpus.get() as f64);
    }
    stats
}

fn loads(text: &str) -> BTreeMap<&'static str, f64> {
    let names = ["load_1min", "load_5min", "load_15min"];
    let values = text.split_ascii_whitespace().map(str::parse);
    names.into_iter().zip(values).filter_map(|(name, value)| Some((name, value.ok()?))).collect()
}

fn memory(text: &str) -> BTreeMap<&'static str, f64> {
    let bytes = |field: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(field))?;
        let kibibytes: f64 = line.trim_start_matches(':').trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kibibytes * 1024.0)
    };
    [("mem_total_bytes", bytes("MemTotal")), ("mem_free_bytes", bytes("MemFree"))]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_told_and_nothing_else() {
        assert_eq!(loads("0.50 1.25 2.00 3/456 789\n")["load_5min"], 1.25);
        assert!(loads("").is_empty() && memory("MemTotal: many kB").is_empty());
        let memory = memory("MemTotal:       24684096 kB\nMemFree:         1024 kB\nMemAvailable: 5 kB\n");
        assert_eq!((memory["mem_free_bytes"], memory.len()), (1_048_576.0, 2));
        assert_eq!(machine_stats().len(), 6, "{:?}", machine_stats());
    }
}
