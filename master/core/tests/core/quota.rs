//! Quotas and weights: what is refused, what waits to be durable, what is taken back, what a new leader knows.

use std::time::Duration;

use chapada_master_core::{
    Accept, Call, Event, MAX_QUOTA_NAMES, MAX_QUOTAS_PER_CALL, MAX_ROLE_BYTES, MAX_WEIGHTS_PER_CALL,
    Operation, OperatorRefused, Proposal, Quota, RoleCall, SchedulerEvent, StreamId, Ticket, Why,
    largest_amount,
};
use chapada_model::{Filters, FrameworkId, Milli, Quantities, Role, TaskKey, TaskState};

use crate::world::{World, command_task, framework};

impl World {
    /// An operator asks for quotas or weights; the ticket it waits for.
    pub(crate) fn role_call(&mut self, call: RoleCall) -> Result<Option<Ticket>, OperatorRefused> {
        let before = self.books();
        let text = format!("{call:?}");
        let verdict = self.master.apply_role_call(self.now, call);
        let (effects, verdict) = match verdict {
            Ok((effects, ticket)) => (effects, Ok(ticket)),
            Err(refused) => (Vec::new(), Err(refused)),
        };
        self.after(&before, effects, &text);
        verdict
    }
}

fn role(name: &str) -> Role {
    Role::new(name).expect("a valid role")
}

fn amounts(text: &str) -> Quantities {
    let pairs = text.split(';').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, amount) = pair.split_once(':').expect("name:amount");
        (name, Milli::from_f64(amount.parse().expect("a number")).expect("an amount"))
    });
    pairs.collect()
}

fn quota(guarantee: &str, limit: &str) -> Quota {
    Quota { guarantee: amounts(guarantee), limit: amounts(limit).0 }
}

fn update(quotas: &[(&str, &str, &str)], force: bool) -> RoleCall {
    let quotas = quotas.iter().map(|(name, guarantee, limit)| (role(name), quota(guarantee, limit)));
    RoleCall::UpdateQuota { quotas: quotas.collect(), force }
}

fn remove(name: &str) -> RoleCall {
    RoleCall::RemoveQuota { role: role(name) }
}

#[track_caller]
fn why_not(world: &mut World, call: RoleCall) -> String {
    let before = (world.books().quotas, world.books().weights, world.tickets.len());
    let refused = world.role_call(call).expect_err("refused");
    let after = (world.books().quotas, world.books().weights, world.tickets.len());
    assert!(before == after, "nothing has changed");
    refused.to_string()
}

/// Launches a task on the first offer; the rest is given back at once.
fn launch(world: &mut World, framework: &FrameworkId, id: &str, resources: &str) -> TaskKey {
    let offer = world.books().offers_of(framework).next().expect("an offer").clone();
    let task = Proposal::Valid(Box::new(command_task(id, &offer.agent, resources)));
    let operations = vec![Operation::Launch { tasks: vec![task] }];
    let filters = Filters { refuse: Duration::ZERO };
    let accept = Accept { offers: vec![offer.id.clone()], operations, filters };
    world.call(framework, Call::Accept(accept)).expect("accepted");
    TaskKey { framework: framework.clone(), task: id.parse().expect("a valid id") }
}

/// The CPUs that a framework is offered.
fn offered(world: &World, framework: &FrameworkId) -> f64 {
    world.books().offered_to(framework).cpus().to_f64()
}

fn rescinded(world: &mut World, stream: &StreamId) -> usize {
    let events = world.take(stream);
    events.iter().filter(|event| matches!(event, SchedulerEvent::Rescind(_))).count()
}

#[test]
fn a_quota_is_in_force_and_shown_once_it_is_durable_and_not_before() {
    let mut world = World::new();
    world.records_at_once = false;
    let ticket = world.role_call(update(&[("ops", "", "cpus:1"), ("web", "cpus:0", "")], true));
    let ticket = ticket.expect("taken").expect("something waits");
    assert!(world.books().quotas.is_empty());
    assert_eq!(world.tickets.len(), 1, "both in one change");
    assert_eq!(world.tickets[0].0, ticket);
    world.record_all();
    assert_eq!(world.books().quotas.keys().cloned().collect::<Vec<_>>(), [role("ops")]);
    assert_eq!(world.registry.quotas.len(), 1, "what promises and forbids nothing is none");
    assert_eq!(world.role_call(update(&[], false)), Ok(None), "nothing asked, nothing to wait for");
}

/// A leader that falls before a quota is durable has said nothing of it.
#[test]
fn a_quota_that_was_not_durable_is_not_there_after_a_failover_and_one_that_was_is() {
    let mut world = World::new();
    world.role_call(update(&[("ops", "", "cpus:1")], false)).expect("taken");
    world.role_call(RoleCall::UpdateWeights { weights: vec![(role("ops"), Milli(2_500))] }).expect("taken");
    world.records_at_once = false;
    world.role_call(update(&[("ops", "", "cpus:5"), ("web", "", "cpus:1")], false)).expect("taken");
    world.fail_over();
    assert_eq!(world.books().quotas.get(&role("ops")), Some(&quota("", "cpus:1")));
    assert_eq!(world.books().quotas.len(), 1);
    assert_eq!(world.books().weights.get(&role("ops")), Some(&Milli(2_500)));
}

#[test]
fn ticket_9786_the_second_of_two_remove_quota_in_a_row_is_refused() {
    let mut world = World::new();
    world.role_call(update(&[("ops", "", "cpus:1")], false)).expect("taken");
    world.records_at_once = false;
    world.role_call(remove("ops")).expect("taken");
    assert_eq!(
        world.role_call(remove("ops")),
        Err(OperatorRefused::Invalid("Failed to remove quota: Role 'ops' has no quota set".to_owned()))
    );
    world.record_all();
    assert!(world.books().quotas.is_empty() && world.registry.quotas.is_empty());
    assert!(why_not(&mut world, remove("ops")).ends_with("Role 'ops' has no quota set"));
}

#[test]
fn ticket_10008_amounts_too_large_to_count_are_refused_and_the_largest_are_counted() {
    let mut world = World::new();
    world.add_agent("cpus:4;mem:1024");
    let (id, _) = world.framework(framework("f", &["r0"]));
    for name in ["cpus", "mem", "disk", "gpus"] {
        let largest = largest_amount(name);
        for limit in [Milli(largest.0 + 1), Milli(u64::MAX)] {
            let limit = [(name.into(), limit)].into();
            let quotas = vec![(role("r1"), Quota { limit, ..Quota::default() })];
            let why = why_not(&mut world, RoleCall::UpdateQuota { quotas, force: true });
            assert!(why.contains("'limits' of role 'r1'") && why.contains(&largest.to_string()), "{why}");
        }
    }
    for part in 0..20 {
        let all = |name: &str| [(name, largest_amount(name))].into_iter().collect::<Quantities>();
        let quotas = (0..MAX_QUOTAS_PER_CALL).map(|index| {
            let guarantee = all(["cpus", "mem"][index % 2]);
            (
                role(&format!("r{}", part * MAX_QUOTAS_PER_CALL + index)),
                Quota { guarantee, ..Quota::default() },
            )
        });
        let call = RoleCall::UpdateQuota { quotas: quotas.collect(), force: true };
        // The audit of so many at every step would take minutes: the last says it of all.
        let (effects, _) = world.master.apply_role_call(world.now, call).expect("forced");
        for effect in effects {
            if let chapada_master_core::Effect::Record { ticket, change } = effect {
                world.registry.apply(change);
                world.master.apply(world.now, chapada_master_core::Event::Recorded { ticket });
            }
        }
    }
    assert_eq!(chapada_master_core::audit(&world.master), []);
    let why = why_not(&mut world, update(&[("one-more", "", "cpus:1")], false));
    assert!(why.contains("at most 10000 roles"), "{why}");
    let quotas = vec![(role("r1"), Quota::default())];
    world.role_call(RoleCall::UpdateQuota { quotas, force: false }).expect_err("still too much is promised");
    world.settle();
    assert_eq!(offered(&world, &id), 4.0, "what is promised to its role");
}

#[test]
fn what_is_promised_must_be_there_in_mesos_words() {
    let mut world = World::new();
    world.add_agent("cpus:2;mem:23081;disk:252899;ports:[31000-32000]");
    world.role_call(update(&[("r2", "cpus:0.1", "cpus:1")], true)).expect("taken");
    let why = why_not(&mut world, update(&[("r3", "cpus:10000", "cpus:10000")], false));
    assert_eq!(
        why,
        "Invalid QuotaConfig: total quota guarantees 'cpus:10000.1' exceed cluster capacity 'cpus:2; disk:252899; \
         mem:23081' (use 'force' flag to bypass this check)"
    );
    let set = |force| RoleCall::SetQuota { role: role("r3"), guarantee: amounts("cpus:2"), force };
    let refused = world.role_call(set(false));
    assert!(
        matches!(&refused, Err(OperatorRefused::Conflict(why)) if why.contains("'cpus:2.1'")),
        "{refused:?}"
    );
    world.role_call(set(true)).expect("forced");
    assert_eq!(
        world.books().quotas.get(&role("r3")),
        Some(&quota("cpus:2", "cpus:2")),
        "limit and guarantee"
    );
    let why = why_not(&mut world, set(true));
    assert!(why.ends_with("Cannot set quota for role 'r3' which already has quota"), "{why}");
    let none = RoleCall::SetQuota { role: role("r4"), guarantee: amounts(""), force: true };
    assert!(why_not(&mut world, none).contains("the guarantee of role 'r4' is empty"));
}

#[test]
fn a_quota_is_held_against_those_above_and_below_it() {
    let mut world = World::new();
    world.add_agent("cpus:100");
    world.role_call(update(&[("eng/db", "cpus:4", "")], false)).expect("nothing is said of eng");
    let why = why_not(&mut world, update(&[("eng", "cpus:3", "")], false));
    assert!(why.contains("'cpus:3' of role 'eng'") && why.contains("the sum 'cpus:4'"), "{why}");
    let both = [("eng", "cpus:6", "cpus:10"), ("eng/db", "cpus:4", "cpus:10")];
    world.role_call(update(&both, false)).expect("it contains it");
    for (name, guarantee, limit, word) in [
        ("eng/web", "cpus:3", "", "the sum 'cpus:7'"),
        ("eng/web/front", "cpus:3", "", "the sum 'cpus:7'"),
        ("eng/web", "mem:1", "", "the sum 'cpus:4; mem:1'"),
        ("eng/web", "", "cpus:11", "exceed the limit cpus:10 of role 'eng'"),
        ("eng", "cpus:3", "cpus:10", "do not contain"),
        ("eng", "cpus:6", "cpus:9", "exceed the limit cpus:9"),
    ] {
        let why = why_not(&mut world, update(&[(name, guarantee, limit)], true));
        assert!(why.contains(word), "{name}: {why}");
    }
    let total = why_not(&mut world, update(&[("ops", "cpus:95", "")], false));
    assert!(total.contains("'cpus:101'"), "those below are counted once: {total}");
    world.role_call(remove("eng")).expect("those below stand by themselves");
    assert!(why_not(&mut world, update(&[("eng", "", "cpus:9")], false)).contains("exceed the limit"));
}

#[test]
fn what_makes_no_quota_is_refused_by_name_and_rule() {
    let mut world = World::new();
    let many: Vec<_> =
        (0..=MAX_QUOTAS_PER_CALL).map(|n| (role(&format!("r{n}")), quota("", "cpus:1"))).collect();
    let names: String = (0..=MAX_QUOTA_NAMES).map(|n| format!("x{n}:1;")).collect();
    let long = "r".repeat(MAX_ROLE_BYTES + 1);
    for (call, word) in [
        (update(&[("r", "cpus:2", "cpus:1")], true), "not contained within its 'limits' cpus:1"),
        (update(&[("r", "", "cpus:1"), ("r", "", "cpus:2")], true), "role 'r' is named twice"),
        (update(&[(&long, "", "cpus:1")], true), "at most 512"),
        (update(&[("r", "", &names)], true), "more than 32 resources"),
        (update(&[("r", &format!("{long}:1"), "")], true), "too long a name"),
        (RoleCall::UpdateQuota { quotas: many, force: true }, "501 'quota_configs'"),
    ] {
        let why = why_not(&mut world, call);
        assert!(why.starts_with("Invalid QuotaConfig: ") && why.contains(word), "{why}");
    }
}

#[test]
fn a_raised_guarantee_takes_back_what_others_are_offered_and_gives_it_to_its_role() {
    let mut world = World::new();
    for _ in 0..3 {
        world.add_agent("cpus:4;mem:1024");
    }
    let (greedy, stream) = world.framework(framework("greedy", &["web"]));
    world.settle();
    launch(&mut world, &greedy, "t", "cpus:4;mem:512");
    world.settle();
    let (owner, _) = world.framework(framework("owner", &["ops"]));
    world.settle();
    assert_eq!((offered(&world, &greedy), offered(&world, &owner)), (8.0, 0.0));
    world.take(&stream);
    world.role_call(update(&[("ops", "cpus:3", "")], false)).expect("taken");
    assert_eq!(rescinded(&mut world, &stream), 1, "one of two is enough");
    world.settle();
    assert!(offered(&world, &owner) >= 3.0, "{}", offered(&world, &owner));
    let key = TaskKey { framework: greedy.clone(), task: "t".parse().expect("valid") };
    assert!(world.books().tasks[&key].is_live(), "what runs stays");
    world.take(&stream);
    world.role_call(update(&[("ops", "cpus:2", "")], false)).expect("taken");
    assert_eq!(rescinded(&mut world, &stream), 0, "less is promised: nothing is taken");
}

#[test]
fn a_limit_below_use_wants_force_takes_offers_back_kills_nothing_and_holds_until_it_has_drained() {
    let mut world = World::new();
    for _ in 0..2 {
        world.add_agent("cpus:4;mem:1024");
    }
    let (id, stream) = world.framework(framework("f", &["eng/db"]));
    world.settle();
    let first = launch(&mut world, &id, "t1", "cpus:2;mem:128");
    world.settle();
    let second = launch(&mut world, &id, "t2", "cpus:1;mem:128");
    world.settle();
    assert_eq!(offered(&world, &id), 5.0);
    let why = why_not(&mut world, update(&[("eng", "", "cpus:2")], false));
    assert!(why.contains("Role 'eng' already consumes 'cpus:3; mem:256'"), "{why}");
    world.take(&stream);
    world.role_call(update(&[("eng", "", "cpus:2")], true)).expect("forced");
    assert_eq!(rescinded(&mut world, &stream), 2);
    world.settle();
    assert_eq!(offered(&world, &id), 0.0, "no more CPUs; memory has no limit");
    let both = |world: &World| [&first, &second].map(|key| world.books().tasks[key].is_live());
    assert_eq!(both(&world), [true, true]);
    let index = |world: &World, key: &TaskKey| {
        world.agents.iter().position(|agent| agent.tasks.contains_key(key)).expect("it runs somewhere")
    };
    let at = index(&world, &second);
    world.update(at, &second, TaskState::Finished);
    world.settle();
    assert_eq!(offered(&world, &id), 0.0, "2 of 2 are in use");
    let at = index(&world, &first);
    world.update(at, &first, TaskState::Finished);
    world.settle();
    assert_eq!(offered(&world, &id), 2.0, "it has drained");
}

#[test]
fn an_agent_that_comes_back_with_more_than_a_role_may_have_ends_its_offers() {
    let mut world = World::new();
    world.add_agent("cpus:4;mem:1024");
    let (id, stream) = world.framework(framework("f", &["ops"]));
    world.settle();
    launch(&mut world, &id, "t", "cpus:2;mem:128");
    world.role_call(update(&[("ops", "", "cpus:3")], false)).expect("taken");
    world.break_link(0);
    world.pass(Duration::from_secs(80));
    world.add_agent("cpus:4;mem:1024");
    world.settle();
    assert_eq!(offered(&world, &id), 3.0, "an agent that is given up holds nothing");
    world.take(&stream);
    world.connect(0);
    assert_eq!(rescinded(&mut world, &stream), 1, "2 are in use and 3 on offer");
    world.settle();
    assert_eq!(offered(&world, &id), 1.0);
}

#[test]
fn a_new_leader_with_quota_offers_nothing_until_most_agents_have_said_what_they_hold() {
    let mut world = World::new();
    for _ in 0..10 {
        world.add_agent("cpus:4;mem:1024");
    }
    world.role_call(update(&[("ops", "", "cpus:5")], false)).expect("taken");
    let (id, _) = world.framework(framework("f", &["ops"]));
    world.settle();
    launch(&mut world, &id, "t", "cpus:4;mem:128");
    world.fail_over();
    for index in 1..=7 {
        world.connect(index);
    }
    let mut again = framework("f", &["ops"]);
    again.id = Some(id.clone());
    world.framework(again);
    for _ in 0..60 {
        world.pass(Duration::from_secs(1));
        world.apply(Event::Tick);
        assert_eq!(world.books().offers.len(), 0, "the limit is known, and not yet what is in use");
    }
    let decision = &world.master.decisions(world.now, &id, &world.agent_id(1))[0];
    assert!(matches!(decision.why, Some(Why::AwaitingAgents(_))), "{decision:?}");
    world.connect(0);
    world.settle();
    let running = world.books().allocated_to(&id).cpus().to_f64();
    assert_eq!((running, offered(&world, &id)), (4.0, 1.0), "8 of 10 are back");
}

#[test]
fn a_new_leader_with_quota_waits_no_longer_than_for_agents_to_come_back() {
    let mut world = World::new();
    world.add_agent("cpus:4");
    world.role_call(update(&[("ops", "", "cpus:1")], false)).expect("taken");
    let (id, _) = world.framework(framework("f", &["ops", "web"]));
    world.fail_over();
    world.agents.clear();
    world.add_agent("cpus:4");
    let mut again = framework("f", &["ops", "web"]);
    again.id = Some(id.clone());
    world.framework(again);
    world.pass(Duration::from_secs(590));
    assert_eq!(offered(&world, &id), 0.0);
    world.pass(Duration::from_secs(11));
    assert_eq!(offered(&world, &id), 4.0);
}

#[test]
fn weights_count_once_they_are_durable_all_of_them_or_none() {
    let mut world = World::new();
    let weights = |pairs: &[(&str, u64)]| RoleCall::UpdateWeights {
        weights: pairs.iter().map(|(name, weight)| (role(name), Milli(*weight))).collect(),
    };
    world.records_at_once = false;
    world.role_call(weights(&[("ops", 2_500), ("web/front", 500)])).expect("taken");
    assert!(world.books().weights.is_empty());
    world.record_all();
    assert_eq!(world.books().weights.len(), 2);
    assert_eq!(world.registry.weights[&role("web/front")], Milli(500));
    let many: Vec<_> = (0..=MAX_WEIGHTS_PER_CALL).map(|n| (role(&format!("r{n}")), Milli(1))).collect();
    for (call, word) in [
        (weights(&[("ops", 1_000), ("web", 0)]), "Invalid weight '0' for role 'web'"),
        (weights(&[("ops", 1_000), ("ops", 2_000)]), "role 'ops' is named twice"),
        (weights(&[(&"r".repeat(MAX_ROLE_BYTES + 1), 1)]), "at most 512"),
        (RoleCall::UpdateWeights { weights: many }, "501 weights"),
    ] {
        let why = why_not(&mut world, call);
        assert!(
            why.starts_with("Failed to validate update weights request JSON: ") && why.contains(word),
            "{why}"
        );
    }
    assert_eq!(world.books().weights[&role("ops")], Milli(2_500));
    assert_eq!(world.role_call(weights(&[])), Ok(None));
}

#[test]
fn roles_are_shown_with_what_those_below_hold_and_what_is_reserved_in_use_or_not() {
    let mut world = World::new();
    world.add_agent("cpus:4;mem:1024;mem(eng):512;ports:[31000-31009]");
    world.role_call(update(&[("eng", "cpus:1", "cpus:9"), ("quiet/a", "", "mem:1")], false)).expect("taken");
    let (id, _) = world.framework(framework("f", &["eng/db"]));
    world.settle();
    launch(&mut world, &id, "t", "cpus:1;mem:100;ports:[31000-31001]");
    world.settle();
    let roles = world.books().roles();
    let names: Vec<&str> = roles.iter().map(|role| role.name.as_str()).collect();
    assert_eq!(names, ["eng", "eng/db", "quiet", "quiet/a"]);
    let [eng, db, ..] = &roles[..] else { panic!("{roles:?}") };
    assert_eq!(eng.allocated.to_string(), "cpus:1; mem:100; ports:2");
    assert_eq!(eng.offered.to_string(), "cpus:3; mem:1436; ports:8");
    assert_eq!((eng.reserved.to_string(), db.reserved.to_string()), ("mem:512".to_owned(), "{}".to_owned()));
    assert_eq!(
        (eng.consumed.to_string(), db.consumed.to_string()),
        ("cpus:1; mem:612".to_owned(), "cpus:1; mem:100".to_owned())
    );
    assert_eq!((eng.frameworks.len(), db.frameworks.len()), (0, 1));
    assert_eq!(eng.quota, quota("cpus:1", "cpus:9"));
    assert!(db.quota.is_default());
}
