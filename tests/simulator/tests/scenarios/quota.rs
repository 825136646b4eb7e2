//! Quota that goes below what is in use, and roles that end while they are.

use chapada_master_core::{Call, OperatorRefused, Quota, RoleCall};
use chapada_model::{FrameworkDescription, Milli, Quantities, Role};
use chapada_simulator::{Manner, Sim};

use crate::{HOUR, MINUTE, SECOND, cluster, pass, until};

fn cpus(limit: Option<u64>, guarantee: u64) -> Quota {
    let amounts = |amount: u64| [("cpus", Milli::whole(amount))].into_iter().collect::<Quantities>();
    Quota {
        guarantee: if guarantee == 0 { Quantities::default() } else { amounts(guarantee) },
        limit: limit.map(|limit| amounts(limit).0).unwrap_or_default(),
    }
}

/// The role of a framework.
fn role(sim: &Sim, framework: usize) -> Role {
    description(sim, framework).roles[0].clone()
}

fn description(sim: &Sim, framework: usize) -> FrameworkDescription {
    let id = sim.framework_id(framework).expect("it was subscribed");
    (*sim.books().expect("someone leads").frameworks[&id].description).clone()
}

fn set(sim: &mut Sim, role: &Role, quota: Quota, force: bool) -> Option<OperatorRefused> {
    ask(sim, RoleCall::UpdateQuota { quotas: vec![(role.clone(), quota)], force })
}

fn ask(sim: &mut Sim, call: RoleCall) -> Option<OperatorRefused> {
    let leader = sim.leader().expect("someone leads");
    sim.call_about_roles(leader, call)
}

fn limit(sim: &Sim, role: &Role) -> Option<Milli> {
    sim.books()?.quotas.get(role)?.limit.get("cpus").copied()
}

/// The CPUs that a framework is offered.
fn offered(sim: &Sim, framework: usize) -> u64 {
    sim.offers(framework).iter().map(|offer| offer.resources.cpus().0).sum()
}

/// Leaves the role for another.
fn leave(sim: &mut Sim, framework: usize) {
    let mut description = description(sim, framework);
    description.roles = vec!["elsewhere".parse().expect("a valid role")];
    let call = Call::UpdateFramework { description, suppressed: Vec::new(), constraints: Default::default() };
    sim.framework_calls(framework, call);
}

/// A scripted framework with two tasks of two CPUs each, on two agents of four.
fn in_use() -> (Sim, Role) {
    let mut sim = cluster(2, vec![Manner::Scripted]);
    for name in ["t1", "t2"] {
        until(&mut sim, MINUTE, "there is an offer", |sim| offered(sim, 0) >= 2_000);
        assert!(sim.launch_task(0, name, "cpus:2;mem:64"));
        until(&mut sim, MINUTE, "its task runs", |sim| sim.running(0).iter().any(|one| one == name));
    }
    let role = role(&sim, 0);
    (sim, role)
}

#[test]
fn scenario_31_quota_lowered_below_use() {
    let (mut sim, role) = in_use();
    assert!(set(&mut sim, &role, cpus(Some(1), 0), false).is_some(), "that wants to be forced");
    assert_eq!(set(&mut sim, &role, cpus(Some(1), 0), true), None);
    until(&mut sim, MINUTE, "it is in force, and offers are taken back", |sim| {
        limit(sim, &role) == Some(Milli::whole(1)) && offered(sim, 0) == 0
    });
    for _ in 0..3 {
        pass(&mut sim, HOUR);
        assert_eq!((sim.running(0).len(), offered(&sim, 0)), (2, 0), "nothing is killed and nothing offered");
        sim.crash_leader(5 * SECOND);
        until(&mut sim, MINUTE, "another leads and knows", |sim| limit(sim, &role) == Some(Milli::whole(1)));
    }
    sim.exit_task("t1", 0);
    pass(&mut sim, HOUR);
    assert_eq!((sim.running(0).len(), offered(&sim, 0)), (1, 0), "two are in use of one");
    sim.exit_task("t2", 0);
    until(&mut sim, MINUTE, "it has drained, and is offered what it may have", |sim| {
        offered(sim, 0) == 1_000
    });
    pass(&mut sim, HOUR);
    assert!(offered(&sim, 0) <= 1_000);
}

#[test]
fn scenario_31_role_deleted_in_use() {
    let (mut sim, role) = in_use();
    assert_eq!(set(&mut sim, &role, cpus(Some(6), 4), false), None);
    until(&mut sim, MINUTE, "it is in force", |sim| limit(sim, &role).is_some());
    leave(&mut sim, 0);
    let remove = RoleCall::RemoveQuota { role: role.clone() };
    assert_eq!(ask(&mut sim, remove.clone()), None);
    assert!(ask(&mut sim, remove).is_some(), "a second time there is nothing to remove");
    until(&mut sim, MINUTE, "the quota is gone", |sim| limit(sim, &role).is_none());
    pass(&mut sim, HOUR);
    assert_eq!(sim.running(0).len(), 2, "its tasks run on");
    let held = |sim: &Sim| {
        let roles = sim.books().expect("someone leads").roles();
        roles.iter().find(|view| view.name == role).map_or(Milli::ZERO, |view| view.allocated.get("cpus"))
    };
    assert_eq!(held(&sim), Milli::whole(4), "and count for the role that nobody names");
    sim.exit_task("t1", 0);
    sim.exit_task("t2", 0);
    until(&mut sim, MINUTE, "nothing is left of it", |sim| held(sim) == Milli::ZERO);
}

#[test]
fn scenario_31_both_at_once_while_the_leader_falls() {
    for step in 0..30 {
        let (mut sim, role) = in_use();
        assert_eq!(set(&mut sim, &role, cpus(Some(8), 2), false), None);
        until(&mut sim, MINUTE, "it is in force", |sim| limit(sim, &role).is_some());
        assert_eq!(set(&mut sim, &role, cpus(Some(1), 1), true), None);
        leave(&mut sim, 0);
        if step % 3 == 0 {
            assert_eq!(ask(&mut sim, RoleCall::RemoveQuota { role: role.clone() }), None);
        }
        // The change is on its way, durable and not yet said, or in force.
        pass(&mut sim, step * SECOND / 1_000);
        sim.crash_leader(5 * SECOND);
        pass(&mut sim, 10 * MINUTE);
        assert_eq!(sim.running(0).len(), 2, "step {step}: what runs stays");
        let most = limit(&sim, &role);
        let possible = [None, Some(Milli::whole(1)), Some(Milli::whole(8))];
        assert!(possible.contains(&most), "step {step}: {most:?} was never asked for");
        sim.exit_task("t1", 0);
        sim.exit_task("t2", 0);
        assert!(set(&mut sim, &role, cpus(None, 0), false).is_none());
        until(&mut sim, MINUTE, "the whole cluster is offered again", |sim| offered(sim, 0) == 8_000);
    }
}
