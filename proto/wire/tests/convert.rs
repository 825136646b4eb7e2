//! Wire messages into the model and back, on what a real Mesos and its clients sent.

use std::collections::BTreeSet;
use std::time::Duration;

use chapada_model::{
    AgentDescription, AgentId, Attribute, ExecutorKind, Filters, FrameworkCapability, FrameworkDescription,
    Limit, MasterDescription, Milli, ReservationKind, Resource, Resources, Role, TaskDescription, TaskState,
    TaskStatus,
};
use chapada_wire::convert::{
    InvalidField, OfferParts, ReservationFormat, resource_to_wire, resources_from_wire, resources_to_wire,
    task_record,
};
use chapada_wire::{Json, v1};
use prost::Message as _;
use serde_json::{Value, json};

const EVENTS: &str = include_str!("data/recordings/scheduler.Event.jsonl");
const CALLS: &str = include_str!("data/recordings/scheduler.Call.jsonl");

fn bodies<T: Json>(lines: &str) -> Vec<(String, T)> {
    let body = |line: &str| {
        let line: Value = serde_json::from_str(line).expect("a line is JSON");
        let message = T::from_json(line["body"].to_string().as_bytes()).expect("it is a message");
        (line["name"].as_str().expect("a recording has a name").to_owned(), message)
    };
    lines.lines().map(body).collect()
}

fn read<T: Json>(body: &Value) -> T {
    T::from_json(body.to_string().as_bytes()).unwrap_or_else(|error| panic!("{body}: {error}"))
}

fn json_of<T: Json>(message: &T) -> Value {
    serde_json::from_slice(&message.to_json()).expect("we write JSON")
}

fn resource(body: Value) -> Result<Resource, InvalidField> {
    Resource::try_from(&read::<v1::Resource>(&body))
}

/// Regardless of order, as JSON text.
fn as_set(resources: &[v1::Resource]) -> BTreeSet<String> {
    resources.iter().map(|resource| json_of(resource).to_string()).collect()
}

#[test]
fn what_is_shown_of_a_task_has_no_secret() {
    let info = r#"{"name": "t", "task_id": {"value": "t"}, "agent_id": {"value": "a"},
        "health_check": {"command": {"environment": {"variables": [{"name": "A", "type": "SECRET",
            "secret": {"type": "VALUE", "value": {"data": "aGlkZGVu"}}}]}}},
        "container": {"type": "MESOS", "volumes": [{"mode": "RO", "container_path": "x",
            "source": {"type": "SECRET", "secret": {"type": "VALUE", "value": {"data": "aGlkZGVu"}}}}]}}"#;
    let task = TaskDescription::try_from(&v1::TaskInfo::from_json(info.as_bytes()).unwrap()).unwrap();
    let shown = format!("{:?}", task_record(&task, &"f".parse().unwrap(), TaskState::Staging));
    let listed = format!("{:?}", chapada_wire::convert::task_extras(&task));
    let hidden = format!("{:?}", b"hidden");
    for text in [&shown, &listed] {
        assert!(text.contains("Secret {") && !text.contains(&hidden), "{text}");
    }
    assert!(format!("{:?}", v1::TaskInfo::from(&task)).contains(&hidden), "the agent gets it");
}

#[test]
fn recorded_offers_come_out_as_they_went_in() {
    let mut compared = 0;
    for (name, event) in bodies::<v1::scheduler::Event>(EVENTS) {
        // The framework of this recording has reservation refinement, the others have not.
        let format = match name.as_str() {
            "scheduler/reservations/00_subscribe" => ReservationFormat::Stacked,
            _ => ReservationFormat::Single,
        };
        for offer in event.offers.unwrap_or_default().offers {
            let resources = resources_from_wire("resources", &offer.resources).expect("Mesos offers them");
            let again = resources_to_wire(&resources, format);
            assert_eq!(as_set(&again), as_set(&offer.resources), "{name}");
            assert_eq!(
                resources.allocation_role().map(Role::as_str),
                offer.allocation_info.unwrap().role.as_deref()
            );
            compared += 1;
        }
    }
    assert!(compared > 10, "there are offers to compare, not {compared}");
}

/// A master that knows an agent by its record writes nothing when it comes back with the id that it was given.
#[test]
fn an_agent_says_the_same_of_itself_before_and_after_it_has_an_id() {
    let new = v1::AgentInfo { hostname: Some("h".into()), ..v1::AgentInfo::default() };
    let id: AgentId = "a".parse().expect("an id");
    let back = v1::AgentInfo { id: Some((&id).into()), ..new.clone() };
    let described = |info| AgentDescription::try_from(info).expect("a hostname is enough");
    assert_eq!(AgentDescription { id: Some(id), ..described(&new) }, described(&back));
}

#[test]
fn an_offer_is_written_as_mesos_writes_it() {
    let events = bodies::<v1::scheduler::Event>(EVENTS);
    let offers = events.into_iter().find_map(|(_, event)| event.offers).expect("there is an offer");
    let recorded = &offers.offers[0];
    let agent = AgentDescription {
        address: "127.0.0.1:5051".into(),
        ..AgentDescription::try_from(&v1::AgentInfo {
            hostname: Some("127.0.0.1".into()),
            ..Default::default()
        })
        .expect("a hostname is enough")
    };
    let id = |id: &Option<v1::OfferId>| id.as_ref().unwrap().try_into().expect("Mesos' ids are ids");
    let role = Role::star();
    let resources = resources_from_wire("resources", &recorded.resources).expect("Mesos offers them");
    let mut written = v1::Offer::from(OfferParts {
        id: &id(&recorded.id),
        framework: &recorded.framework_id.as_ref().unwrap().try_into().expect("Mesos' ids are ids"),
        agent_id: &recorded.agent_id.as_ref().unwrap().try_into().expect("Mesos' ids are ids"),
        agent: &agent,
        role: &role,
        resources: &resources.unallocated(),
        executors: &[],
        unavailability: None,
        format: ReservationFormat::Single,
    });
    assert_eq!(as_set(&written.resources), as_set(&recorded.resources));
    written.resources.clone_from(&recorded.resources);
    assert_eq!(json_of(&written), json_of(recorded));
}

#[test]
fn recorded_updates_come_out_as_they_went_in() {
    let mut states = BTreeSet::new();
    for (name, event) in bodies::<v1::scheduler::Event>(EVENTS) {
        let Some(wire) = event.update.and_then(|update| update.status) else { continue };
        let Ok(status) = TaskStatus::try_from(&wire) else {
            // Mesos itself reported a task whose id it had just called invalid.
            let id = wire.task_id.and_then(|id| id.value);
            assert!(id.is_some_and(|id| id.contains('/')), "{name}");
            continue;
        };
        assert_eq!(v1::TaskStatus::from(&status), wire, "{name}");
        states.insert(status.state);
    }
    assert!(states.contains(&TaskState::Running) && states.len() > 4, "{states:?}");
}

#[test]
fn what_the_model_says_of_a_status_counts() {
    let wire: v1::TaskStatus =
        read(&json!({"task_id": {"value": "t"}, "state": "TASK_RUNNING", "data": "AAAA",
        "message": "m", "uuid": "AAAAAAAAAAAAAAAAAAAAAA==", "container_status": {"executor_pid": 7,
        "container_id": {"value": "c", "parent": {"value": "p"}}}}));
    let mut status = TaskStatus::try_from(&wire).expect("it is a status");
    status.state = TaskState::Lost;
    status.uuid = None;
    status.message = None;
    let changed = v1::TaskStatus::from(&status);
    let mut wanted = wire.clone();
    wanted.set_state(v1::TaskState::TaskLost);
    (wanted.uuid, wanted.message) = (None, None);
    assert_eq!(changed, wanted);
}

#[test]
fn recorded_frameworks_and_tasks_convert_and_pass_through() {
    let (mut frameworks, mut tasks) = (0, Vec::new());
    for (name, call) in bodies::<v1::scheduler::Call>(CALLS) {
        if let Some(info) = call.subscribe.and_then(|subscribe| subscribe.framework_info) {
            let framework =
                FrameworkDescription::try_from(&info).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(framework.can(FrameworkCapability::MultiRole), "{name}");
            assert_eq!(v1::FrameworkInfo::from(&framework), info, "{name}");
            frameworks += 1;
        }
        for operation in call.accept.unwrap_or_default().operations {
            tasks.extend(
                operation.launch.unwrap_or_default().task_infos.into_iter().map(|task| (name.clone(), task)),
            );
        }
    }
    assert!(frameworks > 2 && tasks.len() > 8, "{frameworks} frameworks, {} tasks", tasks.len());
    for (name, info) in tasks {
        match TaskDescription::try_from(&info) {
            Ok(task) => {
                assert_eq!(v1::TaskInfo::from(&task), info, "{name}");
                assert_eq!(task.details.as_bytes(), info.encode_to_vec(), "{name}");
                let record = task_record(&task, &"f".parse().unwrap(), TaskState::Staging);
                assert_eq!(record.name, info.name);
            }
            Err(error) => {
                assert!(name.contains("invalid_task_id"), "{name}: {error}");
                assert_eq!(error.path, "task_id.value");
            }
        }
    }
}

#[test]
fn descriptions_without_a_message_are_written_from_what_they_say() {
    let info: v1::FrameworkInfo = read(
        &json!({"user": "u", "name": "n", "failover_timeout": 60.5, "checkpoint": true,
        "roles": ["a", "b/c"], "hostname": "h", "principal": "p", "webui_url": "w", "id": {"value": "f"},
        "capabilities": [{"type": "PARTITION_AWARE"}, {"type": "MULTI_ROLE"}],
        "labels": {"labels": [{"key": "k", "value": "v"}, {"key": "k"}]},
        "offer_filters": {"a": {"min_allocatable_resources": {"quantities": [{"quantities": {"cpus": {"value": 0.5}}}]}}}}),
    );
    let mut framework = FrameworkDescription::try_from(&info).expect("it is a framework");
    assert_eq!(framework.failover_timeout, Duration::from_millis(60_500));
    framework.details = Default::default();
    assert_eq!(v1::FrameworkInfo::from(&framework), info);

    let info: v1::TaskInfo =
        read(&json!({"name": "n", "task_id": {"value": "t"}, "agent_id": {"value": "a"},
        "resources": [{"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}}],
        "executor": {"type": "CUSTOM", "executor_id": {"value": "e"}, "name": "x"},
        "kill_policy": {"grace_period": {"nanoseconds": 5}}, "max_completion_time": {"nanoseconds": 7},
        "limits": {"cpus": {"value": "Infinity"}, "mem": {"value": 64}}}));
    let mut task = TaskDescription::try_from(&info).expect("it is a task");
    assert_eq!(task.limits.values().collect::<Vec<_>>(), [&Limit::Infinite, &Limit::Amount(Milli(64_000))]);
    assert_eq!(task.executor.as_ref().map(|executor| executor.kind), Some(ExecutorKind::Custom));
    task.details = Default::default();
    task.executor.as_mut().unwrap().details = Default::default();
    assert_eq!(v1::TaskInfo::from(&task), info);
}

#[test]
fn a_master_is_found_by_what_mesos_wrote_of_it() {
    let events = bodies::<v1::scheduler::Event>(EVENTS);
    let subscribed = events.into_iter().find_map(|(_, event)| event.subscribed).expect("there is one");
    let mut wire = subscribed.master_info.expect("it names the master");
    let master = MasterDescription::try_from(&wire).expect("it is a master");
    assert_eq!((master.ip.to_string().as_str(), master.port), ("127.0.0.1", 5050));
    // Left out on purpose, see the conversion.
    wire.capabilities.retain(|capability| capability.r#type() != v1::master_info::capability::Type::QuotaV2);
    assert_eq!(v1::MasterInfo::from(&master), wire);
    wire.address = None;
    assert_eq!(MasterDescription::try_from(&wire), Ok(master), "from the number alone");
}

#[test]
fn an_agent_comes_out_as_it_went_in() {
    let wire: v1::AgentInfo = read(&json!({"hostname": "h", "port": 5051, "id": {"value": "S0"},
        "resources": [{"name": "cpus", "type": "SCALAR", "scalar": {"value": 2.0}, "role": "*"},
            {"name": "mem", "type": "SCALAR", "scalar": {"value": 64.0}, "role": "ops",
             "reservations": [{"type": "STATIC", "role": "ops"}]}],
        "attributes": [{"name": "rack", "type": "TEXT", "text": {"value": "r1"}},
            {"name": "gen", "type": "SCALAR", "scalar": {"value": 2.5}},
            {"name": "racks", "type": "RANGES", "ranges": {"range": [{"begin": 1, "end": 3}]}},
            {"name": "disks", "type": "SET", "set": {"item": ["sda", "sdb"]}}],
        "domain": {"fault_domain": {"region": {"name": "r"}, "zone": {"name": "z"}}}}));
    let agent = AgentDescription::try_from(&wire).expect("it is an agent");
    assert_eq!(agent.resources.cpus(), Milli(2_000));
    assert_eq!(v1::AgentInfo::from(&agent), wire);
    assert!(Attribute::try_from(&v1::Attribute::default()).is_err());
}

#[test]
fn both_formats_of_reservations_mean_the_same() {
    let resource_of = |more: Value| {
        let mut body = json!({"name": "cpus", "type": "SCALAR", "scalar": {"value": 1}});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        resource(body)
    };
    let pairs = [
        (json!({"role": "*"}), json!({})),
        (json!({"role": "ops"}), json!({"reservations": [{"type": "STATIC", "role": "ops"}]})),
        (
            json!({"role": "ops", "reservation": {"principal": "p", "labels": {"labels": [{"key": "k"}]}}}),
            json!({"reservations": [{"type": "DYNAMIC", "role": "ops", "principal": "p", "labels": {"labels": [{"key": "k"}]}}]}),
        ),
    ];
    for (single, stacked) in pairs {
        let resource = resource_of(single.clone()).expect("it is a resource");
        assert_eq!(resource_of(stacked.clone()), Ok(resource.clone()));
        let both = json_of(&resource_to_wire(&resource, ReservationFormat::Both));
        assert_eq!(resource_of(both.clone()), Ok(resource.clone()), "{both}");
        for (format, wanted) in [(ReservationFormat::Single, single), (ReservationFormat::Stacked, stacked)] {
            let wire = resource_to_wire(&resource, format);
            let fields = json_of(&wire);
            for key in ["role", "reservation", "reservations"] {
                assert_eq!(fields.get(key), wanted.get(key), "{key} in {format:?}");
            }
        }
    }
    let refined = resource_of(
        json!({"reservations": [{"type": "STATIC", "role": "eng"}, {"type": "DYNAMIC", "role": "eng/db"}]}),
    );
    let refined = refined.expect("it refines");
    assert_eq!(refined.reservations.last().map(|last| last.kind), Some(ReservationKind::Dynamic));
    let single = resource_to_wire(&refined, ReservationFormat::Single);
    assert_eq!(single, resource_to_wire(&refined, ReservationFormat::Stacked), "it has no single form");
}

#[test]
fn disks_keep_what_makes_them_special() {
    for disk in [
        json!({"persistence": {"id": "v", "principal": "p"}, "volume": {"container_path": "data", "mode": "RW"}}),
        json!({"source": {"type": "MOUNT", "mount": {"root": "/mnt/a"}}}),
        json!({"source": {"type": "RAW", "id": "i", "vendor": "x", "profile": "fast", "metadata": {"labels": [{"key": "k"}]}}}),
        json!({"source": {"type": "PATH", "path": {}}}),
    ] {
        let body = json!({"name": "disk", "type": "SCALAR", "scalar": {"value": 64.0}, "disk": disk, "shared": {},
            "revocable": {}, "provider_id": {"value": "rp"}, "allocation_info": {"role": "a"}});
        let resource = resource(body.clone()).expect("it is a disk");
        assert_eq!(json_of(&resource_to_wire(&resource, ReservationFormat::Stacked)), body);
    }
}

#[test]
fn what_makes_no_sense_is_named() {
    let cpus = |more: Value| {
        let mut body = json!({"name": "cpus", "type": "SCALAR"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        resource(body).expect_err("it makes no sense").to_string()
    };
    let one = json!({"value": 1});
    for (body, start) in [
        (json!({}), "scalar.value: is required"),
        (json!({"scalar": {"value": -1}}), "scalar.value: -1 is not an amount"),
        (json!({"scalar": {"value": "NaN"}}), "scalar.value: NaN is not an amount"),
        (json!({"scalar": one, "role": "a//b"}), "role: Role 'a//b'"),
        (json!({"scalar": one, "reservation": {}}), "reservation: needs a `role`"),
        (
            json!({"scalar": one, "reservations": [{"role": "a"}]}),
            "reservations[0].type: must be STATIC or DYNAMIC",
        ),
        (
            json!({"scalar": one, "reservations": [{"type": "STATIC", "role": "*"}]}),
            "reservations[0].role: nothing",
        ),
        (
            json!({"scalar": one, "reservations": [{"type": "STATIC", "role": "a"}, {"type": "DYNAMIC", "role": "b/c"}]}),
            "reservations[1]: role 'b/c' is not below 'a'",
        ),
        (
            json!({"scalar": one, "role": "b", "reservations": [{"type": "STATIC", "role": "a"}]}),
            "role: contradicts `reservations`",
        ),
        (json!({"scalar": one, "allocation_info": {"role": "-x"}}), "allocation_info.role: "),
    ] {
        let error = cpus(body.clone());
        assert!(error.starts_with(start), "{body}: {error}");
    }
    let ports = |begin: u64, end: u64| {
        read::<v1::Resource>(
            &json!({"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": begin, "end": end}]}}),
        )
    };
    let error =
        resources_from_wire("resources", &[ports(1, 2), ports(9, 8)]).expect_err("it ends before it begins");
    assert_eq!(error.to_string(), "resources[1].ranges.range[0].begin: 9 is after the end, 8");
    let error =
        resources_from_wire("resources", &[ports(1, 4), ports(3, 8)]).expect_err("3 and 4 are there twice");
    assert_eq!(error.path, "resources");
    assert_eq!(resources_from_wire("resources", &[]), Ok(Resources::EMPTY));
}

#[test]
fn a_framework_says_its_roles_in_one_way() {
    let refused = |more: Value| {
        let mut body = json!({"user": "u", "name": "n"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        FrameworkDescription::try_from(&read::<v1::FrameworkInfo>(&body)).map_err(|error| error.path)
    };
    let multi = json!([{"type": "MULTI_ROLE"}]);
    assert_eq!(refused(json!({})).map(|framework| framework.roles), Ok(vec![Role::star()]));
    assert_eq!(refused(json!({"role": "a"})).map(|framework| framework.roles.len()), Ok(1));
    assert_eq!(refused(json!({"roles": ["a"]})), Err("roles".to_owned()));
    assert_eq!(refused(json!({"roles": ["a"], "role": "a", "capabilities": multi})), Err("role".to_owned()));
    assert_eq!(refused(json!({"roles": ["a", "a"], "capabilities": multi})), Err("roles[1]".to_owned()));
    assert_eq!(refused(json!({"roles": ["a", "b c"], "capabilities": multi})), Err("roles[1]".to_owned()));
    assert_eq!(refused(json!({"failover_timeout": "NaN"})), Err("failover_timeout".to_owned()));
    assert_eq!(refused(json!({"failover_timeout": -1})).map(|f| f.failover_timeout), Ok(Duration::ZERO));
    assert_eq!(refused(json!({"id": {"value": "../x"}})), Err("id.value".to_owned()));
    let filter = json!({"offer_filters": {"a": {"min_allocatable_resources": {"quantities": [{"quantities": {"cpus": {"value": -1}}}]}}}});
    let place = "offer_filters[\"a\"].min_allocatable_resources.quantities[0].quantities[\"cpus\"].value";
    assert_eq!(refused(filter), Err(place.to_owned()));
}

#[test]
fn filters_and_kill_policies() {
    let filters = v1::Filters { refuse_seconds: Some(0.5) };
    assert_eq!(v1::Filters::from(&Filters::from(&filters)), filters);
    assert_eq!(Filters::from(&v1::Filters::default()), Filters::default());
    let policy = v1::KillPolicy { grace_period: Some(v1::DurationInfo { nanoseconds: Some(-1) }) };
    let error = chapada_model::KillPolicy::try_from(&policy).expect_err("time does not run backwards");
    assert_eq!(error.path, "grace_period.nanoseconds");
}
