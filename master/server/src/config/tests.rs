use super::*;
use chapada_model::{Milli, Quantities};

#[test]
fn every_flag_that_the_books_go_by_reaches_them() {
    let set = MasterConfig {
        agent_ping_timeout: Duration::from_secs(2),
        max_agent_ping_timeouts: 3,
        agent_reregister_timeout: Duration::from_secs(700),
        offer_timeout: Duration::from_secs(4),
        allocator: "pack".parse().unwrap(),
        filter_gpu_resources: false,
        fair_sharing_excluded_resource_names: vec!["gpus".to_owned()],
        min_allocatable_resources: "cpus:2;mem:64|disk:1".parse().unwrap(),
        ..MasterConfig::default()
    };
    let settings = set.settings("m1", Some("north".into()));
    let amounts = |list: &[(&str, u64)]| -> Quantities {
        list.iter().map(|(name, amount)| (*name, Milli::whole(*amount))).collect()
    };
    let expected = Settings {
        agent_timeout: Duration::from_secs(6),
        agent_reregister_timeout: Duration::from_secs(700),
        offer_timeout: Duration::from_secs(4),
        allocator: "pack".parse().unwrap(),
        seed: settings.seed,
        region: Some("north".into()),
        keep_gpus: false,
        unshared_names: vec!["gpus".into()],
        min_allocatable: vec![amounts(&[("cpus", 2), ("mem", 64)]), amounts(&[("disk", 1)])],
        records: settings.records,
        ..Settings::new("m1")
    };
    assert_eq!(settings, expected);
    assert_ne!(settings.seed, set.settings("m2", None).seed, "another draw at each start");
}

#[test]
fn the_flags_defaults_are_those_of_the_books() {
    let settings = MasterConfig::default().settings("m1", None);
    // Draws and the registry's bound are no flags.
    let (seed, records) = (settings.seed, settings.records);
    assert_eq!(settings, Settings { seed, records, ..Settings::new("m1") });
    assert_eq!(records.max, MAX_RECORD_BYTES);
}

#[test]
fn a_limit_above_which_mesos_ends_itself_is_refused_with_what_to_use_instead() {
    assert_eq!("100%".parse(), Ok(NoRemovalLimit));
    let command = <MasterConfig as clap::Args>::augment_args(clap::Command::new("master"));
    let parsed = command.try_get_matches_from(["master", "--recovery-agent-removal-limit", "30%"]);
    let refused = parsed.expect_err("it means nothing here").to_string();
    assert!(refused.contains("30% of its agents") && refused.contains("--agent-removal-brake"), "{refused}");
    let shown = MasterConfig::default().flags();
    for (name, value) in [
        ("recovery_agent_removal_limit", "100%"),
        ("registry_fetch_timeout", "1m"),
        ("registry_store_timeout", "20s"),
    ] {
        assert!(shown.contains(&(name.to_owned(), value.to_owned())), "{name}: {shown:?}");
    }
}

#[test]
fn the_least_that_is_worth_an_offer_is_read_as_it_is_written() {
    for text in ["cpus:0.01|mem:32", "cpus:1;mem:64|gpus:1", ""] {
        let least: MinAllocatable = text.parse().unwrap();
        assert_eq!(least.to_string(), text);
        assert_eq!(MinAllocatable::try_from(String::from(least.clone())), Ok(least));
    }
    assert_eq!("cpus:0.01|mem:32".parse(), Ok(MinAllocatable::default()));
    for text in ["cpus", "cpus:1|", "ports:[1-2]", "cpus(ops):1", "cpus:-1", "|"] {
        assert!(text.parse::<MinAllocatable>().is_err(), "{text}");
    }
}

#[test]
fn a_write_may_take_longer_than_a_term_may_be_suspended() {
    let seconds = Duration::from_secs;
    let of = |zk: Option<&str>, session, store| {
        let (zk_session_timeout, registry_store_timeout) = (seconds(session), seconds(store));
        let zk = zk.map(str::to_owned);
        MasterConfig { zk, zk_session_timeout, registry_store_timeout, ..MasterConfig::default() }
            .store_timeout()
    };
    let zk = Some("zk://localhost/chapada");
    assert_eq!(
        MasterConfig { zk: zk.map(str::to_owned), ..MasterConfig::default() }.store_timeout(),
        seconds(20)
    );
    assert_eq!(of(zk, 40, 20), seconds(62));
    assert_eq!(of(zk, 40, 90), seconds(90), "more is as it is set");
    assert_eq!(of(None, 40, 5), seconds(5), "a file has no sessions");
}
