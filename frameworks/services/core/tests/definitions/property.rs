//! Whatever a client sends as a definition is read without a panic, and what is accepted reads back the same.

use chapada_services_core::AppDefinition;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const FIELDS: [&str; 38] = [
    "id",
    "cmd",
    "args",
    "instances",
    "cpus",
    "mem",
    "disk",
    "gpus",
    "resourceLimits",
    "executor",
    "user",
    "env",
    "secrets",
    "labels",
    "fetch",
    "uris",
    "constraints",
    "acceptedResourceRoles",
    "role",
    "container",
    "networks",
    "portDefinitions",
    "ports",
    "ipAddress",
    "requirePorts",
    "backoffSeconds",
    "backoffFactor",
    "maxLaunchDelaySeconds",
    "taskKillGracePeriodSeconds",
    "killSelection",
    "unreachableStrategy",
    "upgradeStrategy",
    "healthChecks",
    "readinessChecks",
    "check",
    "dependencies",
    "residency",
    "tty",
];

/// Values near those that fields want.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        (-2i64..70_000).prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        "[a-zA-Z/._é -]{0,12}".prop_map(Value::from),
        prop::sample::select(vec![
            "MESOS",
            "DOCKER",
            "host",
            "container",
            "container/bridge",
            "tcp",
            "udp,tcp",
            "hostname",
            "UNIQUE",
            "MAX_PER",
            "2",
            "disabled",
            "unlimited",
            "*",
            "RO",
            "RW",
            "BRIDGE",
            "USER",
            "COMMAND",
            "MESOS_HTTP",
            "HTTPS",
            "x",
            "/x",
            "a/b",
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let name = prop::sample::select(vec![
            "port",
            "protocol",
            "name",
            "labels",
            "mode",
            "type",
            "docker",
            "image",
            "network",
            "portMappings",
            "containerPort",
            "hostPort",
            "servicePort",
            "networkNames",
            "parameters",
            "key",
            "value",
            "privileged",
            "volumes",
            "containerPath",
            "hostPath",
            "secret",
            "source",
            "uri",
            "extract",
            "destPath",
            "linuxInfo",
            "seccomp",
            "ipcInfo",
            "shmSize",
            "profileName",
            "unconfined",
            "portIndex",
            "path",
            "command",
            "shell",
            "argv",
            "http",
            "tcp",
            "exec",
            "ipProtocol",
            "portName",
            "discovery",
            "ports",
            "number",
            "networkName",
            "cpus",
            "mem",
            "inactiveAfterSeconds",
            "expungeAfterSeconds",
            "minimumHealthCapacity",
            "maximumOverCapacity",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..4).prop_map(|pairs| {
                Value::Object(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
            }),
        ]
    })
}

fn definition() -> impl Strategy<Value = Map<String, Value>> {
    let field = (prop::sample::select(FIELDS.to_vec()), value());
    (prop::collection::vec(field, 0..6), any::<bool>()).prop_map(|(fields, whole)| {
        let mut object: Map<String, Value> =
            fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        if whole {
            object.insert("id".to_owned(), json!("/a"));
            object.entry("cmd").or_insert(json!("true"));
        }
        object
    })
}

/// An example of the suite with some of its values replaced by others.
fn changed_example() -> impl Strategy<Value = Map<String, Value>> {
    let examples: Vec<Map<String, Value>> = crate::suite::given();
    (prop::sample::select(examples), prop::collection::vec((any::<usize>(), value()), 1..4)).prop_map(
        |(example, changes)| {
            let mut whole = Value::Object(example);
            for (place, value) in changes {
                let count = count(&whole);
                replace(&mut whole, &mut (place % count), value);
            }
            whole.as_object().cloned().unwrap_or_default()
        },
    )
}

/// How many values there are in it, itself left out if it is a leaf.
fn count(value: &Value) -> usize {
    match value {
        Value::Array(list) => 1 + list.iter().map(count).sum::<usize>(),
        Value::Object(map) => 1 + map.values().map(count).sum::<usize>(),
        _ => 1,
    }
}

fn replace(at: &mut Value, place: &mut usize, value: Value) {
    if *place == 0 {
        *at = value;
        *place = usize::MAX;
        return;
    }
    *place -= 1;
    let children: Vec<&mut Value> = match at {
        Value::Array(list) => list.iter_mut().collect(),
        Value::Object(map) => map.values_mut().collect(),
        _ => Vec::new(),
    };
    for child in children {
        if *place == usize::MAX {
            return;
        }
        replace(child, place, value.clone());
    }
}

fn reads_back(object: &Map<String, Value>) -> Result<(), TestCaseError> {
    if let Ok(app) = AppDefinition::from_json(object, "*") {
        let written = serde_json::to_value(&app).expect("plain values");
        let read = AppDefinition::from_json(written.as_object().expect("an object"), "*");
        prop_assert_eq!(read, Ok(app));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics_and_what_is_accepted_reads_back(object in definition()) {
        reads_back(&object)?;
    }

    #[test]
    fn nor_does_anything_near_what_people_write(object in changed_example()) {
        reads_back(&object)?;
    }
}
