//! Volumes on disks beside the agent's own: a part of one that is shared, or one as a whole.

use chapada_model::{Disk, DiskKind, DiskSource, Milli, Resource, ResourceValue, Resources, TaskState};
use chapada_services_core::Command;
use serde_json::{Value, json};

use crate::bench::{Bench, app, machine, object, sum};

fn disk(kind: DiskKind, root: &str, mib: u64) -> Resource {
    let source = DiskSource {
        kind,
        root: Some(root.into()),
        vendor: None,
        id: None,
        profile: None,
        metadata: Vec::new(),
    };
    let disk = Disk { source: Some(Box::new(source)), ..Disk::default() };
    Resource { disk: Some(disk), ..Resource::scalar("disk", Milli::whole(mib)) }
}

/// An agent with its own disk, a shared one, and two as a whole.
fn bench() -> Bench {
    let mut bench = Bench::new(&["a"]);
    let more = [
        disk(DiskKind::Path, "/srv", 2_000),
        disk(DiskKind::Mount, "/mnt/large", 5_000),
        disk(DiskKind::Mount, "/mnt/small", 3_000),
    ];
    let more = Resources::from_list(more).expect("whole amounts");
    bench.free.insert("a".to_owned(), sum(&machine(), &more));
    bench
}

fn with(volume: Value, instances: u32) -> Value {
    let mut app = app();
    app["instances"] = json!(instances);
    app["container"]["volumes"][0]["persistent"] = volume;
    app
}

/// The volumes that tasks have: of which disk, and how large.
fn volumes(bench: &Bench) -> Vec<(Option<String>, u64)> {
    let used = bench.tasks.values().flat_map(|(_, resources)| resources.iter());
    let of_volume = |resource: &Resource| {
        let disk = resource.disk.as_ref().filter(|disk| disk.persistence.is_some())?;
        let ResourceValue::Scalar(size) = resource.value else { return None };
        let root = disk.source.as_ref().and_then(|source| source.root.as_ref());
        Some((root.map(ToString::to_string), size.0 / 1_000))
    };
    let mut found: Vec<_> = used.filter_map(of_volume).collect();
    found.sort();
    found
}

#[test]
fn a_volume_is_made_on_the_kind_of_disk_that_it_names() {
    let on = |root: &str, size: u64| (Some(root.to_owned()), size);
    for (volume, instances, expected) in [
        (json!({"size": 100}), 2, vec![(None, 100), (None, 100)]),
        (json!({"type": "root", "size": 1500}), 1, vec![]),
        (json!({"type": "path", "size": 900}), 2, vec![on("/srv", 900), on("/srv", 900)]),
        (json!({"type": "path", "size": 1500}), 2, vec![on("/srv", 1_500)]),
        (json!({"type": "path", "size": 2500}), 1, vec![]),
        (json!({"type": "mount", "size": 10}), 2, vec![on("/mnt/large", 5_000), on("/mnt/small", 3_000)]),
        (json!({"type": "mount", "size": 10, "maxSize": 4000}), 2, vec![on("/mnt/small", 3_000)]),
        (json!({"type": "mount", "size": 4000}), 2, vec![on("/mnt/large", 5_000)]),
        (json!({"type": "mount", "size": 10, "maxSize": 2000}), 1, vec![]),
        (json!({"type": "mount", "size": 6000}), 1, vec![]),
    ] {
        let mut bench = bench();
        let before = bench.free["a"].clone();
        let definition = object(with(volume.clone(), instances));
        bench.command(Command::Create { definition, force: false }).expect("valid");
        bench.run();
        assert_eq!(volumes(&bench), expected, "{volume}");
        for _ in 0..expected.len() {
            bench.end(&bench.task(), TaskState::Failed);
            bench.run();
        }
        assert_eq!(volumes(&bench), expected, "{volume} after failures");
        bench.crash();
        bench.command(Command::Delete { app: "/db".parse().expect("an id"), force: true }).expect("there");
        bench.run();
        assert_eq!((bench.tasks.len(), &bench.free["a"]), (0, &before), "{volume} is given back");
    }
}

#[test]
fn several_volumes_of_one_instance_are_on_disks_of_their_own() {
    let mut bench = bench();
    let mut app = with(json!({"type": "mount", "size": 10}), 1);
    for (path, volume) in [
        ("more", json!({"type": "mount", "size": 10})),
        ("shared", json!({"type": "path", "size": 50})),
        ("own", json!({"size": 60})),
    ] {
        let volume = json!({"containerPath": path, "mode": "RW", "persistent": volume});
        app["container"]["volumes"].as_array_mut().expect("a list").push(volume);
    }
    bench.command(Command::Create { definition: object(app), force: false }).expect("valid");
    bench.run();
    let on = |root: &str, size: u64| (Some(root.to_owned()), size);
    let expected = vec![(None, 60), on("/mnt/large", 5_000), on("/mnt/small", 3_000), on("/srv", 50)];
    assert_eq!(volumes(&bench), expected);
}
