use chapada_model::{Disk, DiskSource, Milli, Persistence, Reservation};

use super::*;

fn volume(role: &str, id: &str) -> Resource {
    let mut volume = Resource::scalar("disk", Milli::whole(1));
    volume.reservations.push(Reservation::fixed(role.parse().unwrap()));
    let persistence = Persistence { id: id.into(), principal: None };
    volume.disk = Some(Disk { persistence: Some(persistence), ..Disk::default() });
    volume
}

fn on(root: &Path, kind: DiskKind, mut volume: Resource) -> Resource {
    let source = DiskSource {
        kind,
        root: Some(root.to_str().unwrap().into()),
        vendor: None,
        id: None,
        profile: None,
        metadata: Vec::new(),
    };
    volume.disk.as_mut().unwrap().source = Some(Box::new(source));
    volume
}

fn all(list: &[&Resource]) -> Resources {
    Resources::from_list(list.iter().copied().cloned()).unwrap()
}

#[test]
fn volumes_are_made_once_and_end_with_all_that_is_in_them() {
    let work = tempfile::tempdir().unwrap();
    let volumes = Volumes::new(work.path(), Disks::default());
    let (kept, ended) = (volume("eng/db", "a"), volume("ops", "b"));
    volumes.make(&all(&[&kept, &ended])).unwrap();
    let file = work.path().join("volumes/roles/eng db/a/data");
    fs::write(&file, "x").unwrap();
    let other = work.path().join("volumes/roles/ops/b");
    fs::write(other.join("data"), "y").unwrap();
    volumes.make(&all(&[&kept, &ended])).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "x");
    volumes.set_others_aside(&all(&[&kept]), &Resources::EMPTY).unwrap();
    assert!(!other.exists());
    volumes.delete().unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "x");
    assert!(!work.path().join("volumes/ended").exists());
}

#[test]
fn on_a_shared_disk_only_what_the_agent_made_ends() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().canonicalize().unwrap().join("disk");
    fs::create_dir(&disk).unwrap();
    let (a, b) = (volume("ops", "a"), volume("ops", "b"));
    let (a, b) = (on(&disk, DiskKind::Path, a), on(&disk, DiskKind::Path, b));
    let disks = Disks::open(&all(&[&a]), &folder.path().join("work")).unwrap();
    let foreign = disk.join("volumes/roles/ops/foreign/data");
    fs::create_dir_all(foreign.parent().unwrap()).unwrap();
    fs::write(&foreign, "z").unwrap();
    let open = || Volumes::new(&folder.path().join("work"), disks.clone());
    open().make(&all(&[&a, &b])).unwrap();
    for id in ["a", "b"] {
        fs::write(disk.join("volumes/roles/ops").join(id).join("data"), id).unwrap();
    }
    // A process that has just started knows from its notes what is its own.
    let volumes = open();
    volumes.set_others_aside(&all(&[&a]), &Resources::EMPTY).unwrap();
    assert!(!disk.join("volumes/roles/ops/b").exists());
    volumes.make(&all(&[&b])).unwrap();
    volumes.delete().unwrap();
    assert_eq!(entries(&disk.join("volumes/roles/ops/b")).unwrap(), Vec::<PathBuf>::new());
    assert_eq!(fs::read_to_string(disk.join("volumes/roles/ops/a/data")).unwrap(), "a");
    assert_eq!(fs::read_to_string(&foreign).unwrap(), "z");
    assert!(!disk.join("volumes/ended").exists());
    // Should the disk be taken from the agent, its volumes stay, and no container sees them.
    let without = Disks::open(&Resources::EMPTY, &folder.path().join("work")).unwrap();
    let hidden: BTreeSet<PathBuf> = without.hidden().collect();
    assert_eq!(hidden, ["a", "b"].map(|id| disk.join("volumes/roles/ops").join(id)).into());
    let volumes = Volumes::new(&folder.path().join("work"), without);
    volumes.set_others_aside(&Resources::EMPTY, &all(&[&a, &b])).unwrap();
    volumes.delete().unwrap();
    assert_eq!(fs::read_to_string(disk.join("volumes/roles/ops/a/data")).unwrap(), "a");
}

#[tokio::test]
async fn a_disk_that_cannot_be_cleared_is_given_to_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    fs::write(disk.join("data"), "x").unwrap();
    let volume = all(&[&on(&disk, DiskKind::Mount, volume("ops", "v"))]);
    let open = || Volumes::new(folder.path(), Disks::default());
    let volumes = open();
    volumes.make(&volume).unwrap();
    volumes.set_others_aside(&volume, &Resources::EMPTY).unwrap();
    assert_eq!(volumes.cleared(std::slice::from_ref(&volume)).await, Ok(()));
    volumes.set_others_aside(&Resources::EMPTY, &Resources::EMPTY).unwrap();
    assert!(volumes.is_clearing());
    // Also when the agent is started again before it is done.
    let volumes = open();
    volumes.make(&volume).unwrap();
    volumes.set_others_aside(&volume, &Resources::EMPTY).unwrap();
    assert!(volumes.is_clearing());
    assert!(volumes.delete().is_err());
    let said = volumes.cleared(&[volume]).await.unwrap_err();
    assert!(said.contains("nothing is mounted"), "{said}");
    assert!(disk.join("data").exists(), "what is below a mount point is not the volume's");
}
