//! Every rule for tasks and task groups, from the message on the wire to what the framework hears: one row a rule of
//! mesos-inventory 1.6, each with its own words.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chapada_master_core::{
    Accept, Call, Caller, Effect, Event, Held, LinkId, Master, RegistryState, SchedulerEvent, Settings,
    StreamId,
};
use chapada_model::{
    AgentCapability, AgentDescription, Filters, FrameworkDescription, Mono, Now, Payload, Reason, Role,
    TaskState, Wall,
};
use chapada_wire::{Json as _, v1};
use serde_json::{Value, json};

use super::operations::operation;

/// What mesos-inventory 1.6 asks for, in its order.
const RULES: [&str; 47] = [
    "id: not empty",
    "id: at most 255 bytes",
    "id: no slash",
    "id: neither '.' nor '..'",
    "id: no control character",
    "id: unique among live tasks",
    "agent_id: that of the offers",
    "resources: not empty",
    "resources: well formed",
    "resources: not negative",
    "resources: one allocation role",
    "resources: persistence ids unique",
    "resources: not revocable and not, of one name",
    "kill_policy.grace_period: not negative",
    "max_completion_time: not negative",
    "check: shape",
    "health_check: shape",
    "command: environment",
    "command: uris",
    "container: volumes",
    "command or executor: not neither",
    "command or executor: not both",
    "executor: CUSTOM or unset with LAUNCH",
    "executor: has a command",
    "executor: too little is only a warning",
    "executor: nothing shared",
    "executor: the same as the one that runs",
    "fit: task and executor within the offers",
    "fit: task and executor not of the same ports",
    "limits: only cpus and mem",
    "limits: of what is requested",
    "limits: not below the request",
    "limits: infinity is allowed",
    "limits: the agent must know them",
    "share_cgroups: false only in groups",
    "share_cgroups: not true on executors",
    "share_cgroups: one for all of an executor",
    "group: limits need share_cgroups=false",
    "group: executor.type set",
    "group: no Docker on the executor",
    "group: no Docker on a task",
    "group: no HTTP or TCP checks with a network of its own",
    "group: one executor for all",
    "group: executor has 0.01 cpus, 32 MB and a disk",
    "gpus: whole",
    "revocable: not on persistent volumes",
    "revocable: not reserved",
];

/// One agent, one framework with an offer of all of it.
struct Scene {
    master: Master,
    now: Now,
    caller: Caller,
}

fn description(limits: bool) -> AgentDescription {
    AgentDescription {
        id: None,
        hostname: "h".into(),
        port: 1,
        address: "".into(),
        resources: "cpus:4;mem:1024;disk:100;gpus:2;ports:[31000-31009]".parse().unwrap(),
        attributes: Vec::new(),
        domain: None,
        capabilities: if limits { [AgentCapability::TaskResourceLimits].into() } else { BTreeSet::new() },
        version: "1".into(),
        details: Payload::default(),
    }
}

fn framework() -> FrameworkDescription {
    FrameworkDescription {
        id: None,
        user: "u".into(),
        name: "n".into(),
        failover_timeout: Duration::ZERO,
        checkpoint: false,
        roles: vec![Role::star()],
        hostname: None,
        principal: None,
        webui_url: None,
        capabilities: [
            chapada_model::FrameworkCapability::GpuResources,
            chapada_model::FrameworkCapability::PartitionAware,
        ]
        .into(),
        labels: Vec::new(),
        offer_filters: BTreeMap::new(),
        details: Payload::default(),
    }
}

impl Scene {
    fn new(limits: bool) -> Self {
        let now = Now { mono: Mono(1), wall: Wall(1_700_000_000_000_000_000) };
        let master = Master::recover(now, Settings::new("m"), RegistryState::default());
        let stream = StreamId("s".into());
        let caller =
            Caller { framework: "m-0000".parse().unwrap(), stream: Some(stream.clone()), principal: None };
        let mut scene = Self { master, now, caller };
        let agent = description(limits);
        scene.apply(Event::AgentConnected { link: LinkId(1), agent, held: Held::default() });
        let (framework, suppressed) = (framework(), Vec::new());
        scene.apply(Event::Subscribe { stream, framework, suppressed, constraints: Default::default() });
        scene
    }

    /// What is to be durable is so at once.
    fn apply(&mut self, event: Event) {
        for effect in self.master.apply(self.now, event) {
            if let Effect::Record { ticket, .. } = effect {
                self.apply(Event::Recorded { ticket });
            }
        }
    }

    /// Accepts what is offered with one operation; what is said of its tasks, by reason and words.
    fn accept(&mut self, said: &Value) -> Vec<(TaskState, Reason, String)> {
        self.now.mono = self.now.mono + Duration::from_millis(5);
        self.apply(Event::Tick);
        let offers: Vec<_> = self.master.snapshot().offers.keys().cloned().collect();
        assert!(!offers.is_empty(), "nothing is offered");
        let wire = v1::offer::Operation::from_json(said.to_string().as_bytes()).unwrap();
        let filters = Filters { refuse: Duration::ZERO };
        let call = Call::Accept(Accept { offers, operations: vec![operation(&wire)], filters });
        let effects = self.master.apply_call(self.now, &self.caller, call).unwrap();
        effects.into_iter().filter_map(verdict).collect()
    }
}

fn verdict(effect: Effect) -> Option<(TaskState, Reason, String)> {
    match effect {
        Effect::ToFramework { event: SchedulerEvent::Update(status), .. } => {
            assert_eq!((status.source, status.uuid), (Some(chapada_model::Source::Master), None));
            Some((status.state, status.reason?, status.message.as_deref()?.to_owned()))
        }
        Effect::ToFramework {
            event: SchedulerEvent::UpdateMalformed { state, reason, message, .. }, ..
        } => Some((state, reason, message.to_string())),
        _ => None,
    }
}

fn scalar(name: &str, amount: f64) -> Value {
    json!({"name": name, "type": "SCALAR", "scalar": {"value": amount}})
}

fn task() -> Value {
    json!({
        "name": "t",
        "task_id": {"value": "t"},
        "agent_id": {"value": "m-S0"},
        "resources": [scalar("cpus", 1.0)],
        "command": {"value": "true"},
    })
}

/// The task with this laid over it; null takes a field away.
fn with(change: Value) -> Value {
    over(task(), change)
}

fn over(mut base: Value, change: Value) -> Value {
    for (name, value) in change.as_object().unwrap() {
        match value {
            Value::Null => drop(base.as_object_mut().unwrap().remove(name)),
            value => base[name] = value.clone(),
        }
    }
    base
}

fn launch(task: Value) -> Value {
    json!({"type": "LAUNCH", "launch": {"task_infos": [task]}})
}

fn executor(change: Value) -> Value {
    let base = json!({
        "executor_id": {"value": "e"},
        "command": {"value": "run"},
        "resources": [scalar("cpus", 0.1), scalar("mem", 64.0), scalar("disk", 1.0)],
    });
    over(base, change)
}

fn by_executor(change: Value) -> Value {
    with(json!({"command": null, "executor": executor(change)}))
}

/// A group of two tasks, the second with a change.
fn group(own: Value, change: Value) -> Value {
    let second = over(with(json!({"task_id": {"value": "u"}})), change);
    let default = json!({"type": "DEFAULT", "command": null});
    json!({"type": "LAUNCH_GROUP", "launch_group": {
        "executor": over(executor(default), own),
        "task_group": {"tasks": [task(), second]},
    }})
}

fn cgroups(share: bool) -> Value {
    json!({"type": "MESOS", "linux_info": {"share_cgroups": share}})
}

/// Rules of LAUNCH that one task breaks, with the words that it hears.
fn broken() -> Vec<(&'static str, Value, &'static str)> {
    let resources = |list: Value| with(json!({"resources": list}));
    let named = |id: &str| with(json!({"task_id": {"value": id}}));
    let volume = |size: f64| {
        over(
            scalar("disk", size),
            json!({"role": "ops", "disk": {"persistence": {"id": "v"},
            "volume": {"container_path": "data", "mode": "RW"}}}),
        )
    };
    let revocable = |base: Value| over(base, json!({"revocable": {}}));
    let ports =
        json!({"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": 31000, "end": 31000}]}});
    let nanoseconds = json!({"nanoseconds": -1});
    let limit = |name: &str, most: f64| with(json!({"limits": {name: {"value": most}}}));
    vec![
        ("id: not empty", named(""), "task_id"),
        ("id: at most 255 bytes", named(&"a".repeat(256)), "task_id"),
        ("id: no slash", named("a/b"), "task_id"),
        ("id: neither '.' nor '..'", named(".."), "task_id"),
        ("id: no control character", named("a\nb"), "task_id"),
        (
            "agent_id: that of the offers",
            with(json!({"agent_id": {"value": "x"}})),
            "Task uses invalid agent x while agent m-S0 is expected",
        ),
        ("resources: not empty", resources(json!([])), "Task uses no resources"),
        (
            "resources: well formed",
            resources(json!([{"name": "cpus", "type": "SCALAR"}])),
            "resources[0].scalar",
        ),
        ("resources: not negative", resources(json!([scalar("cpus", -1.0)])), "resources[0].scalar"),
        (
            "resources: one allocation role",
            resources(json!([over(scalar("cpus", 1.0), json!({"allocation_info": {"role": "x"}}))])),
            "is allocated to another role than the offers' *",
        ),
        (
            "resources: persistence ids unique",
            resources(json!([
                volume(1.0),
                over(
                    volume(2.0),
                    json!({"provider_id":
            {"value": "p"}})
                )
            ])),
            "Persistence ID 'v' is there twice",
        ),
        (
            "resources: not revocable and not, of one name",
            resources(json!([scalar("cpus", 1.0), revocable(scalar("cpus", 1.0))])),
            "Resource cpus is used both revocable and not",
        ),
        (
            "kill_policy.grace_period: not negative",
            with(json!({"kill_policy": {"grace_period": nanoseconds}})),
            "kill_policy.grace_period",
        ),
        (
            "max_completion_time: not negative",
            with(json!({"max_completion_time": nanoseconds})),
            "max_completion_time",
        ),
        ("check: shape", with(json!({"check": {"type": "TCP"}})), "'check.tcp' must be set"),
        (
            "health_check: shape",
            with(json!({"health_check": {"type": "HTTP"}})),
            "'health_check.http' must be set",
        ),
        (
            "command: environment",
            with(json!({"command": {"value": "x", "environment": {"variables":
            [{"name": "A"}]}}})),
            "Environment variable 'A' of type 'VALUE' must have a value set",
        ),
        (
            "command: uris",
            with(json!({"command": {"value": "x", "uris": [{"value": ""}]}})),
            "'command.uris[0].value' must not be empty",
        ),
        (
            "container: volumes",
            with(json!({"container": {"type": "MESOS", "volumes":
            [{"container_path": "", "mode": "RW"}]}})),
            "'container.volumes[0].container_path' must not be empty",
        ),
        (
            "command or executor: not neither",
            with(json!({"command": null})),
            "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present",
        ),
        (
            "command or executor: not both",
            with(json!({"executor": executor(json!({}))})),
            "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present",
        ),
        (
            "executor: CUSTOM or unset with LAUNCH",
            by_executor(json!({"type": "DEFAULT"})),
            "'ExecutorInfo.type' must be CUSTOM or absent",
        ),
        (
            "executor: has a command",
            by_executor(json!({"command": null})),
            "'ExecutorInfo.command' must be set for 'CUSTOM' executor",
        ),
        (
            "executor: nothing shared",
            by_executor(json!({"resources": [over(volume(1.0), json!({"shared": {}}))]})),
            "Executor resources must not be shared",
        ),
        (
            "fit: task and executor within the offers",
            by_executor(json!({"resources": [scalar("cpus", 3.5)]})),
            "required by task and its executor is more than available",
        ),
        (
            "fit: task and executor not of the same ports",
            over(
                by_executor(json!({"resources": [ports]})),
                json!({"resources": [scalar("cpus", 1.0), ports]}),
            ),
            "Task and its executor use the same resource",
        ),
        ("limits: only cpus and mem", limit("disk", 1.0), "Resource limits are not supported for disk"),
        ("limits: of what is requested", limit("mem", 1.0), "Task has a limit for mem but requests none"),
        (
            "limits: not below the request",
            limit("cpus", 0.5),
            "Task's limit for cpus, 0.5, is less than its request, 1",
        ),
        (
            "share_cgroups: false only in groups",
            with(json!({"container": cgroups(false)})),
            "'container.linux_info.share_cgroups' can be false only for tasks of a task group",
        ),
        (
            "share_cgroups: not true on executors",
            by_executor(json!({"container": cgroups(true)})),
            "'executor.container.linux_info.share_cgroups' must not be true for an executor",
        ),
        (
            "gpus: whole",
            resources(json!([scalar("gpus", 0.5)])),
            "The 'gpus' resource must be an unsigned integer",
        ),
        (
            "revocable: not on persistent volumes",
            resources(json!([revocable(over(volume(1.0), json!({"role": null})))])),
            "is revocable and must be neither reserved nor a volume",
        ),
        (
            "revocable: not reserved",
            resources(json!([revocable(over(scalar("cpus", 1.0), json!({"role": "ops"})))])),
            "is revocable and must be neither reserved nor a volume",
        ),
    ]
}

/// Rules of LAUNCH_GROUP that a group breaks, with the words that each of its tasks hears.
fn broken_groups() -> Vec<(&'static str, Value, &'static str)> {
    let none = || json!({});
    let docker = || json!({"container": {"type": "DOCKER", "docker": {"image": "i"}}});
    let networked = json!({
        "container": {"type": "MESOS", "network_infos": [{"name": "n"}]},
        "health_check": {"type": "TCP", "tcp": {"port": 80}},
    });
    let other = executor(json!({"type": "DEFAULT", "command": null, "executor_id": {"value": "other"}}));
    let of = |cpus: f64, mem: f64, disk: f64| json!({"resources": [scalar("cpus", cpus), scalar("mem", mem), scalar("disk", disk)]});
    let least = "group: executor has 0.01 cpus, 32 MB and a disk";
    vec![
        (
            "share_cgroups: one for all of an executor",
            group(none(), json!({"container": cgroups(false)})),
            "all tasks of one executor must say the same in 'share_cgroups'",
        ),
        (
            "group: limits need share_cgroups=false",
            group(none(), json!({"limits": {"cpus": {"value": 2.0}}})),
            "need 'share_cgroups' to be false",
        ),
        ("group: executor.type set", group(json!({"type": null}), none()), "'ExecutorInfo.type' must be set"),
        ("group: no Docker on the executor", group(docker(), none()), "not supported on the executor"),
        (
            "group: no Docker on a task",
            group(none(), docker()),
            "Docker ContainerInfo is not supported on the task",
        ),
        (
            "group: no HTTP or TCP checks with a network of its own",
            group(none(), networked),
            "HTTP and TCP health checks are not supported for a task with a network of its own",
        ),
        ("group: one executor for all", group(none(), json!({"executor": other})), "its 'executor' differs"),
        (least, group(of(0.001, 64.0, 1.0), none()), "Executor's cpus 0.001 is less than the minimum 0.01"),
        (least, group(of(0.1, 31.0, 1.0), none()), "Executor's mem 31 is less than the minimum 32"),
        (
            least,
            group(json!({"resources": [scalar("cpus", 0.1), scalar("mem", 64.0)]}), none()),
            "Executor's disk is not set",
        ),
    ]
}

#[test]
fn each_rule_has_its_words_and_none_is_missing() {
    let mut seen = BTreeSet::new();
    for (rule, task, words) in broken() {
        let said = Scene::new(true).accept(&launch(task));
        let [(state, reason, message)] = &said[..] else { panic!("{rule}: {said:?}") };
        assert_eq!((*state, *reason), (TaskState::Error, Reason::TaskInvalid), "{rule}: {message}");
        assert!(message.contains(words), "{rule}: '{message}' has no '{words}'");
        seen.insert(rule);
    }
    for (rule, group, words) in broken_groups() {
        let said = Scene::new(true).accept(&group);
        assert_eq!(said.len(), 2, "{rule}: the group fails as a whole: {said:?}");
        for (state, reason, message) in said {
            assert_eq!((state, reason), (TaskState::Error, Reason::TaskGroupInvalid), "{rule}: {message}");
            assert!(message.contains(words), "{rule}: '{message}' has no '{words}'");
        }
        seen.insert(rule);
    }
    for (rule, check) in IN_STEPS {
        check(rule);
        seen.insert(*rule);
    }
    assert_eq!(seen, RULES.into_iter().collect());
}

type Check = fn(&str);

/// Rules that take more than one task to break, and what is no breach.
const IN_STEPS: &[(&str, Check)] = &[
    ("id: unique among live tasks", |rule| {
        let mut scene = Scene::new(true);
        assert_eq!(scene.accept(&launch(task())), [], "{rule}");
        let said = scene.accept(&launch(task()));
        assert!(
            matches!(&said[..], [(TaskState::Error, Reason::TaskInvalid, m)] if m == "Task has duplicate ID: t")
        );
    }),
    ("executor: the same as the one that runs", |rule| {
        let mut scene = Scene::new(true);
        assert_eq!(scene.accept(&launch(by_executor(json!({})))), [], "{rule}");
        let id = json!({"task_id": {"value": "u"}});
        let changed = over(by_executor(json!({"name": "other"})), id.clone());
        let said = scene.accept(&launch(changed));
        let words = "ExecutorInfo is not compatible with existing ExecutorInfo with same ExecutorID 'e'";
        assert!(matches!(&said[..], [(TaskState::Error, Reason::TaskInvalid, m)] if m == words), "{said:?}");
        assert_eq!(scene.accept(&launch(over(by_executor(json!({})), id))), [], "{rule}");
    }),
    ("executor: too little is only a warning", |rule| {
        let little = json!({"resources": [scalar("cpus", 0.001), scalar("mem", 1.0)]});
        assert_eq!(Scene::new(true).accept(&launch(by_executor(little))), [], "{rule}");
    }),
    ("limits: infinity is allowed", |rule| {
        let mut task = v1::TaskInfo::from_json(task().to_string().as_bytes()).unwrap();
        task.limits.insert("cpus".to_owned(), v1::value::Scalar { value: Some(f64::INFINITY) });
        let launch = v1::offer::operation::Launch { task_infos: vec![task] };
        let wire = v1::offer::Operation {
            r#type: Some(v1::offer::operation::Type::Launch as i32),
            launch: Some(launch),
            ..Default::default()
        };
        let read = operation(&wire);
        let is_valid = matches!(&read, chapada_master_core::Operation::Launch { tasks }
            if matches!(tasks[..], [chapada_master_core::Proposal::Valid(_)]));
        assert!(is_valid, "{rule}: {read:?}");
    }),
    ("limits: the agent must know them", |rule| {
        let limited = with(json!({"limits": {"cpus": {"value": 2.0}}}));
        let said = Scene::new(false).accept(&launch(limited.clone()));
        let words = "Task has resource limits, but its agent does not support them";
        assert!(
            matches!(&said[..], [(TaskState::Error, Reason::TaskInvalid, m)] if m == words),
            "{rule}: {said:?}"
        );
        assert_eq!(Scene::new(true).accept(&launch(limited)), []);
    }),
];
