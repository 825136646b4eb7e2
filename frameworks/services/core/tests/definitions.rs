//! Whatever a client sends as a definition is read without a panic, and what is accepted reads back the same.

use chapada_services_core::AppDefinition;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const FIELDS: [&str; 30] = [
    "id",
    "cmd",
    "args",
    "instances",
    "cpus",
    "mem",
    "disk",
    "gpus",
    "executor",
    "user",
    "env",
    "labels",
    "constraints",
    "acceptedResourceRoles",
    "role",
    "container",
    "networks",
    "portDefinitions",
    "ports",
    "requirePorts",
    "backoffSeconds",
    "backoffFactor",
    "maxLaunchDelaySeconds",
    "taskKillGracePeriodSeconds",
    "killSelection",
    "unreachableStrategy",
    "upgradeStrategy",
    "healthChecks",
    "fetch",
    "dependencies",
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
            "MESOS", "host", "tcp", "hostname", "UNIQUE", "MAX_PER", "2", "disabled", "*"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let name = prop::sample::select(vec![
            "port",
            "protocol",
            "name",
            "labels",
            "mode",
            "type",
            "docker",
            "inactiveAfterSeconds",
            "expungeAfterSeconds",
            "minimumHealthCapacity",
            "maximumOverCapacity",
            "secret",
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics_and_what_is_accepted_reads_back(object in definition()) {
        if let Ok(app) = AppDefinition::from_json(&object, "*") {
            let written = serde_json::to_value(&app).expect("plain values");
            let read = AppDefinition::from_json(written.as_object().expect("an object"), "*");
            prop_assert_eq!(read, Ok(app));
        }
    }
}
