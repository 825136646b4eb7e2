//! A services process with credentials and grants, as an operator starts it.

use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use chapada_harness::{Cluster, Http, eventually};
use serde_json::json;

const WITHIN: Duration = Duration::from_secs(60);
const GRANTS: &str = r#"
[[grant]]
principal = "root"
actions = ["create", "update", "delete", "view", "operate"]
under = ["/"]

[[grant]]
principal = "shop"
actions = ["view"]
under = ["/prod"]
"#;
const LISTS: [&str; 6] = [
    "/v2/apps?embed=apps.tasks",
    "/v2/tasks",
    "/v2/groups?embed=group.groups&embed=group.apps",
    "/v2/deployments",
    "/v2/queue",
    "/v2/pods",
];

fn file(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    let mut made =
        std::fs::File::options().write(true).create_new(true).mode(0o600).open(&path).expect("a file");
    std::io::Write::write_all(&mut made, text.as_bytes()).expect("it is written");
    path.display().to_string()
}

#[test]
fn who_is_not_known_sees_nothing_and_who_is_sees_what_it_was_granted() {
    let cluster = Cluster::builder().start();
    let credentials = file(cluster.folder(), "credentials", "root:all-of-it\nshop:a-part\n");
    let policy = file(cluster.folder(), "grants.toml", GRANTS);
    let flags = [format!("--http-credentials-file={credentials}"), format!("--access-policy={policy}")];
    let (address, _daemon) = cluster.another_services("services", &flags);
    let of = |who: &str| Http::new(&format!("{who}@{address}"));
    let (root, shop) = (of("root:all-of-it"), of("shop:a-part"));
    eventually("it is registered", WITHIN, || match root.get("/v2/info")? {
        info if info["frameworkId"].is_string() => Ok(()),
        info => Err(info.to_string()),
    });
    // One of each runs, and one of each waits for memory that nobody has.
    for id in ["/prod/marker-seen", "/test/marker-hidden"] {
        for (name, mem) in [("run", 32), ("wait", 1_000_000)] {
            let app =
                json!({"id": format!("{id}/{name}"), "cmd": "exec sleep 100000", "cpus": 0.1, "mem": mem});
            root.send("POST", "/v2/apps", &app).expect("root may make apps");
        }
    }
    eventually("both that fit run", WITHIN, || {
        match root.get("/v2/tasks?status=running")?["tasks"].as_array() {
            Some(tasks) if tasks.len() == 2 => Ok(()),
            tasks => Err(format!("{tasks:?}")),
        }
    });

    for unknown in [Http::new(&address), of("shop:all-of-it"), of("nobody:a-part")] {
        for list in LISTS {
            let (status, body) = unknown.call("GET", list, None).expect("an answer");
            assert!(status == 401 && !body.contains("marker"), "{list}: {status} {body}");
        }
    }
    for list in LISTS {
        let all = root.text(list).expect("root sees all");
        let part = shop.text(list).expect("shop sees a part");
        let both = |text: &str| (text.contains("marker-seen"), text.contains("marker-hidden"));
        let expected = list != "/v2/pods";
        assert_eq!(both(&all), (expected, expected), "{list}: {all}");
        assert_eq!(both(&part), (expected, false), "{list}: {part}");
    }
    let status = |who: &Http, method: &str, app: &str| {
        who.call(method, &format!("/v2/apps{app}"), None).expect("an answer").0
    };
    assert_eq!(status(&shop, "GET", "/prod/marker-seen/run"), 200);
    assert_eq!(status(&shop, "GET", "/test/marker-hidden/run"), 404);
    assert_eq!(status(&shop, "DELETE", "/prod/marker-seen/run"), 403);
    assert_eq!(status(&root, "DELETE", "/prod/marker-seen/wait?force=true"), 200);
}
