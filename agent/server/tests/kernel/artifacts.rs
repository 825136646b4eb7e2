//! `oci://` among a task's URIs: files of a real registry. Needs root, docker-registry and skopeo.

use crate::support::*;
use chapada_images::Digest;
use chapada_wire::v1::command_info::Uri;
use chapada_wire::v1::{self, TaskState};

fn task(id: &str, command: &str, uri: &str, change: impl FnOnce(&mut Uri)) -> v1::TaskInfo {
    let mut task = command_task(id, command);
    let mut uri = Uri { value: Some(uri.to_owned()), ..Uri::default() };
    change(&mut uri);
    let command = task.command.as_mut().unwrap();
    (command.uris, command.user) = (vec![uri], Some("nobody".to_owned()));
    task
}

fn bundle() -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o755);
    header.set_size(5);
    archive.append_data(&mut header, "inner/data", &b"inner"[..]).unwrap();
    archive.into_inner().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_an_artifact_come_into_the_sandbox_and_are_kept_for_the_next() {
    let registry = Registry::start();
    let bundle = bundle();
    let digest =
        registry.push("lab/files:v1", &[("dir/text", b"text"), ("run.sh", b"echo ran"), ("b.tar", &bundle)]);
    registry.push("lab/one:v1", &[("one", b"only")]);
    let mut master = ScriptedMaster::start().await;
    let mut agent = TestAgent::new(master.address);
    agent.config.insecure_registries = vec![registry.host.clone()];
    let running = InProcess::start(&agent);
    let mut link = master.welcome(1).await;
    let kept = || std::fs::read_dir(agent.config.work_dir.join("fetched")).unwrap().count();

    let uri = format!("oci://{}/lab/files:v1", registry.host);
    let look = "cat dir/text inner/data && sh run.sh && stat -c %U dir/text";
    link.launch(task("plain", look, &uri, |_| ())).await;
    link.until("plain", TaskState::TaskFinished).await;
    let said = std::fs::read_to_string(agent.sandbox("plain").join("stdout")).unwrap();
    assert_eq!(said, "textinnerran\nnobody\n");
    eventually("nothing is kept that need not be", || kept() == 0).await;

    let by_digest = format!("oci://{}/lab/files@{digest}", registry.host);
    for id in ["first", "second"] {
        link.launch(task(id, "./run.sh", &by_digest, |uri| {
            (uri.cache, uri.executable) = (Some(true), Some(true));
        }))
        .await;
        link.until(id, TaskState::TaskFinished).await;
        assert_eq!(kept(), 3);
        // The second finds it in the cache.
        if id == "first" {
            registry.forget(&Digest::of(b"text"));
        }
    }

    let uri = format!("oci://{}/lab/one:v1", registry.host);
    let rename = |uri: &mut Uri| uri.output_file = Some("other".to_owned());
    link.launch(task("renamed", "grep only other", &uri, rename)).await;
    link.until("renamed", TaskState::TaskFinished).await;
    eventually("nothing of the fetchers is left", || agent.containers().is_empty()).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_that_cannot_be_had_or_leads_out_fails_the_task_and_says_why() {
    let registry = Registry::start();
    registry.push("lab/two:v1", &[("a", b"a"), ("b", b"b")]);
    registry.push("lab/out:v1", &[("../../evil", b"evil")]);
    registry.push("lab/large:v1", &[("large", &[0; 4096])]);
    let mut master = ScriptedMaster::start().await;
    let mut agent = TestAgent::new(master.address);
    agent.config.insecure_registries = vec![registry.host.clone()];
    agent.config.fetcher_max_size = chapada_agent::Bytes(1024);
    let running = InProcess::start(&agent);
    let mut link = master.welcome(1).await;
    for (id, name, output, said) in [
        ("none", "lab/none:v1", None, "has no such image"),
        ("two", "lab/two:v1", Some("x"), "output_file names one file, and it has 2"),
        ("out", "lab/out:v1", None, "leads out of the sandbox"),
        ("large", "lab/large:v1", None, "more than the 1024 bytes"),
    ] {
        let uri = format!("oci://{}/{name}", registry.host);
        link.launch(task(id, "true", &uri, |uri| uri.output_file = output.map(str::to_owned))).await;
        let message = link.until(id, TaskState::TaskFailed).await.message.unwrap();
        assert!(message.starts_with(&format!("cannot fetch {uri}: ")) && message.contains(said), "{message}");
    }
    running.stop().await;
}
