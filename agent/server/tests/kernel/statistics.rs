//! What containers use, read back from the kernel. Needs root.

use chapada_wire::v1::{self, TaskState};
use serde_json::Value;

use crate::files::get;
use crate::support::*;

pub(crate) async fn get_json(address: &str, path: &str) -> Value {
    serde_json::from_str(&get(address, path).await.1).unwrap()
}

/// The container of a task in a listing.
async fn shown(address: &str, path: &str, task: &str) -> Option<Value> {
    let all = get_json(address, path).await;
    all.as_array().unwrap().iter().find(|one| one["executor_id"] == task).cloned()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_figure_that_the_kernel_gives_is_shown() {
    let (_master, _agent, running, mut link) = registered().await;
    let address = link.hello.address.clone();
    let line = "x=$(head -c 8000000 /dev/zero | tr '\\0' a); sleep 1000 & while [ ! -e stop ]; do :; done; exec sleep 1000";
    let mut task = command_task("t", line);
    task.container = Some(v1::ContainerInfo {
        r#type: Some(v1::container_info::Type::Mesos as i32),
        network_infos: vec![v1::NetworkInfo { name: Some("none".to_owned()), ..Default::default() }],
        ..Default::default()
    });
    link.launch(task).await;
    link.until("t", TaskState::TaskRunning).await;
    let grown = async || {
        let one = shown(&address, "/monitor/statistics", "t").await?;
        let used = &one["statistics"];
        let is_over = |name: &str, least: f64| used[name].as_f64().is_some_and(|figure| figure > least);
        let grown =
            is_over("mem_rss_bytes", 8e6) && is_over("cpus_nr_throttled", 0.0) && is_over("processes", 2.0);
        grown.then(|| used.clone())
    };
    let used = eventually_some("it uses memory and processors", grown).await;
    for name in [
        "timestamp",
        "cpus_user_time_secs",
        "cpus_system_time_secs",
        "cpus_nr_periods",
        "cpus_throttled_time_secs",
        "mem_total_bytes",
        "mem_total_memsw_bytes",
        "mem_kmem_usage_bytes",
        "mem_kmem_tcp_usage_bytes",
        "mem_file_bytes",
        "mem_cache_bytes",
        "mem_mapped_file_bytes",
        "mem_swap_bytes",
        "mem_unevictable_bytes",
        "net_rx_packets",
        "net_tx_bytes",
        "net_snmp_statistics",
    ] {
        assert!(!used[name].is_null(), "{name} is not in {used}");
    }
    assert_eq!((used["cpus_limit"].as_f64(), used["cpus_soft_limit"].as_f64()), (Some(0.1), Some(0.1)));
    let mib = |name: &str| used[name].as_u64().unwrap() >> 20;
    assert_eq!((mib("mem_limit_bytes"), mib("mem_soft_limit_bytes")), (64, 64));
    let (processes, threads) = (used["processes"].as_u64().unwrap(), used["threads"].as_u64().unwrap());
    assert!((3..8).contains(&processes) && threads >= processes, "{used}");
    assert!(used["net_snmp_statistics"]["ip_stats"]["DefaultTTL"].is_i64(), "{used}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_is_shown_with_what_its_tasks_use_and_each_of_them() {
    let (_master, _agent, running, mut link) = registered().await;
    let address = link.hello.address.clone();
    let executor = v1::ExecutorInfo {
        r#type: Some(v1::executor_info::Type::Default as i32),
        executor_id: Some(v1::ExecutorId { value: Some("pod".to_owned()) }),
        resources: command_task("x", "true").resources,
        ..v1::ExecutorInfo::default()
    };
    let tasks = ["a", "b"].map(|id| command_task(id, "exec sleep 1000"));
    link.launch_group(executor, tasks.to_vec(), true).await;
    link.until_all_run(["a", "b"]).await;
    let outermost = get_json(&address, "/containers").await;
    assert_eq!(
        outermost.as_array().unwrap().len(),
        1,
        "what is in others is shown when asked for: {outermost}"
    );
    let all = get_json(&address, "/containers?show_nested=true").await;
    let all = all.as_array().unwrap();
    let (pods, members): (Vec<&Value>, Vec<&Value>) =
        all.iter().partition(|one| one["status"]["container_id"]["parent"].is_null());
    assert_eq!((pods.len(), members.len()), (1, 2), "{all:?}");
    let sum = |name: &str| members.iter().map(|one| one["statistics"][name].as_u64().unwrap()).sum::<u64>();
    assert_eq!(pods[0]["statistics"]["processes"].as_u64(), Some(sum("processes")));
    assert_eq!(pods[0]["statistics"]["mem_limit_bytes"].as_u64(), Some(sum("mem_limit_bytes")));
    assert_eq!(pods[0]["statistics"]["cpus_soft_limit"].as_f64(), Some(0.3), "the executor's own is in it");
    assert!(pods[0]["status"]["executor_pid"].is_null() && members[0]["status"]["executor_pid"].is_u64());
    assert_eq!(members[0]["status"]["container_id"]["parent"]["value"], pods[0]["container_id"]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_again_shares_what_was_read_and_who_came_since_is_there() {
    let (_master, _agent, running, mut link) = registered().await;
    let address = link.hello.address.clone();
    link.launch(command_task("first", "exec sleep 1000")).await;
    link.until("first", TaskState::TaskRunning).await;
    let read_at = async |path: &str, task: &str| {
        shown(&address, path, task).await.expect("it runs")["statistics"]["timestamp"].as_f64().unwrap()
    };
    let shared =
        async || read_at("/containers", "first").await == read_at("/monitor/statistics", "first").await;
    eventually_async("two who ask at once are shown the same", shared).await;
    let before = read_at("/containers", "first").await;
    link.launch(command_task("second", "exec sleep 1000")).await;
    link.until("second", TaskState::TaskRunning).await;
    assert!(read_at("/containers", "second").await > before);
    let moved = async || read_at("/containers", "first").await > before;
    eventually_async("it is read again", moved).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pressure_is_shown_where_memory_is_short_and_not_beside_it() {
    let (_master, agent, running, mut link) = registered().await;
    let address = link.hello.address.clone();
    // What was read of a file fills the room that a task has, and goes as more is read.
    let short = "head -c 100000000 /dev/zero > big; while :; do cat big > /dev/null; done";
    for (name, line) in [("beside", "exec sleep 1000"), ("short", short)] {
        link.launch(command_task(name, line)).await;
        link.until(name, TaskState::TaskRunning).await;
    }
    let hierarchies = agent.cgroups().hierarchies().clone();
    let (v1, psi) = (
        hierarchies.v1.contains_key("memory"),
        hierarchies.v2.is_some_and(|tree| tree.mount_point.join("cgroup.pressure").exists()),
    );
    for path in ["/monitor/statistics", "/containers"] {
        let is_short = async || {
            let used = &shown(&address, path, "short").await?["statistics"];
            let counted = !v1 || used["mem_low_pressure_counter"].as_u64()? > 0;
            let waited = !psi || used["cpu_pressure"]["some"]["total_secs"].as_f64()? > 0.0;
            (counted && waited).then(|| used.clone())
        };
        let used = eventually_some("memory is short", is_short).await;
        let levels = ["low", "medium", "critical"].map(|level| format!("mem_{level}_pressure_counter"));
        assert!(levels.iter().all(|name| used[name].is_u64() == v1), "{used}");
        let kinds = ["cpu_pressure", "memory_pressure", "io_pressure"];
        assert!(kinds.iter().all(|name| used[name]["full"]["avg300"].is_f64() == psi), "{used}");
        let beside = shown(&address, path, "beside").await.unwrap();
        assert_eq!(beside["statistics"]["mem_low_pressure_counter"].as_u64(), v1.then_some(0));
    }
    running.stop().await;
}
