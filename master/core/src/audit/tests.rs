//! The audit sees what is planted: each kind of damage, done to sound books, is found and named.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use chapada_model::{
    AgentDescription, FrameworkDescription, Milli, Mono, Now, Payload, Resources, Role, TaskDescription,
    TaskId, TaskKey, TaskState, Wall,
};

use super::{Violation, audit};
use crate::{
    Accept, Call, Effect, Event, Held, LinkId, Master, Offer, Operation, Proposal, RegistryState, Settings,
    StreamId, TaskPhase,
};

const HALF: &str = "cpus:0.5;mem:64;ports:[31000-31000]";

fn resources(text: &str) -> Resources {
    text.parse().unwrap()
}

fn now(millis: u64) -> Now {
    Now { mono: Mono(millis * 1_000_000), wall: Wall(1) }
}

fn record(master: &mut Master, effects: Vec<Effect>) {
    for effect in effects {
        if let Effect::Record { ticket, .. } = effect {
            master.apply(now(0), Event::Recorded { ticket });
        }
    }
}

/// One agent, one framework, one running task and one offer of the rest.
fn sound() -> Master {
    let mut master = Master::recover(now(0), Settings::new("m"), RegistryState::default());
    let agent = AgentDescription {
        id: None,
        hostname: "h".into(),
        port: 1,
        address: "".into(),
        resources: resources("cpus:2;mem:256;ports:[31000-31009]"),
        attributes: Vec::new(),
        domain: None,
        capabilities: BTreeSet::new(),
        version: "1".into(),
    };
    let (link, from, held) = (LinkId(1), Ipv4Addr::LOCALHOST.into(), Held::default());
    let effects = master.apply(now(0), Event::AgentConnected { link, from, agent, held });
    record(&mut master, effects);
    let framework = FrameworkDescription {
        id: None,
        user: "u".into(),
        name: "n".into(),
        failover_timeout: Duration::ZERO,
        checkpoint: false,
        roles: vec![Role::star()],
        hostname: None,
        principal: None,
        webui_url: None,
        capabilities: BTreeSet::new(),
        labels: Vec::new(),
        offer_filters: BTreeMap::new(),
        details: Payload::default(),
    };
    let stream = StreamId("s".into());
    let effects = master.apply(
        now(0),
        Event::Subscribe {
            stream: stream.clone(),
            framework,
            suppressed: Vec::new(),
            constraints: Default::default(),
        },
    );
    record(&mut master, effects);
    master.apply(now(2), Event::Tick);
    launch(&mut master, stream);
    master.apply(now(10), Event::Tick);
    assert_eq!((master.books.tasks.len(), master.books.offers.len()), (1, 1));
    assert_eq!(audit(&master), []);
    master
}

fn launch(master: &mut Master, stream: StreamId) {
    let offer = only_offer(master);
    let task = TaskDescription {
        id: TaskId::new("t").unwrap(),
        name: "t".into(),
        agent: offer.agent.clone(),
        resources: resources(HALF),
        limits: BTreeMap::new(),
        has_command: true,
        executor: None,
        kill_policy: None,
        max_completion_time: None,
        labels: Vec::new(),
        details: Payload::default(),
    };
    let accept = Accept {
        offers: vec![offer.id.clone()],
        operations: vec![Operation::Launch { tasks: vec![Proposal::Valid(Box::new(task))] }],
        filters: chapada_model::Filters { refuse: Duration::ZERO },
    };
    let caller = crate::Caller { framework: offer.framework.clone(), stream: Some(stream), principal: None };
    master.apply_call(now(3), &caller, Call::Accept(accept)).unwrap();
}

fn only_offer(master: &Master) -> Arc<Offer> {
    master.books.offers.values().next().unwrap().clone()
}

fn only_task(master: &Master) -> TaskKey {
    master.books.tasks.keys().next().unwrap().clone()
}

/// What the audit finds after some damage.
fn after(damage: impl FnOnce(&mut Master)) -> Vec<Violation> {
    let mut master = sound();
    damage(&mut master);
    audit(&master)
}

#[test]
fn free_resources_that_appear_or_vanish_are_seen() {
    for free in ["cpus:2", "cpus:0.1;mem:1"] {
        let found = after(|master| {
            let agent = only_offer(master).agent.clone();
            master.agent_mut(&agent).unwrap().free = resources(free);
        });
        assert!(found.iter().any(|violation| matches!(violation, Violation::Sum { .. })), "{found:?}");
        assert!(found.iter().any(|violation| matches!(violation, Violation::Free { .. })), "{found:?}");
    }
}

#[test]
fn a_task_that_is_forgotten_by_its_agent_is_seen() {
    let found = after(|master| {
        let agent = only_offer(master).agent.clone();
        master.agent_mut(&agent).unwrap().used = Resources::EMPTY;
    });
    assert!(found.iter().any(|violation| matches!(violation, Violation::Used { .. })), "{found:?}");
}

#[test]
fn an_offer_that_is_used_and_still_there_is_seen() {
    let found = after(|master| {
        let mut again = (*only_offer(master)).clone();
        again.id = chapada_model::OfferId::new("m-O99").unwrap();
        master.books.offers.insert(again.id.clone(), Arc::new(again));
    });
    assert!(found.iter().any(|violation| matches!(violation, Violation::Twice { .. })), "{found:?}");
    assert!(found.iter().any(|violation| matches!(violation, Violation::Charge { .. })), "{found:?}");
    assert!(found.iter().any(|violation| matches!(violation, Violation::Index(_))), "{found:?}");
}

#[test]
fn a_task_that_holds_what_another_holds_is_seen() {
    let found = after(|master| {
        let mut again = (*master.books.tasks[&only_task(master)]).clone();
        let mut description = (*again.description).clone();
        description.id = TaskId::new("t2").unwrap();
        again.description = Arc::new(description);
        master.insert_task(again);
    });
    assert!(found.iter().any(|violation| matches!(violation, Violation::Twice { .. })), "{found:?}");
}

#[test]
fn a_charge_that_is_forgotten_is_seen() {
    let found = after(|master| {
        let task = master.books.tasks[&only_task(master)].clone();
        master.allocator.discharge(&task.framework, &task.role, &resources("cpus:0.1"));
    });
    assert!(matches!(found[..], [Violation::Charge { .. }]), "{found:?}");
}

#[test]
fn a_task_that_lives_after_its_end_is_seen() {
    let damages: [fn(&mut crate::Task); 3] = [
        |task| task.state = TaskState::Finished,
        |task| task.finished = Some(Wall(3)),
        |task| task.phase = TaskPhase::Completed,
    ];
    for damage in damages {
        let found = after(|master| {
            let key = only_task(master);
            damage(master.task_mut(&key).unwrap());
        });
        assert!(found.iter().any(|violation| matches!(violation, Violation::Phase { .. })), "{found:?}");
    }
}

#[test]
fn what_waits_for_the_registry_under_no_name_or_another_is_seen() {
    let agent = || chapada_model::AgentId::new("m-S0").unwrap();
    let wait = |master: &mut Master, at| {
        let since = Wall(1);
        let given_up = crate::pending::Pending::GiveUp { agent: agent(), since };
        master.pending.insert(crate::Ticket(at), given_up);
    };
    assert_eq!(after(|master| (100..102).for_each(|at| wait(master, at))), []);
    assert_eq!(
        after(|master| {
            (100..102).for_each(|at| wait(master, at));
            master.pending.take(crate::Ticket(100));
        }),
        []
    );
    let found = after(|master| {
        wait(master, 100);
        master.pending.forget_names();
    });
    assert!(matches!(found[..], [Violation::Index(_)]), "{found:?}");
}

#[test]
fn a_task_out_of_reach_that_is_not_among_those_is_seen() {
    let found = after(|master| {
        let key = only_task(master);
        master.index.unreachable_by_framework.insert(&key.framework, (Wall(1), key.clone()));
    });
    assert!(matches!(found[..], [Violation::Index(_)]), "{found:?}");
}

#[test]
fn an_end_that_would_be_said_of_a_task_that_lives_is_seen() {
    let found = after(|master| {
        let task = master.books.tasks.remove(&only_task(master)).unwrap();
        let status = chapada_model::TaskStatus::new(task.description.id.clone(), TaskState::Lost);
        master.remember_end(&task.key(), &Arc::new(status));
        master.books.tasks.insert(task.key(), task);
    });
    assert!(matches!(found[..], [Violation::Index("ends that the master would say again")]), "{found:?}");
}

#[test]
fn an_offer_to_nobody_is_seen() {
    let found = after(|master| {
        let framework = only_offer(master).framework.clone();
        master.framework_mut(&framework).unwrap().state =
            crate::FrameworkState::Disconnected { until: Mono(0) };
    });
    assert!(found.iter().any(|violation| matches!(violation, Violation::Offer(_))), "{found:?}");
}

#[test]
fn what_grows_without_a_limit_is_seen() {
    let found = after(|master| {
        let framework = master.books.frameworks.values().next().unwrap().clone();
        for _ in 0..=crate::MAX_COMPLETED_FRAMEWORKS {
            master.books.completed_frameworks.push_back(framework.clone());
        }
        let key = only_task(master);
        let status = chapada_model::TaskStatus::new(key.task.clone(), TaskState::Running);
        let statuses = std::iter::repeat_n(Arc::new(status), crate::MAX_STATUSES + 1);
        master.task_mut(&key).unwrap().statuses = statuses.collect();
        for at in 0..10 {
            master.timers.set(Mono(at), crate::timers::Timer::Framework(framework.id.clone()));
        }
    });
    assert_eq!(
        found.iter().filter(|violation| matches!(violation, Violation::Bound { .. })).count(),
        3,
        "{found:?}"
    );
}

#[test]
fn an_offer_with_an_amount_out_of_nowhere_is_seen() {
    let found = after(|master| {
        let id = only_offer(master).id.clone();
        let offer = Arc::make_mut(master.books.offers.get_mut(&id).unwrap());
        offer.resources = Resources::from_list([chapada_model::Resource::scalar("cpus", Milli(7_000))])
            .unwrap()
            .allocated_to(&Role::star());
    });
    assert!(found.iter().any(|violation| matches!(violation, Violation::Offered { .. })), "{found:?}");
}

/// Quota of the one role: at most so many CPUs.
fn limit(master: &mut Master, cpus: u64) {
    let limit = [("cpus".into(), Milli(cpus))].into();
    let quotas = vec![(Role::star(), crate::Quota { limit, ..crate::Quota::default() })];
    let call = crate::RoleCall::UpdateQuota { quotas, force: true };
    let (effects, _) = master.apply_role_call(now(11), call).unwrap();
    record(master, effects);
    assert_eq!(audit(master), []);
}

#[test]
fn an_offer_above_a_limit_is_seen() {
    let found = after(|master| {
        limit(master, 2_000);
        let quota = crate::Quota { limit: [("cpus".into(), Milli(1_000))].into(), ..crate::Quota::default() };
        master.books.quotas.insert(Role::star(), quota.clone());
        master.registry.quotas.insert(Role::star(), quota.clone());
        master.allocator.set_quotas([(Role::star(), Some(quota))]);
    });
    assert!(matches!(found[..], [Violation::Limit { .. }]), "{found:?}");
}

#[test]
fn a_quota_that_counts_something_else_is_seen() {
    let found = after(|master| {
        limit(master, 5_000);
        let task = master.books.tasks[&only_task(master)].clone();
        master.allocator.discharge(&task.framework, &task.role, &resources("cpus:0.1"));
    });
    assert!(found.iter().any(|violation| matches!(violation, Violation::Quota { .. })), "{found:?}");
}

#[test]
fn a_quota_or_weight_that_is_in_one_place_only_is_seen() {
    for damage in [
        (|master| drop(master.books.quotas.remove(&Role::star()))) as fn(&mut Master),
        |master| drop(master.registry.quotas.remove(&Role::star())),
        |master| master.allocator.set_quotas([(Role::star(), None)]),
        |master| {
            master.books.weights.insert(Role::star(), Milli(2_000));
        },
    ] {
        let found = after(|master| {
            limit(master, 5_000);
            damage(master);
        });
        assert!(found.iter().any(|violation| matches!(violation, Violation::Index(_))), "{found:?}");
    }
}
