use super::*;

fn record(path: &[&str], sandbox: &str) -> (ContainerPath, Record) {
    let names: Vec<String> = path.iter().map(|name| (*name).to_owned()).collect();
    let record = serde_json::json!({ "version": 1, "path": names, "shim": "s", "within": [], "sandbox": sandbox,
        "variables": [], "user": null, "resources": "" });
    (ContainerPath::of(&names).unwrap(), serde_json::from_value(record).unwrap())
}

/// A standalone one, before it is made.
pub(crate) fn add_for_test(nested: &Nested, name: &str, sandbox: &Path) -> Arc<Launched> {
    let (path, record) = record(&[name], sandbox.to_str().unwrap());
    nested.add(path, record).unwrap().0
}

#[test]
fn a_sandbox_that_is_taken_away_is_nobodys_and_one_that_is_somebodys_is_not_taken() {
    let nested = Nested::default();
    let sandbox = Path::new("/w/containers/a");
    let (path, record) = record(&["a"], "/w/containers/a");
    let claim = nested.claim(sandbox).unwrap();
    assert_eq!(nested.add(path.clone(), record.clone()).unwrap_err(), NotNew::Claimed);
    drop(claim);
    let (launched, _signals) = nested.add(path, record).unwrap();
    assert!(nested.claim(sandbox).is_none(), "before it is made");
    launched.conclude(End::default());
    assert!(nested.claim(sandbox).is_some(), "it has ended");
    assert!(nested.claimed.borrow().is_empty());
}

#[tokio::test]
async fn whoever_waits_for_a_sandbox_hears_when_it_is_free_or_that_the_agent_stops() {
    let nested = Nested::default();
    let sandbox = Path::new("/w/containers/a");
    let claim = nested.claim(sandbox).unwrap();
    let other = nested.claim(Path::new("/w/containers/b")).unwrap();
    let mut waits = std::pin::pin!(nested.unclaimed(sandbox));
    tokio::select! {
        biased;
        _ = waits.as_mut() => panic!("it is taken away"),
        () = std::future::ready(()) => {}
    }
    drop(claim);
    assert!(waits.await);
    let stops = nested.unclaimed(&other.sandbox);
    nested.let_go();
    assert!(!stops.await);
}

#[test]
fn the_sandbox_of_one_within_another_is_not_its_own() {
    let nested = Nested::default();
    let (path, record) = record(&["t", "a"], "/w/run/containers/a");
    let (within, _signals) = nested.add(path, record).unwrap();
    assert_eq!(within.own_sandbox(), None, "whoever has the other may have put anything there");
}
