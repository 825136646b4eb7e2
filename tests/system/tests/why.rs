//! An app that needs more memory than any agent has: the same sentence from the API, the command line and a browser.

use std::process::Command;
use std::time::Duration;

use chapada_harness::{Cluster, binary, eventually};
use serde_json::{Value, json};

const WITHIN: Duration = Duration::from_secs(60);
const SENTENCE: &str =
    "Needs 16 GiB of memory on an agent; the only agent offered has 4 GiB free (127.0.0.1)";
const CHANGE: &str = "it would fit if mem were 4 GiB";

fn chapada(cluster: &Cluster, arguments: &[&str]) -> String {
    let out = Command::new(binary("chapada"))
        .args(arguments)
        .args(["--master", cluster.master_host_port(0)])
        .output()
        .expect("chapada is built");
    assert!(out.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

#[test]
fn an_app_that_fits_nowhere_is_explained_alike_by_api_command_line_and_browser() {
    let cluster = Cluster::builder().services().start();
    let app = json!({"id": "/large", "cmd": "sleep 1000", "cpus": 0.1, "mem": 16_384});
    let file = cluster.folder().join("app.json");
    std::fs::write(&file, app.to_string()).expect("a file");
    let http = cluster.services_http();
    eventually("a plan knows the agent and says that it would not fit", WITHIN, || {
        let plan = chapada(&cluster, &["apps", "plan", &file.to_string_lossy()]);
        let says = format!("/large: 1 would wait. {SENTENCE}; {CHANGE}.");
        if plan.contains(&says) { Ok(()) } else { Err(plan) }
    });
    assert_eq!(http.get("/v2/apps").expect("apps")["apps"], json!([]), "a plan changes nothing");

    http.send("POST", "/v2/apps", &app).expect("the app is accepted");
    let why = eventually("the API says why", WITHIN, || {
        let why: Value = http.get("/v2/apps//large/why").map_err(|error| format!("{error:?}"))?;
        if why["sentence"] == format!("{SENTENCE}; {CHANGE}.") { Ok(why) } else { Err(why.to_string()) }
    });
    assert_eq!(why["reasons"][0]["changes"][0]["patch"], json!({"mem": 4096}));

    let said = chapada(&cluster, &["why", "/large"]);
    assert!(said.contains(SENTENCE) && said.contains(CHANGE), "{said}");
    let told: Value =
        serde_json::from_str(&chapada(&cluster, &["why", "/large", "--output", "json"])).expect("JSON");
    assert_eq!(told["sentence"], why["sentence"]);

    let out = Command::new("node")
        .arg("e2e/why.mjs")
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../webui/app"))
        .env("CHAPADA_MASTER_URL", format!("http://{}", cluster.master_host_port(0)))
        .env("CHAPADA_APP_ID", "/large")
        .env("CHAPADA_SENTENCE", SENTENCE)
        .env("CHAPADA_CHANGE", CHANGE)
        .output()
        .expect("node is installed");
    let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{stdout}\n{stderr}");

    http.send("PUT", "/v2/apps//large?force=true", &why["reasons"][0]["changes"][0]["patch"])
        .expect("the change is taken");
    eventually("the change that was named places it", WITHIN, || {
        if cluster.live_tasks()?.len() == 1 { Ok(()) } else { Err("not yet".to_owned()) }
    });
}
