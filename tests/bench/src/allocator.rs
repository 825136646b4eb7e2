//! `allocator`: how long it takes to decide who is offered what (P1, P2, P2b), on the shapes Mesos' own benchmark has.
//!
//! Only deciding is timed: a plan names agent, framework and shared resources. What it takes to write the offers of a
//! plan as the scheduler API does is printed apart, on the largest shape of the target.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chapada_allocator::{
    AgentInput, Allocator, Constraint, Constraints, Expressions, FrameworkInput, Plan, PlannedOffer,
    Predicate, Quota, Refusal, Subject,
};
use chapada_master::edge::{Form, scheduler_event};
use chapada_master_core::{Offer, SchedulerEvent};
use chapada_model::{
    AgentDescription, AgentId, Attribute, AttributeValue, FrameworkId, Milli, Mono, Now, OfferId, Resources,
    Role,
};
use chapada_wire::Json as _;
use chapada_wire::convert::ReservationFormat;
use prost::Message as _;

use crate::figure::{Figure, percentile};

/// What every agent has, as in Mesos' benchmark.
const AGENT: &str = "cpus:24;mem:4096;disk:4096;ports:[31000-32000]";

/// How often each shape is measured; the figure is the median.
const ROUNDS: usize = 5;

/// How long a refusal lasts.
const REFUSED: Duration = Duration::from_secs(3600);

/// Agents and frameworks of the full cycle in one role: Mesos' grid.
const CYCLES: &[(usize, usize)] = &[
    (1_000, 50),
    (1_000, 1_000),
    (5_000, 1_000),
    (10_000, 1_000),
    (20_000, 2_000),
    (20_000, 6_000),
    (50_000, 1_000),
    (50_000, 6_000),
];

/// Agents and frameworks of the full cycle in which each framework has a role of its own, and none has quota.
const ROLES: &[(usize, usize)] = &[(20_000, 2_000), (50_000, 6_000)];

/// Agents and frameworks of the cycle in which each framework wants agents whose attributes match its expressions.
const CONSTRAINED: &[(usize, usize)] = &[(5_000, 500)];

/// So many racks there are, and a framework wants one of them.
const RACKS: usize = 100;

/// Agents and frameworks of the cycle in which all has been declined.
const DECLINED: &[(usize, usize)] = &[(1_000, 200), (5_000, 50)];

/// Agents, roles and frameworks of the cycle with quota, as many of each.
const QUOTAS: &[usize] = &[300, 3_000];

pub(crate) fn run(quick: bool) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let cycles = if quick { &[(2_000, 200)][..] } else { CYCLES };
    for &(agents, frameworks) in cycles {
        cycle(agents, frameworks, &mut figures)?;
    }
    let roles = if quick { &[(2_000, 200)][..] } else { ROLES };
    for &(agents, frameworks) in roles {
        many_roles(agents, frameworks, &mut figures)?;
    }
    let constrained = if quick { &[(1_000, 100)][..] } else { CONSTRAINED };
    for &(agents, frameworks) in constrained {
        with_constraints(agents, frameworks, &mut figures)?;
    }
    let (agents, frameworks) = if quick { (2_000, 200) } else { (20_000, 2_000) };
    encoding(agents, frameworks, &mut figures)?;
    let declined = if quick { &[(200, 50)][..] } else { DECLINED };
    for &(agents, frameworks) in declined {
        everything_declined(agents, frameworks, &mut figures)?;
    }
    let quotas = if quick { &[100][..] } else { QUOTAS };
    for &count in quotas {
        with_quota(count, &mut figures)?;
    }
    Ok(figures)
}

/// As many agents, roles with quota and frameworks: all of them added, and one cycle.
fn with_quota(count: usize, figures: &mut Vec<Figure>) -> Result<()> {
    let total: Resources = AGENT.parse().context("the resources of an agent")?;
    let roles: Vec<Role> = (0..count).map(|i| Role::new(format!("role{i}"))).collect::<Result<_, _>>()?;
    let ids: Vec<(AgentId, FrameworkId)> =
        (0..count).map(|i| Ok((agent(i)?, framework(i)?))).collect::<Result<_>>()?;
    // Half of the cluster is guaranteed; nobody may have more than one agent and a quarter.
    let quota = Quota {
        guarantee: [("cpus", Milli::whole(12)), ("mem", Milli::whole(2_048))].into_iter().collect(),
        limit: [("cpus".into(), Milli::whole(30)), ("mem".into(), Milli::whole(5_120))].into(),
    };
    let (mut adding, mut planning) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        let mut allocator = empty();
        for (agent, _) in &ids {
            allocator.add_agent(agent, &total, total.clone());
        }
        allocator.set_quotas(roles.iter().map(|role| (role.clone(), Some(quota.clone()))));
        for (role, (_, framework)) in roles.iter().zip(&ids) {
            let input = FrameworkInput { roles: [role.clone()].into(), ..FrameworkInput::default() };
            allocator.set_framework(framework, input);
        }
        adding.push(begin.elapsed().as_secs_f64() * 1_000.0);
        let (plan, took) = timed_plan(&mut allocator);
        planning.push(took);
        check_quota(&allocator, &plan, &roles, &quota)?;
    }
    let mut both: Vec<f64> =
        adding.iter().zip(&planning).map(|(adding, planning)| adding + planning).collect();
    let shape =
        format!("{count} agents, {count} roles with guarantee and limit, {count} frameworks, {AGENT}");
    let name = |kind: &str| format!("P2.{kind}_{count}x{count}x{count}");
    for (kind, times) in [("cycle", &mut planning), ("adding", &mut adding), ("all", &mut both)] {
        figures.push(Figure::new(&name(kind), percentile(times, 0.5), "ms", &shape));
    }
    Ok(())
}

/// Every role is offered what is guaranteed to it and no more than its limit, and nothing is offered twice.
fn check_quota(allocator: &Allocator, plan: &Plan, roles: &[Role], quota: &Quota) -> Result<()> {
    for role in roles {
        let consumed = allocator.consumed(role).context("the role has quota")?;
        ensure!(consumed.contains(&quota.guarantee), "{role} consumes {consumed:?}, less than is guaranteed");
        let most = quota.limit.iter().all(|(name, most)| consumed.get(name) <= *most);
        ensure!(most, "{role} consumes {consumed:?}, more than its limit");
    }
    let total: Resources = AGENT.parse().context("the resources of an agent")?;
    let mut offered: BTreeMap<&AgentId, Resources> = BTreeMap::new();
    for offer in &plan.offers {
        offered.entry(&offer.agent).or_default().add(&offer.resources)?;
    }
    ensure!(offered.values().all(|sum| total.contains(sum)), "more is offered of an agent than it has");
    Ok(())
}

/// A full cycle over free agents, and the next one after every offer of the first was declined.
fn cycle(agents: usize, frameworks: usize, figures: &mut Vec<Figure>) -> Result<()> {
    let (mut first, mut again) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let mut allocator = cluster(agents, frameworks)?;
        let (plan, took) = timed_plan(&mut allocator);
        check_whole_cluster(&plan, agents, frameworks)?;
        first.push(took);
        decline_all(&mut allocator, &plan)?;
        let (next, took) = timed_plan(&mut allocator);
        check_whole_cluster(&next, agents, frameworks)?;
        check_nobody_twice(&plan, &next)?;
        again.push(took);
    }
    let shape = format!("{agents} agents, {frameworks} frameworks, one role, {AGENT}");
    let name = |kind: &str| format!("P1.{kind}_{agents}x{frameworks}");
    figures.push(Figure::new(&name("cycle"), percentile(&mut first, 0.5), "ms", &shape));
    let shape = format!("{shape}; each agent declined once before");
    figures.push(Figure::new(&name("cycle_declined_once"), percentile(&mut again, 0.5), "ms", &shape));
    Ok(())
}

/// A full cycle over free agents, each framework in a role of its own.
fn many_roles(agents: usize, frameworks: usize, figures: &mut Vec<Figure>) -> Result<()> {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let mut allocator = cluster(agents, 0)?;
        for index in 0..frameworks {
            let role = Role::new(format!("role{index}"))?;
            let input = FrameworkInput { roles: [role].into(), ..FrameworkInput::default() };
            allocator.set_framework(&framework(index)?, input);
        }
        let (plan, took) = timed_plan(&mut allocator);
        check_whole_cluster(&plan, agents, frameworks)?;
        times.push(took);
    }
    let shape =
        format!("{agents} agents, {frameworks} frameworks, {frameworks} roles without quota, {AGENT}");
    let name = format!("P1.cycle_{agents}x{frameworks}x{frameworks}");
    figures.push(Figure::new(&name, percentile(&mut times, 0.5), "ms", &shape));
    Ok(())
}

/// A full cycle over free agents of which each framework wants those of one rack, by regular expressions; and the next ones
/// once every framework has declined all that it wants.
fn with_constraints(agents: usize, frameworks: usize, figures: &mut Vec<Figure>) -> Result<()> {
    let mut first = Vec::new();
    let mut allocator = empty();
    for _ in 0..ROUNDS {
        allocator = constrained(agents, frameworks)?;
        let (plan, took) = timed_plan(&mut allocator);
        ensure!(plan.offers.len() == agents, "{} offers of {agents} agents", plan.offers.len());
        first.push(took);
        decline_all(&mut allocator, &plan)?;
    }
    let mut declined = agents;
    loop {
        let plan = allocator.plan(Mono(0));
        if plan.offers.is_empty() {
            break;
        }
        declined += plan.offers.len();
        decline_all(&mut allocator, &plan)?;
    }
    ensure!(
        declined == agents * frameworks / RACKS,
        "{declined} declined: not each by those that want its rack"
    );
    let mut again = Vec::new();
    for _ in 0..ROUNDS {
        touch_all(&mut allocator, agents)?;
        let (plan, took) = timed_plan(&mut allocator);
        ensure!(plan.considered as usize == agents, "{} agents of {agents} considered", plan.considered);
        ensure!(plan.offers.is_empty(), "{} offers, though all is declined", plan.offers.len());
        again.push(took);
    }
    let shape = format!(
        "{agents} agents in {RACKS} racks, {frameworks} frameworks with two expressions each, {AGENT}"
    );
    let name = |kind: &str| format!("{kind}_{agents}x{frameworks}");
    figures.push(Figure::new(&name("P1.constrained"), percentile(&mut first, 0.5), "ms", &shape));
    let shape = format!("{shape}; all declined by those that want it");
    figures.push(Figure::new(&name("P2b.constrained"), percentile(&mut again, 0.5), "ms", &shape));
    Ok(())
}

fn constrained(agents: usize, frameworks: usize) -> Result<Allocator> {
    let (mut allocator, expressions) = (empty(), Expressions::new());
    let total: Resources = AGENT.parse().context("the resources of an agent")?;
    for index in 0..agents {
        let text = |name: &str, value: String| Attribute {
            name: name.into(),
            value: AttributeValue::Text(value.into()),
        };
        let attributes =
            vec![text("os", "linux-6.1".to_owned()), text("rack", format!("rack-{:03}", index % RACKS))];
        let input = AgentInput {
            total: total.clone(),
            hostname: format!("agent-{index:05}.example").into(),
            attributes,
            domain: None,
        };
        allocator.add_agent(&agent(index)?, input, total.clone());
    }
    for index in 0..frameworks {
        let matches = |name: &str, pattern: String| Constraint {
            subject: Subject::Attribute(name.into()),
            predicate: Predicate::TextMatches(pattern.into()),
        };
        let both = vec![
            matches("os", "linux-[0-9.]+".to_owned()),
            matches("rack", format!("(rack|row)-{:03}", index % RACKS)),
        ];
        let constraints = Arc::new(Constraints::new(vec![both], &expressions)?);
        let input = FrameworkInput {
            roles: [Role::star()].into(),
            constraints: [(Role::star(), constraints)].into(),
            ..FrameworkInput::default()
        };
        allocator.set_framework(&framework(index)?, input);
    }
    Ok(allocator)
}

/// How long it takes to write the offers of a full cycle, each framework's in events of at most a hundred.
fn encoding(agents: usize, frameworks: usize, figures: &mut Vec<Figure>) -> Result<()> {
    let mut allocator = cluster(agents, frameworks)?;
    let plan = allocator.plan(Mono(0));
    check_whole_cluster(&plan, agents, frameworks)?;
    let mut offers: BTreeMap<FrameworkId, Vec<Arc<Offer>>> = BTreeMap::new();
    for (number, planned) in plan.offers.iter().enumerate() {
        offers.entry(planned.framework.clone()).or_default().push(Arc::new(offer(number, planned)?));
    }
    let shape = format!("{} offers of {AGENT} to {frameworks} frameworks", plan.offers.len());
    for (form, name) in [(Form::Protobuf, "protobuf"), (Form::Json, "json")] {
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            let begin = Instant::now();
            let bytes = write(&offers, form);
            times.push(begin.elapsed().as_secs_f64() * 1_000.0);
            ensure!(bytes > plan.offers.len() * 100, "{bytes} bytes for {} offers", plan.offers.len());
        }
        let name = format!("P1.encoding_{name}_{agents}x{frameworks}");
        figures.push(Figure::new(&name, percentile(&mut times, 0.5), "ms", &shape));
    }
    Ok(())
}

/// How many bytes the events have.
fn write(offers: &BTreeMap<FrameworkId, Vec<Arc<Offer>>>, form: Form) -> usize {
    let mut bytes = 0;
    for (framework, offers) in offers {
        for some in offers.chunks(100) {
            let event = SchedulerEvent::Offers(some.to_vec());
            let event =
                scheduler_event(&crate::sim::describe_master(), ReservationFormat::Stacked, framework, event);
            bytes += match form {
                Form::Json => event.to_json().len(),
                Form::Protobuf => event.encode_to_vec().len(),
            };
        }
    }
    bytes
}

fn offer(number: usize, planned: &PlannedOffer) -> Result<Offer> {
    let host = AgentDescription {
        id: Some(planned.agent.clone()),
        hostname: "agent-00001.example".into(),
        port: 5051,
        address: "10.1.2.3:5051".into(),
        resources: planned.resources.as_ref().clone(),
        attributes: Vec::new(),
        domain: None,
        capabilities: BTreeSet::new(),
        version: "0.1.0".into(),
    };
    Ok(Offer {
        id: OfferId::new(format!("3d1c3e5a-7f0b-4d5e-9a65-0c8f6a1f2b3c-O{number}"))?,
        framework: planned.framework.clone(),
        agent: planned.agent.clone(),
        host: Arc::new(host),
        role: planned.role.clone(),
        resources: planned.resources.allocated_to(&planned.role),
        executors: Vec::new(),
        unavailability: None,
        since: Now::default(),
        until: Mono::default(),
    })
}

/// A cycle over every agent when every framework has declined everything.
fn everything_declined(agents: usize, frameworks: usize, figures: &mut Vec<Figure>) -> Result<()> {
    let mut allocator = cluster(agents, frameworks)?;
    let mut declined = 0;
    while declined < agents * frameworks {
        let plan = allocator.plan(Mono(0));
        ensure!(!plan.offers.is_empty(), "{declined} offers declined, and no more are made");
        declined += plan.offers.len();
        decline_all(&mut allocator, &plan)?;
    }
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        touch_all(&mut allocator, agents)?;
        let (plan, took) = timed_plan(&mut allocator);
        ensure!(plan.considered as usize == agents, "{} agents of {agents} considered", plan.considered);
        ensure!(plan.offers.is_empty(), "{} offers, though all is declined", plan.offers.len());
        times.push(took);
    }
    ensure!(allocator.filters() == agents * frameworks, "{} refusals", allocator.filters());
    let shape = format!("{agents} agents, {frameworks} frameworks, {declined} offers declined");
    let name = format!("P2b.declined_{agents}x{frameworks}");
    figures.push(Figure::new(&name, percentile(&mut times, 0.5), "ms", &shape));
    Ok(())
}

/// Every agent has something to look at: it has come back with what it had.
fn touch_all(allocator: &mut Allocator, agents: usize) -> Result<()> {
    for index in 0..agents {
        let id = agent(index)?;
        allocator.set_agent_active(&id, false);
        allocator.set_agent_active(&id, true);
    }
    Ok(())
}

fn empty() -> Allocator {
    Allocator::new(vec![
        [("cpus", Milli(10))].into_iter().collect(),
        [("mem", Milli::whole(32))].into_iter().collect(),
    ])
}

fn cluster(agents: usize, frameworks: usize) -> Result<Allocator> {
    let mut allocator = empty();
    let total: Resources = AGENT.parse().context("the resources of an agent")?;
    for index in 0..agents {
        allocator.add_agent(&agent(index)?, &total, total.clone());
    }
    for index in 0..frameworks {
        let input = FrameworkInput { roles: [Role::star()].into(), ..FrameworkInput::default() };
        allocator.set_framework(&framework(index)?, input);
    }
    Ok(allocator)
}

fn timed_plan(allocator: &mut Allocator) -> (Plan, f64) {
    let begin = Instant::now();
    let plan = allocator.plan(Mono(0));
    (plan, begin.elapsed().as_secs_f64() * 1_000.0)
}

/// Gives every offer back, as DECLINE does.
fn decline_all(allocator: &mut Allocator, plan: &Plan) -> Result<()> {
    for PlannedOffer { framework, role, agent, resources } in &plan.offers {
        allocator.discharge(framework, role, resources);
        let left = allocator.free(agent).context("an agent of the plan is known")?;
        let free = left.checked_add(resources)?;
        allocator.set_free(agent, free, true);
        allocator.refuse(Mono(0), (framework, role, agent), resources, Refusal::Declined(REFUSED));
    }
    Ok(())
}

/// Everything of every agent is offered exactly once, and to all frameworks alike.
fn check_whole_cluster(plan: &Plan, agents: usize, frameworks: usize) -> Result<()> {
    let total: Resources = AGENT.parse().context("the resources of an agent")?;
    let mut offered: BTreeMap<&AgentId, Resources> = BTreeMap::new();
    let mut made: BTreeMap<&FrameworkId, usize> = BTreeMap::new();
    for offer in &plan.offers {
        offered.entry(&offer.agent).or_default().add(&offer.resources)?;
        *made.entry(&offer.framework).or_default() += 1;
    }
    ensure!(offered.len() == agents, "{} agents of {agents} are offered", offered.len());
    ensure!(offered.values().all(|sum| *sum == total), "an agent is not offered exactly once");
    ensure!(made.len() == frameworks.min(agents), "{} frameworks of {frameworks} served", made.len());
    let (least, most) = (made.values().min(), made.values().max());
    ensure!(most <= least.map(|least| least + 1).as_ref(), "from {least:?} to {most:?} offers a framework");
    Ok(())
}

/// Nobody is offered again what it has just declined.
fn check_nobody_twice(before: &Plan, after: &Plan) -> Result<()> {
    let declined: BTreeMap<&AgentId, &FrameworkId> =
        before.offers.iter().map(|offer| (&offer.agent, &offer.framework)).collect();
    let again = after.offers.iter().find(|offer| declined.get(&offer.agent) == Some(&&offer.framework));
    ensure!(again.is_none(), "{again:?} was declined before");
    Ok(())
}

fn agent(index: usize) -> Result<AgentId> {
    AgentId::new(format!("3d1c3e5a-7f0b-4d5e-9a65-0c8f6a1f2b3c-S{index}")).context("an agent's id")
}

fn framework(index: usize) -> Result<FrameworkId> {
    FrameworkId::new(format!("3d1c3e5a-7f0b-4d5e-9a65-0c8f6a1f2b3c-{index:04}")).context("a framework's id")
}
