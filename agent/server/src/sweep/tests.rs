use std::os::unix::fs::{MetadataExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::SystemTime;

use chapada_agent_core::ExecutorRecord;
use chapada_model::{ExecutorKey, ExecutorKind, Wall};

use super::age::from_now;
use super::*;
use crate::containers::nested::add_for_test;

/// An agent on which nothing runs.
struct Nobody {
    nested: Nested,
    ages: Ages,
}

impl Nobody {
    fn but(&self, of_the_books: &[&str]) -> Held<'_> {
        let of_the_books = of_the_books.iter().map(|id| id.parse().unwrap()).collect();
        Held { of_the_books, nested: &self.nested, ages: &self.ages }
    }
}

fn nobody() -> Nobody {
    Nobody { nested: Nested::default(), ages: Ages::default() }
}

#[test]
fn old_sandboxes_go_and_held_ones_stay() {
    let directory = tempfile::tempdir().unwrap();
    let layout = Layout::new(directory.path().to_owned());
    let runs = |executor: &str| {
        let framework = layout.agents().join("a/frameworks/f/executors");
        framework.join(executor).join("runs")
    };
    for (executor, run) in [("e1", "c1"), ("e1", "c2"), ("e2", "c3")] {
        fs::create_dir_all(runs(executor).join(run).join("deep")).unwrap();
    }
    symlink("/etc", runs("e2").join("c3/link")).unwrap();
    symlink("c3", runs("e2").join(LATEST)).unwrap();
    let nobody = nobody();
    let held = nobody.but(&["c2"]);
    Found::of(&layout).sweep(&layout, &held, || Duration::from_secs(3600));
    assert!(runs("e1").join("c1").exists(), "too young");
    let found = Found::of(&layout);
    fs::create_dir_all(runs("e1").join("c4")).unwrap();
    found.sweep(&layout, &held, || Duration::ZERO);
    assert!(!runs("e1").join("c1").exists() && runs("e1").join("c2").exists());
    assert!(runs("e1").join("c4").exists(), "whose it is was not asked");
    assert!(!layout.agents().join("a/frameworks/f/executors/e2").exists());
    assert!(Path::new("/etc/passwd").exists());
}

/// With no lock between the two, some of these fail.
#[test]
fn a_sandbox_that_is_being_made_is_not_taken_for_an_empty_directory() {
    let directory = tempfile::tempdir().unwrap();
    let layout = Layout::new(directory.path().to_owned());
    let (agent, record) = ("a".parse().unwrap(), executor());
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                Found::of(&layout).sweep(&layout, &nobody().but(&[]), || Duration::from_secs(3600));
            }
        });
        let make = |_| {
            let made = layout.make_executor_sandbox(&agent, &record);
            made.and_then(fs::remove_dir).err()
        };
        let failed: Vec<_> = (0..4000).filter_map(make).collect();
        is_over.store(true, Ordering::Relaxed);
        assert!(failed.is_empty(), "{}: {:?}", failed.len(), failed.first());
    });
}

fn executor() -> ExecutorRecord {
    ExecutorRecord {
        key: ExecutorKey { framework: "f".parse().unwrap(), executor: "e".parse().unwrap() },
        kind: ExecutorKind::Custom,
        container: "c".parse().unwrap(),
        shutdown_grace: Duration::ZERO,
        launched: Wall(0),
        info: Vec::new().into(),
    }
}

fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3600)
}

fn set_changed(directory: &Path, at: SystemTime) {
    fs::File::open(directory).unwrap().set_modified(at).unwrap();
}

#[test]
fn the_age_of_a_sandbox_begins_at_the_end_also_when_that_is_heard_of_late() {
    let directory = tempfile::tempdir().unwrap();
    let layout = Layout::new(directory.path().to_owned());
    let runs = layout.agents().join("a/frameworks/f/executors/e/runs");
    let (ended, old) = (runs.join("ended"), runs.join("old"));
    for run in [&ended, &old] {
        fs::create_dir_all(run).unwrap();
        set_changed(run, SystemTime::now() - hours(3));
    }
    let found = Found::of(&layout);
    from_now(&ended);
    from_now(&runs.join("none"));
    found.sweep(&layout, &nobody().but(&[]), || hours(2));
    assert!(ended.exists() && !old.exists());
    Found::of(&layout).sweep(&layout, &nobody().but(&[]), || Duration::ZERO);
    assert!(!ended.exists());
}

#[test]
fn a_time_that_has_not_come_keeps_no_sandbox() {
    let directory = tempfile::tempdir().unwrap();
    set_changed(directory.path(), SystemTime::now() + hours(24 * 365));
    let metadata = || fs::metadata(directory.path()).unwrap();
    let begun = std::time::Instant::now();
    while age(&metadata()) == Duration::ZERO {
        assert!(begun.elapsed() < Duration::from_secs(10), "it does not age");
        std::thread::yield_now();
    }
    assert!(age(&metadata()) < hours(1));
}

#[test]
fn sandboxes_of_no_task_go_as_well_unless_they_are_used_by_then() {
    let directory = tempfile::tempdir().unwrap();
    let layout = Layout::new(directory.path().to_owned());
    let of = |name: &str| layout.standalone().join(name);
    for (name, age) in [("used", 3), ("ended", 3), ("again", 3)] {
        fs::create_dir_all(of(name)).unwrap();
        set_changed(&of(name), SystemTime::now() - hours(age));
    }
    let nobody = nobody();
    let _used = add_for_test(&nobody.nested, "used", &of("used"));
    let held = nobody.but(&[]);
    Found::of(&layout).sweep(&layout, &held, || hours(4));
    assert!(of("ended").exists());
    let found = Found::of(&layout);
    // A sweep may take long: what had ended when it began may have been launched since.
    let _again = add_for_test(&nobody.nested, "again", &of("again"));
    found.sweep(&layout, &held, || Duration::ZERO);
    assert!(of("used").exists() && !of("ended").exists() && of("again").exists());
}

#[test]
fn a_sandbox_stays_while_its_age_is_being_set() {
    let directory = tempfile::tempdir().unwrap();
    let layout = Layout::new(directory.path().to_owned());
    let run = layout.agents().join("a/frameworks/f/executors/e/runs/c");
    let alone = layout.standalone().join("alone");
    let nobody = nobody();
    let setting = [&run, &alone].map(|sandbox| {
        fs::create_dir_all(sandbox).unwrap();
        set_changed(sandbox, SystemTime::now() - hours(3));
        nobody.ages.setting(sandbox.clone())
    });
    let sweep = |most_age| Found::of(&layout).sweep(&layout, &nobody.but(&[]), || most_age);
    sweep(hours(2));
    assert!(run.exists() && alone.exists());
    setting.into_iter().for_each(|set| set());
    sweep(hours(2));
    assert!(run.exists() && alone.exists(), "its age begins then");
    sweep(Duration::ZERO);
    assert!(!run.exists() && !alone.exists());
}

#[test]
fn an_age_is_set_of_a_directory_alone_whatever_its_owner_put_in_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let of = |name: &str| directory.path().join(name);
    fs::create_dir_all(of("others/run")).unwrap();
    for link in ["link", "above"] {
        symlink(of("others"), of(link)).unwrap();
    }
    for victim in ["others", "others/run"] {
        set_changed(&of(victim), SystemTime::UNIX_EPOCH);
    }
    nix::unistd::mkfifo(&of("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let (done, is_done) = channel();
    let bent = ["fifo", "link", "above/run"].map(of);
    std::thread::spawn(move || {
        bent.iter().for_each(|path| from_now(path));
        done.send(())
    });
    // Nobody writes to the FIFO, so whoever opened it would wait for ever.
    is_done.recv_timeout(Duration::from_secs(60)).expect("it waits for nobody");
    for victim in ["others", "others/run"] {
        assert_eq!(fs::metadata(of(victim)).unwrap().mtime(), 0, "{victim}");
    }
}

#[test]
fn a_full_disk_makes_sandboxes_old_sooner() {
    let policy = Policy {
        gc_delay: Duration::from_secs(1000),
        gc_disk_headroom: 0.1,
        disk_watch_interval: Duration::from_secs(60),
    };
    for (usage, age) in [(0.0, 900), (0.5, 400), (0.9, 0), (1.0, 0)] {
        let found = policy.most_age(usage).as_secs_f64().round();
        assert!((found - f64::from(age)).abs() < 1.0, "{usage}: {found}");
    }
    assert!((0.0..=1.0).contains(&usage(Path::new("/"))));
    assert!(usage(Path::new("/no/such/place")).abs() < f64::EPSILON);
}

#[test]
fn the_oldest_go_first_and_no_more_than_it_takes() {
    let directory = tempfile::tempdir().unwrap();
    let layout = Layout::new(directory.path().to_owned());
    let runs = layout.agents().join("a/frameworks/f/executors/e/runs");
    for (run, age) in [("young", 1), ("old", 3), ("middle", 2)] {
        fs::create_dir_all(runs.join(run)).unwrap();
        set_changed(&runs.join(run), SystemTime::now() - hours(age));
    }
    symlink("young", runs.join(LATEST)).unwrap();
    // The disk is full until two are gone.
    let left = || entries(&runs).iter().filter(|run| run.file_name() != LATEST).count();
    let age = || if left() > 1 { Duration::ZERO } else { hours(24) };
    Found::of(&layout).sweep(&layout, &nobody().but(&[]), age);
    assert!(runs.join("young").exists() && !runs.join("middle").exists() && !runs.join("old").exists());
    assert!(runs.join(LATEST).exists());
}
