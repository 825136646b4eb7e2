//! What would be too large for the registry is refused at the door, and nothing has changed then.

use chapada_master_core::{
    Accept, AgentCall, AgentCommand, Call, CallRefused, Change, DrainOrder, MAX_AGENTS_PER_DRAIN, Operation,
    OperatorCall, OperatorRefused, RecordBound, RefusedReason, SchedulerEvent, Selection, Settings,
};
use chapada_model::{
    Attribute, AttributeValue, Filters, FrameworkDescription, FrameworkId, Label, OperationId,
    OperationState, Reservation, ReservationKind, Resource, Resources, Role,
};

use crate::world::{World, framework};

const MAX: usize = 12_000;

fn world() -> World {
    let records = RecordBound { bytes: |change| format!("{change:?}").len(), max: MAX };
    World::with_settings(Settings { records, ..Settings::new("m1") })
}

fn named(name: String) -> FrameworkDescription {
    FrameworkDescription { name: name.into(), ..framework("f", &["*"]) }
}

/// It says what the bound is and what to do.
fn says_what_to_do(message: &str, remedy: &str) {
    assert!(message.contains("at most") && message.contains(remedy), "{message}");
}

#[test]
fn a_framework_that_is_too_large_is_refused_and_not_known() {
    let mut world = world();
    let before = world.registry.clone();
    world.subscribe(named("x".repeat(MAX)));
    says_what_to_do(&world.refused_streams[0], "shorten");
    assert!(world.books().frameworks.is_empty() && world.registry == before && world.tickets.is_empty());
}

#[test]
fn what_fits_fits_for_as_long_as_it_is_kept() {
    for length in (0..MAX).step_by(97) {
        let mut world = world();
        world.add_agent("cpus:1");
        let stream = world.subscribe(named("x".repeat(length)));
        if !world.refused_streams.is_empty() {
            assert!(length > MAX / 2, "{length}");
            continue;
        }
        let id = world.streams[&stream].clone().expect("subscribed");
        world.break_link(0);
        world.pass(std::time::Duration::from_secs(80));
        world.close(&stream);
        world.pass(std::time::Duration::from_secs(61));
        assert!(world.registry.frameworks.get(&id).is_some_and(|record| record.removed.is_some()));
        let record = world.registry.frameworks[&id].clone();
        let change = chapada_master_core::RegistryChange::PutFramework(id, record);
        assert!(format!("{change:?}").len() <= MAX, "{length}");
    }
}

#[test]
fn a_framework_that_comes_back_too_large_stays_as_it_was() {
    let mut world = world();
    let (id, stream) = world.framework(named("f".to_owned()));
    let before = world.registry.clone();
    world.subscribe(FrameworkDescription { id: Some(id.clone()), ..named("x".repeat(MAX)) });
    says_what_to_do(&world.refused_streams[0], "shorten");
    assert_eq!(world.registry, before);
    assert_eq!(world.books().frameworks[&id].stream(), Some(&stream), "its subscription goes on");
}

#[test]
fn an_update_that_makes_a_framework_too_large_changes_nothing() {
    let mut world = world();
    let (id, _) = world.framework(named("f".to_owned()));
    let before = world.registry.clone();
    let description = FrameworkDescription { id: Some(id.clone()), ..named("x".repeat(MAX)) };
    let call = Call::UpdateFramework { description, suppressed: Vec::new(), constraints: Default::default() };
    let Err(CallRefused::Invalid(why)) = world.call(&id, call) else { panic!("taken") };
    says_what_to_do(&why, "shorten");
    assert_eq!(world.registry, before);
    assert_eq!(&*world.books().frameworks[&id].description.name, "f");
}

/// What an agent was told when it was refused.
fn refusal(world: &World, agent: usize) -> &str {
    match world.agents[agent].commands.last() {
        Some(AgentCommand::Refused { reason: RefusedReason::Invalid, message }) => message,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn an_agent_that_says_too_much_of_itself_is_refused_and_stays_what_it_was() {
    let mut world = world();
    world.add_agent("cpus:1");
    let before = world.registry.clone();
    let value = AttributeValue::Text("x".repeat(MAX).into());
    world.agents[0].description.attributes = vec![Attribute { name: "a".into(), value }];
    world.connect(0);
    says_what_to_do(refusal(&world, 0), "attributes");
    world.agents[0].description.id = None;
    world.connect(0);
    says_what_to_do(refusal(&world, 0), "attributes");
    assert_eq!((world.registry == before, world.books().agents.len()), (true, 1));
}

#[test]
fn an_agent_that_describes_a_framework_too_large_is_refused() {
    let mut world = world();
    world.add_agent("cpus:1");
    let id = FrameworkId::new("old-0000").expect("valid");
    let large = FrameworkDescription { id: Some(id.clone()), ..named("x".repeat(MAX)) };
    let held = chapada_master_core::Held { frameworks: vec![large], ..Default::default() };
    let link = chapada_master_core::LinkId(1_000);
    let (from, agent) = (world.agents[0].from, world.agents[0].description.clone());
    world.agents[0].link = Some(link);
    world.apply(chapada_master_core::Event::AgentConnected { link, from, agent, held });
    says_what_to_do(refusal(&world, 0), "shorten");
    assert!(!world.registry.frameworks.contains_key(&id));
}

/// One CPU reserved under a label of such a length.
fn reserve(label: usize) -> Change {
    let cpu: Resources = "cpus:1".parse().expect("valid");
    let labels = vec![Label { key: "k".into(), value: Some("x".repeat(label).into()) }];
    let role = Role::new("ops").expect("valid");
    let reservation = Reservation { kind: ReservationKind::Dynamic, role, principal: None, labels };
    let cpu = Resource { reservations: vec![reservation], ..cpu.iter().next().expect("one").clone() };
    Change::Reserve { source: Resources::EMPTY, resources: Resources::from_list([cpu]).expect("one") }
}

#[test]
fn a_reservation_that_would_make_its_agent_too_large_is_in_error() {
    let mut world = world();
    world.add_agent("cpus:2");
    let (id, stream) = world.framework(framework("f", &["ops"]));
    let mut reserves = |label: usize| {
        world.settle();
        world.take(&stream);
        let operation = Operation::Change { id: OperationId::new("o").ok(), change: reserve(label) };
        let (offers, filters) = (world.offers(&id), Filters { refuse: std::time::Duration::ZERO });
        world
            .call(&id, Call::Accept(Accept { offers, operations: vec![operation], filters }))
            .expect("taken");
        let errors = world.take(&stream).into_iter().filter_map(|event| match event {
            SchedulerEvent::UpdateOperation(status) if status.state == OperationState::Error => {
                Some(status.message.clone().expect("a reason").to_string())
            }
            _ => None,
        });
        errors.collect::<Vec<_>>()
    };
    says_what_to_do(&reserves(MAX / 3)[0], "labels");
    assert_eq!(reserves(10), Vec::<String>::new());
    let agent = world.agent_id(0);
    assert!(format!("{}", world.books().agents[&agent].total).len() < MAX / 3);
}

#[test]
fn an_operator_s_reservation_that_would_make_its_agent_too_large_is_refused() {
    let mut world = world();
    world.add_agent("cpus:2");
    let agent = world.agent_id(0);
    let before = world.books().agents[&agent].total.clone();
    let call = OperatorCall::Change { agent: agent.clone(), change: reserve(MAX / 3), principal: None };
    let Err(OperatorRefused::Invalid(why)) = world.operator(call) else { panic!("taken") };
    says_what_to_do(&why, "labels");
    assert_eq!(world.books().agents[&agent].total, before);
}

#[test]
fn a_drain_of_too_much_is_refused_and_names_fewer_agents_as_the_remedy() {
    let mut world = world();
    world.add_agent("cpus:1");
    let (_, record) = world.registry.agents.first_key_value().expect("registered");
    let record = record.clone();
    let ids = (0..MAX_AGENTS_PER_DRAIN).map(|number| format!("old-S{number}").parse().expect("an id"));
    let mut registry = world.registry.clone();
    registry.agents.extend(ids.map(|id| (id, record.clone())));
    let records = RecordBound { bytes: |change| format!("{change:?}").len(), max: MAX / 4 };
    let settings = Settings { records, ..Settings::new("m2") };
    world.master = chapada_master_core::Master::recover(world.now, settings, registry.clone());
    let selection = Selection::Agents(registry.agents.keys().take(MAX_AGENTS_PER_DRAIN).cloned().collect());
    let order = DrainOrder::default();
    let call = AgentCall::DrainMany { name: "d".into(), selection, at_once: 1, order };
    let Err(OperatorRefused::Invalid(why)) = world.agent_call(call) else { panic!("taken") };
    says_what_to_do(&why, "fewer agents");
    assert!(world.books().drains.is_empty() && world.registry.drains.is_empty());
}
