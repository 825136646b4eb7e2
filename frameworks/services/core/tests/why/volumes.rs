//! Volumes that were never made: why not is found, and the change that is named first is the right one.

use chapada_model::DiskKind;
use serde_json::{Value, json};

use crate::bed::{Agent, Bed};

/// With a GiB of disk of its own.
fn small(name: &str) -> Agent {
    Agent::new(name, 2_000, 1_024)
}

fn why(agents: impl IntoIterator<Item = Agent>, volume: Value, more: Value) -> (String, String) {
    let mut app = json!({
        "id": "/a", "cmd": "true", "cpus": 1, "mem": 128, "role": "store", "portDefinitions": [],
        "container": {"type": "MESOS", "volumes": [{"containerPath": "data", "mode": "RW", "persistent": volume}]},
    });
    app.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    let mut bed = Bed::of_role("store", agents);
    bed.create(app);
    let explanation = bed.why("/a");
    (explanation.reasons[0].cause.name().to_owned(), explanation.sentence())
}

#[test]
fn what_keeps_a_volume_from_being_made_is_said() {
    let path = |agent: Agent, mib| agent.disk(DiskKind::Path, "/srv", mib);
    let mount = |agent: Agent, mib| agent.disk(DiskKind::Mount, "/mnt", mib);
    for (name, agents, volume, more, cause, sentence) in [
        (
            "larger than any agent's own disk",
            vec![small("h1"), small("h2")],
            json!({"size": 4096}),
            json!({}),
            "disk",
            "Needs 4 GiB of disk for its volume data on an agent; the nearest is 1 GiB on h1; \
             it would fit if its volume data were 1 GiB.",
        ),
        (
            "what is left beside it is too little",
            vec![small("h1")],
            json!({"size": 1000}),
            json!({"disk": 100}),
            "disk",
            "Needs 100 MiB of disk on an agent; the only agent offered has 24 MiB free (h1); \
             it would fit if disk were 24 MiB.",
        ),
        (
            "no path disk",
            vec![small("h1")],
            json!({"type": "path", "size": 10}),
            json!({}),
            "disk",
            "Needs 10 MiB on a path disk for its volume data on an agent; the only agent offered has none; \
             it would fit on one more agent with 1 CPU free, 128 MiB of memory free and 10 MiB on a path disk \
             for its volume data.",
        ),
        (
            "a path disk that is too small",
            vec![path(small("h1"), 500), small("h2"), path(small("h3"), 700)],
            json!({"type": "path", "size": 1024}),
            json!({}),
            "disk",
            "Needs 1 GiB on a path disk for its volume data on an agent; the nearest is 700 MiB on h3; \
             it would fit if its volume data were 700 MiB.",
        ),
        (
            "no mount disk",
            vec![path(small("h1"), 9_000), small("h2")],
            json!({"type": "mount", "size": 10}),
            json!({}),
            "disk",
            "Needs a mount disk of at least 10 MiB for its volume data on an agent; \
             none of the 2 agents offered has any; it would fit on one more agent with 1 CPU free, \
             128 MiB of memory free and a mount disk of at least 10 MiB for its volume data.",
        ),
        (
            "mount disks that are too large",
            vec![mount(small("h1"), 8_192), mount(small("h2"), 4_096)],
            json!({"type": "mount", "size": 10, "maxSize": 2048}),
            json!({}),
            "disk",
            "Needs a mount disk of 10 MiB to 2 GiB for its volume data on an agent; the nearest is 4 GiB on h2; \
             it would fit if its volume data might be as large as 4 GiB.",
        ),
        (
            "CPUs come before the volume",
            vec![mount(small("h1"), 8_192), small("h2")],
            json!({"type": "mount", "size": 10}),
            json!({"cpus": 3}),
            "cpus",
            "Needs 3 CPUs on an agent; the largest of the 2 agents offered has 2 CPUs free (h1); it would fit if cpus were 2 CPUs.",
        ),
        (
            "memory comes before the volume",
            vec![small("h1")],
            json!({"type": "mount", "size": 10}),
            json!({"mem": 4096}),
            "mem",
            "Needs 4 GiB of memory on an agent; the only agent offered has 1 GiB free (h1)",
        ),
    ] {
        let found = why(agents, volume, more);
        assert!(found.0 == cause && found.1.starts_with(sentence), "{name}: {}: {}", found.0, found.1);
    }
}

#[test]
fn what_cannot_be_changed_is_not_offered_as_a_change() {
    let mut bed = Bed::of_role("store", [small("h1")]);
    bed.create(json!({
        "id": "/a", "cmd": "true", "cpus": 1, "mem": 4096, "role": "store", "portDefinitions": [],
        "container": {"type": "MESOS", "volumes": [
            {"containerPath": "data", "mode": "RW", "persistent": {"size": 10}},
        ]},
    }));
    let suggestions = &bed.why("/a").reasons[0].suggestions;
    assert!(suggestions[0].sentence.contains("if mem were 1 GiB"), "{suggestions:?}");
    assert!(suggestions.iter().all(|suggestion| suggestion.patch.is_none()), "{suggestions:?}");
}
