//! An app with a persistent volume on a real agent: what it wrote is there after a kill, a restart and an update, and gone with
//! its reservation when it is wiped or deleted.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chapada_harness::{Cluster, Http, eventually};
use serde_json::{Value, json};

const WITHIN: Duration = Duration::from_secs(60);
/// What the app writes into its volume, a line per start.
const FILE: &str = "written-by-a-resident";

fn app(version: &str) -> Value {
    json!({
        "id": "/store/db", "role": "store", "cpus": 0.1, "mem": 32, "disk": 5, "backoffSeconds": 0,
        "cmd": format!("echo $MESOS_TASK_ID >> data/{FILE} && exec sleep 100000"),
        "env": {"VERSION": version},
        "container": {"type": "MESOS", "volumes": [
            {"containerPath": "data", "mode": "RW", "persistent": {"size": 16}},
        ]},
    })
}

fn settled(services: &Http) -> Result<(), String> {
    let deployments = services.get("/v2/deployments")?;
    if deployments == json!([]) { Ok(()) } else { Err(format!("{deployments:#}")) }
}

/// Every file of that name below a folder; links are not followed.
fn find(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => find(&entry.path(), found),
            Ok(kind) if kind.is_file() && entry.file_name() == FILE => found.push(entry.path()),
            _ => {}
        }
    }
}

/// The one volume's file and the tasks that wrote into it.
fn written(cluster: &Cluster, lines: usize) -> Result<(PathBuf, Vec<String>), String> {
    let mut found = Vec::new();
    find(cluster.folder(), &mut found);
    let [file] = found.as_slice() else { return Err(format!("{found:?}")) };
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    let tasks: Vec<String> = text.lines().map(str::to_owned).collect();
    if tasks.len() == lines { Ok((file.clone(), tasks)) } else { Err(format!("{tasks:?}")) }
}

fn reserved(cluster: &Cluster) -> Result<Value, String> {
    let agents = cluster.leader_http()?.get("/slaves")?;
    Ok(agents["slaves"][0]["reserved_resources"].clone())
}

fn none_reserved(cluster: &Cluster) -> Result<(), String> {
    let reserved = reserved(cluster)?;
    let none = reserved.as_object().is_some_and(serde_json::Map::is_empty);
    let mut files = Vec::new();
    find(cluster.folder(), &mut files);
    if none && files.is_empty() { Ok(()) } else { Err(format!("{reserved:#}, {files:?}")) }
}

#[test]
fn a_resident_app_finds_what_it_wrote_until_it_is_wiped() {
    let cluster = Cluster::builder().services().start();
    let services = cluster.services_http();
    let in_time = |what: &str, lines: usize| {
        eventually(what, WITHIN, || {
            settled(&services)?;
            written(&cluster, lines)
        })
    };
    services.send("PUT", "/v2/apps/store/db", &app("1")).expect("the app is accepted");
    let (volume, first) = in_time("it has written", 1);
    let shown = services.get("/v2/apps/store/db").expect("it is there");
    let local = &shown["app"]["tasks"][0]["localVolumes"][0];
    assert_eq!((&local["containerPath"], &local["runSpecId"]), (&json!("data"), &json!("/store/db")));
    let kept = reserved(&cluster).expect("the master answers");
    assert_eq!((&kept["store"]["disk"], &kept["store"]["mem"]), (&json!(21.0), &json!(32.0)), "{kept:#}");

    services.send("DELETE", "/v2/apps/store/db/tasks", &json!({})).expect("its task is killed");
    in_time("it was started again", 2);
    services.send("POST", "/v2/apps/store/db/restart", &json!({})).expect("it is restarted");
    in_time("it was restarted", 3);
    services.send("PUT", "/v2/apps/store/db", &app("2")).expect("it is updated");
    let (same, tasks) = in_time("it was updated", 4);
    let instance = |task: &str| task.rsplit_once("._app.").map(|(instance, _)| instance.to_owned());
    assert_eq!(same, volume);
    assert!(tasks.iter().all(|task| instance(task) == instance(&first[0])), "{tasks:?}");

    services.send("DELETE", "/v2/apps/store/db/tasks?wipe=true", &json!({})).expect("it is wiped");
    let (other, anew) = in_time("it begins anew", 1);
    assert_ne!((other, instance(&anew[0])), (volume, instance(&first[0])));

    services.send("DELETE", "/v2/apps/store/db", &json!({})).expect("it is deleted");
    eventually("everything is given back", WITHIN, || none_reserved(&cluster));
    eventually("the deployment has ended", WITHIN, || settled(&services));
}

/// What a pod's first container appends to and its second reads, from the volume that both have.
fn pod(version: &str) -> Value {
    let mounts = |path: &str| json!([{"name": "data", "mountPath": path}]);
    json!({
        "id": "/store/pod", "role": "store", "labels": {"version": version},
        "volumes": [{"name": "data", "persistent": {"size": 16}}],
        "containers": [
            {
                "name": "writes", "resources": {"cpus": 0.1, "mem": 32}, "volumeMounts": mounts("data"),
                "exec": {"command": {
                    "shell": format!("echo $MARATHON_CONTAINER_ID >> data/{FILE} && exec sleep 100000"),
                }},
            },
            {
                "name": "reads", "resources": {"cpus": 0.1, "mem": 32}, "volumeMounts": mounts("seen"),
                "exec": {"command": {
                    "shell": format!("until test -s seen/{FILE}; do sleep 0.1; done; exec sleep 100000"),
                }},
            },
        ],
        "scheduling": {"backoff": {"backoff": 0}},
    })
}

#[test]
fn a_pod_finds_what_its_containers_wrote_until_it_is_wiped() {
    let cluster = Cluster::builder().services().start();
    let services = cluster.services_http();
    let in_time = |what: &str, lines: usize| {
        eventually(what, WITHIN, || {
            settled(&services)?;
            let status = services.get("/v2/pods/store/pod::status")?;
            let instance = &status["instances"][0];
            if instance["status"] != "STABLE" {
                return Err(format!("{status:#}"));
            }
            Ok((written(&cluster, lines)?.0, instance["id"].as_str().unwrap_or_default().to_owned()))
        })
    };
    services.send("POST", "/v2/pods", &pod("1")).expect("it is taken");
    let (volume, first) = in_time("it runs", 1);
    let instances = "/v2/pods/store/pod::instances";
    services.send("DELETE", &format!("{instances}/{first}"), &json!({})).expect("it is killed");
    assert_eq!(in_time("it was started again", 2), (volume.clone(), first.clone()));
    services.send("PUT", "/v2/pods/store/pod", &pod("2")).expect("it is replaced");
    assert_eq!(in_time("it was replaced", 3), (volume.clone(), first.clone()));

    let wiped = services.send("DELETE", &format!("{instances}?wipe=true"), &json!([first]));
    wiped.expect("it is wiped");
    let (other, anew) = in_time("it begins anew", 1);
    assert!(other != volume && anew != first, "{other:?} {anew}");

    services.send("DELETE", "/v2/pods/store/pod", &json!({})).expect("it is deleted");
    eventually("everything is given back", WITHIN, || none_reserved(&cluster));
    eventually("the deployment has ended", WITHIN, || settled(&services));
}

/// A file system that is there for as long as this is.
struct Mounted(PathBuf);

impl Mounted {
    fn tmpfs(path: PathBuf) -> Self {
        std::fs::create_dir(&path).expect("files of the test");
        let flags = nix::mount::MsFlags::empty();
        nix::mount::mount(Some("tmpfs"), &path, Some("tmpfs"), flags, Some("size=16m"))
            .expect("root may mount");
        Self(path)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        nix::mount::umount2(&self.0, nix::mount::MntFlags::MNT_DETACH).expect("it is mounted");
    }
}

/// An app or a pod that writes a line into its volume, of this kind of disk, at each start.
fn on_disk(kind: &str, is_pod: bool) -> (&'static str, Value) {
    let persistent = json!({"type": kind, "size": 16});
    let line = format!("echo line >> data/{FILE} && exec sleep 100000");
    let id = format!("/store/{kind}-{}", if is_pod { "pod" } else { "app" });
    if !is_pod {
        let volume = json!({"containerPath": "data", "mode": "RW", "persistent": persistent});
        return (
            "/v2/apps",
            json!({
                "id": id, "role": "store", "cpus": 0.1, "mem": 32, "cmd": line, "backoffSeconds": 0,
                "container": {"type": "MESOS", "volumes": [volume]},
            }),
        );
    }
    let container = json!({
        "name": "writes", "resources": {"cpus": 0.1, "mem": 32}, "exec": {"command": {"shell": line}},
        "volumeMounts": [{"name": "data", "mountPath": "data"}],
    });
    (
        "/v2/pods",
        json!({
            "id": id, "role": "store", "volumes": [{"name": "data", "persistent": persistent}],
            "containers": [container], "scheduling": {"backoff": {"backoff": 0}},
        }),
    )
}

#[test]
fn volumes_are_made_on_the_disks_that_they_name_and_found_there_again() {
    let folder = tempfile::Builder::new().prefix("chapada-disks-").tempdir_in("/var/tmp").expect("a folder");
    let path = folder.path().join("path");
    std::fs::create_dir(&path).expect("files of the test");
    let mounts = [Mounted::tmpfs(folder.path().join("one")), Mounted::tmpfs(folder.path().join("two"))];
    let scalar = |name: &str, value: u32| json!({"name": name, "type": "SCALAR", "scalar": {"value": value}});
    let disk = |size: u32, kind: &str, root: &Path| {
        let mut disk = scalar("disk", size);
        disk["disk"]["source"] = json!({"type": kind, kind.to_lowercase(): {"root": root}});
        disk
    };
    let resources = json!([
        scalar("cpus", 4), scalar("mem", 1024), scalar("disk", 256), disk(64, "PATH", &path),
        disk(16, "MOUNT", &mounts[0].0), disk(16, "MOUNT", &mounts[1].0),
        {"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": 31_000, "end": 31_099}]}},
    ]);
    let cluster = Cluster::builder().resources(&resources.to_string()).services().start();
    let services = cluster.services_http();
    let all = [("path", false), ("path", true), ("mount", false), ("mount", true)].map(|(kind, is_pod)| {
        let (place, definition) = on_disk(kind, is_pod);
        services.send("POST", place, &definition).expect("it is taken");
        format!("{place}{}", definition["id"].as_str().expect("an id"))
    });
    // How often each has written, by the disk that its file is on.
    let written = |times: usize| {
        eventually(&format!("each has written {times} times"), WITHIN, || {
            settled(&services)?;
            let mut lines = Vec::new();
            for disk in [&path, &mounts[0].0, &mounts[1].0] {
                let mut files = Vec::new();
                find(disk, &mut files);
                for file in files {
                    let text = std::fs::read_to_string(&file).map_err(|error| error.to_string())?;
                    lines.push((disk.clone(), text.lines().count()));
                }
            }
            let expected = [&path, &path, &mounts[0].0, &mounts[1].0].map(|disk| (disk.clone(), times));
            if lines == expected { Ok(()) } else { Err(format!("{lines:?}")) }
        });
    };
    written(1);
    for one in &all {
        let (instances, body) = match one.strip_prefix("/v2/apps") {
            Some(_) => (format!("{one}/tasks"), json!({})),
            None => {
                let status = services.get(&format!("{one}::status")).expect("a status");
                (format!("{one}::instances"), json!([status["instances"][0]["id"]]))
            }
        };
        services.send("DELETE", &instances, &body).expect("it is killed");
    }
    written(2);
    for one in &all {
        let (status, body) = services.call("DELETE", one, None).expect("an answer");
        assert!((200..300).contains(&status), "{status}: {body}");
    }
    eventually("everything is given back", WITHIN, || {
        none_reserved(&cluster)?;
        let mut files = Vec::new();
        find(folder.path(), &mut files);
        if files.is_empty() { Ok(()) } else { Err(format!("{files:?}")) }
    });
}
