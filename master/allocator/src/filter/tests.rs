use super::*;

const AGENT: AgentSlot = AgentSlot(0);
const CLIENT: ClientSlot = ClientSlot(0);
const AT: (AgentSlot, ClientSlot) = (AGENT, CLIENT);
const ZERO: Refusal = Refusal::Declined(Duration::ZERO);

fn resources(text: &str) -> Arc<Resources> {
    Arc::new(text.parse().unwrap())
}

fn refuse(filters: &mut Filters, now: Mono, text: &str, refusal: Refusal) {
    let refused = resources(text);
    filters.refuse(now, AT, (refused.clone(), &refused), refusal);
}

fn until(filters: &Filters, now: Mono, text: &str) -> Option<Mono> {
    filters.withholds(now, AT, &resources(text)).map(|(_, until)| until)
}

#[test]
fn the_same_or_less_is_withheld_and_more_is_not() {
    let mut filters = Filters::default();
    refuse(&mut filters, Mono(0), "cpus:2;mem:10", Refusal::Declined(Duration::from_secs(5)));
    let end = Mono(0) + Duration::from_secs(5);
    assert_eq!(until(&filters, Mono(1), "cpus:2;mem:10"), Some(end));
    assert_eq!(until(&filters, Mono(1), "cpus:1"), Some(end));
    assert_eq!(until(&filters, Mono(1), "cpus:3;mem:10"), None);
    assert_eq!(until(&filters, end, "cpus:1"), None);
    assert_eq!(filters.expire(end).len(), 1);
    assert_eq!((filters.len(), filters.next_expiry()), (0, None));
}

#[test]
fn a_refusal_lasts_at_least_a_second() {
    let mut filters = Filters::default();
    refuse(&mut filters, Mono(0), "cpus:1", Refusal::Declined(Duration::from_millis(1)));
    assert_eq!(filters.next_expiry(), Some(Mono(0) + LEAST_REFUSAL));
    refuse(&mut filters, Mono(0), "cpus:1", Refusal::Leftover(Duration::from_millis(1)));
    assert_eq!(filters.next_expiry(), Some(Mono(0) + LEAST_REFUSAL), "also of what an accepted offer left");
}

#[test]
fn declining_for_zero_seconds_again_and_again_slows_down() {
    let mut filters = Filters::default();
    let mut now = Mono(0);
    let mut waits = Vec::new();
    for _ in 0..10 {
        refuse(&mut filters, now, "cpus:1", ZERO);
        let end = until(&filters, now, "cpus:1").unwrap();
        waits.push(end.since(now).as_millis());
        filters.expire(end);
        now = end;
    }
    assert_eq!(waits, [10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000]);
    filters.expire(now + LEAST_REFUSAL);
    assert_eq!(filters.len(), 0);
}

#[test]
fn what_is_left_of_an_accepted_offer_comes_back_at_once_when_asked() {
    let mut filters = Filters::default();
    refuse(&mut filters, Mono(0), "cpus:1", Refusal::Leftover(Duration::ZERO));
    assert_eq!(until(&filters, Mono(0), "cpus:1"), None);
}

#[test]
fn clearing_leaves_nothing_behind() {
    let mut filters = Filters::default();
    refuse(&mut filters, Mono(0), "cpus:1", ZERO);
    filters.expire(Mono(0) + FIRST_HOLD);
    filters.clear_client(CLIENT);
    assert_eq!((filters.len(), filters.next_expiry()), (0, None));
    refuse(&mut filters, Mono(0), "cpus:1", ZERO);
    filters.clear_agent(AGENT);
    assert_eq!((filters.len(), filters.next_expiry()), (0, None));
    assert!(filters.by_client.iter().all(BTreeSet::is_empty));
}

#[test]
fn who_has_refused_all_is_known_until_more_is_free_or_the_refusal_ends() {
    let mut filters = Filters::default();
    let knows = |filters: &Filters| filters.withheld(AGENT).is_some_and(|bits| bits.contains(CLIENT.0));
    refuse(&mut filters, Mono(0), "cpus:2", Refusal::Declined(Duration::from_secs(5)));
    assert!(knows(&filters));
    filters.on_free(AGENT, &resources("cpus:1"));
    assert!(knows(&filters), "less is withheld, too");
    filters.on_free(AGENT, &resources("cpus:2"));
    assert!(knows(&filters));
    filters.on_free(AGENT, &resources("cpus:3"));
    assert!(!knows(&filters));
    filters.settle(AGENT, CLIENT, &resources("cpus:2"));
    assert!(knows(&filters));
    filters.expire(Mono(0) + Duration::from_secs(5));
    assert!(!knows(&filters));
}
