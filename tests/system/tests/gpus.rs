//! An app with GPUs starts on an agent that has some, and one without leaves that agent alone.

use std::path::Path;
use std::time::Duration;

use chapada_harness::{Cluster, eventually};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use serde_json::{Value, json};

const WITHIN: Duration = Duration::from_secs(60);

/// What a driver with two GPUs shows below a directory; nodes of another driver stand for theirs.
fn install_driver(root: &Path) {
    std::fs::create_dir_all(root.join("dev")).expect("a folder");
    for number in 0..2 {
        let place = root.join(format!("proc/driver/nvidia/gpus/0000:0{number}:00.0"));
        std::fs::create_dir_all(&place).expect("a folder");
        std::fs::write(place.join("information"), format!("Device Minor: {number}\n")).expect("a file");
        let node = root.join(format!("dev/nvidia{number}"));
        mknod(&node, SFlag::S_IFCHR, Mode::S_IRWXU, makedev(1, 5)).expect("a node of /dev/zero");
    }
}

#[test]
fn gpus_are_for_apps_that_ask_for_them() {
    let driver = tempfile::tempdir().expect("a folder");
    install_driver(driver.path());
    let root = format!("--nvidia-driver-root={}", driver.path().display());
    let cluster = Cluster::builder().agent_flag(&root).services().start();
    let services = cluster.services_http();
    let app =
        |id: &str, gpus: u32| json!({"id": id, "cmd": "sleep 1000", "cpus": 0.1, "mem": 32, "gpus": gpus});
    services.send("POST", "/v2/apps", &app("/plain", 0)).expect("it is taken");
    services.send("POST", "/v2/apps", &app("/trains", 1)).expect("it is taken");
    let running = |id: &str| -> Result<Value, String> {
        Ok(services.get(&format!("/v2/apps/{id}"))?["app"]["tasksRunning"].clone())
    };
    eventually("the app with a GPU runs", WITHIN, || match running("trains")? {
        one if one == json!(1) => Ok(()),
        other => Err(format!("{other}: {:#}", services.get("/v2/apps//trains/why")?)),
    });
    let sentence = "GPUs, which are left to those who need some";
    eventually("the one without says why it waits", WITHIN, || {
        let why = services.get("/v2/apps//plain/why")?;
        let said = why["sentence"].as_str().unwrap_or_default();
        if said.contains(sentence) { Ok(()) } else { Err(format!("{why:#}")) }
    });
    assert_eq!(running("plain"), Ok(json!(0)));
}
