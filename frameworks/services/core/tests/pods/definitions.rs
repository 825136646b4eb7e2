//! Definitions: defaults, what real ones look like, and that whatever is sent is read without a panic.

use chapada_services_core::{AppDefinition, Defaults, InvalidDefinition, pod_definition, read_pod};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// As a pod is written back.
fn written(definition: &AppDefinition) -> Value {
    let pod = definition.pod.as_ref().expect("a pod");
    Value::Object(pod_definition(definition, pod))
}

fn read(json: &Value) -> Result<AppDefinition, InvalidDefinition> {
    read_pod(json.as_object().expect("an object"), Defaults { role: "*", network: None })
}

#[test]
fn the_defaults_are_marathons() {
    let exec = json!({"command": {"shell": "sleep 1"}});
    let container = json!({"name": "a", "exec": exec, "resources": {"cpus": 0.1, "mem": 32}});
    let pod = read(&json!({"id": "p", "containers": [container]})).unwrap();
    assert_eq!(
        written(&pod),
        json!({
            "id": "/p", "labels": {}, "environment": {}, "secrets": {}, "volumes": [], "role": "*",
            "containers": [{
                "name": "a", "exec": {"command": {"shell": "sleep 1"}},
                "resources": {"cpus": 0.1, "mem": 32, "disk": 0, "gpus": 0},
            }],
            "networks": [{"mode": "host"}],
            "scaling": {"kind": "fixed", "instances": 1},
            "scheduling": {
                "backoff": {"backoff": 1, "backoffFactor": 1.15, "maxLaunchDelay": 300},
                "upgrade": {"minimumHealthCapacity": 1, "maximumOverCapacity": 1},
                "placement": {"constraints": [], "acceptedResourceRoles": []},
                "killSelection": "YOUNGEST_FIRST",
                "unreachableStrategy": {"inactiveAfterSeconds": 0, "expungeAfterSeconds": 0},
            },
            "executorResources": {"cpus": 0.1, "mem": 32, "disk": 10},
        })
    );
}

#[test]
fn checks_and_endpoints_have_marathons_defaults() {
    let pod = read(&json!({"id": "p", "containers": [{
        "name": "a", "exec": {"command": {"argv": ["serve"]}}, "resources": {"cpus": 0.1, "mem": 32},
        "endpoints": [{"name": "http"}], "healthCheck": {"http": {"endpoint": "http"}},
        "check": {"exec": {"command": {"shell": "true"}}}, "artifacts": [{"uri": "http://h/a"}],
    }]}))
    .unwrap();
    let container = &written(&pod)["containers"][0];
    assert_eq!(container["endpoints"], json!([{"name": "http", "hostPort": 0, "protocol": ["tcp"]}]));
    assert_eq!(
        container["healthCheck"],
        json!({
            "http": {"endpoint": "http", "path": "/", "scheme": "HTTP"}, "gracePeriodSeconds": 300,
            "intervalSeconds": 60, "timeoutSeconds": 20, "maxConsecutiveFailures": 3, "delaySeconds": 15,
        })
    );
    assert_eq!(
        container["check"],
        json!({
            "exec": {"command": {"shell": "true"}}, "intervalSeconds": 60, "timeoutSeconds": 20, "delaySeconds": 15,
        })
    );
    let artifact = json!([{"uri": "http://h/a", "extract": true, "executable": false, "cache": false}]);
    assert_eq!(container["artifacts"], artifact);
}

/// Every file in `definitions`, with what it says.
fn real() -> Vec<(String, Value)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pods/definitions");
    let files = std::fs::read_dir(folder).expect("the folder is there");
    let read = |path: std::path::PathBuf| {
        let text = std::fs::read_to_string(&path).expect("a file");
        (path.display().to_string(), serde_json::from_str(&text).expect("JSON"))
    };
    files.map(|file| read(file.expect("an entry").path())).collect()
}

/// Whether all of `part` is in `whole`.
fn is_within(part: &Value, whole: &Value) -> bool {
    match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => {
            part.iter().all(|(name, value)| whole.get(name).is_some_and(|whole| is_within(value, whole)))
        }
        (Value::Array(part), Value::Array(whole)) => {
            part.len() == whole.len() && part.iter().zip(whole).all(|(part, whole)| is_within(part, whole))
        }
        (Value::Number(part), Value::Number(whole)) => part.as_f64() == whole.as_f64(),
        (part, whole) => part == whole,
    }
}

#[test]
fn real_ones_are_accepted_and_nothing_of_them_is_lost() {
    let real = real();
    assert!(real.len() >= 4, "{} definitions", real.len());
    for (file, mut json) in real {
        let pod = read(&json).unwrap_or_else(|error| panic!("{file}: {error:?}"));
        let back = written(&pod);
        assert_eq!(read(&back), Ok(pod), "{file}");
        // What is written otherwise than it was said.
        json["id"] = back["id"].clone();
        if json["environment"]["WORKERS"] == 4 {
            json["environment"]["WORKERS"] = json!("4");
        }
        assert!(is_within(&json, &back), "{file}: of {json} is left {back}");
    }
}

#[test]
fn a_change_of_anything_but_the_number_needs_new_tasks() {
    let (_, json) = real().swap_remove(0);
    let pod = read(&json).unwrap();
    let changed = |pointer: &str, value: Value| {
        let mut json = written(&pod);
        *json.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
        read(&json).unwrap().needs_new_tasks(&pod)
    };
    assert!(!changed("/scaling/instances", json!(7)));
    assert!(changed("/containers/0/resources/mem", json!(4_000)));
    assert!(changed("/environment", json!({"OTHER": "1"})) || json["secrets"].is_object());
    assert!(changed("/scheduling/backoff/backoff", json!(9)));
}

const WORDS: [&str; 44] = [
    "name",
    "exec",
    "command",
    "shell",
    "argv",
    "overrideEntrypoint",
    "resources",
    "cpus",
    "mem",
    "disk",
    "gpus",
    "resourceLimits",
    "endpoints",
    "containerPort",
    "hostPort",
    "protocol",
    "networkNames",
    "image",
    "kind",
    "id",
    "forcePull",
    "environment",
    "secret",
    "user",
    "healthCheck",
    "check",
    "http",
    "tcp",
    "endpoint",
    "path",
    "volumeMounts",
    "mountPath",
    "readOnly",
    "artifacts",
    "uri",
    "labels",
    "lifecycle",
    "killGracePeriodSeconds",
    "constraints",
    "fieldName",
    "operator",
    "mode",
    "host",
    "persistent",
];
const FIELDS: [&str; 14] = [
    "id",
    "labels",
    "version",
    "user",
    "environment",
    "secrets",
    "role",
    "containers",
    "volumes",
    "networks",
    "scaling",
    "scheduling",
    "executorResources",
    "legacySharedCgroups",
];

/// Values near those that fields want.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        (-2i64..70_000).prop_map(Value::from),
        "[a-zA-Z/._é -]{0,12}".prop_map(Value::from),
        prop::sample::select(vec![
            "DOCKER",
            "host",
            "container",
            "tcp",
            "hostname",
            "UNIQUE",
            "disabled",
            "fixed"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let name = prop::sample::select(WORDS.to_vec());
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..6).prop_map(|pairs| {
                Value::Object(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
            }),
        ]
    })
}

/// A real definition with one thing anywhere in it replaced, or something made up.
fn definition() -> impl Strategy<Value = Map<String, Value>> {
    let field = (prop::sample::select(FIELDS.to_vec()), value());
    let made_up = prop::collection::vec(field, 0..6).prop_map(|fields| {
        fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<String, Value>>()
    });
    let real = prop::sample::select(real().into_iter().map(|(_, json)| json).collect::<Vec<Value>>());
    let changed = (real, value(), any::<prop::sample::Index>()).prop_map(|(mut json, value, at)| {
        let places = places(&json, String::new());
        let place = at.get(&places);
        if let Some(found) = json.pointer_mut(place) {
            *found = value;
        }
        json.as_object().cloned().unwrap_or_default()
    });
    prop_oneof![1 => made_up, 3 => changed]
}

fn places(json: &Value, path: String) -> Vec<String> {
    let below: Vec<String> = match json {
        Value::Object(object) => {
            object.iter().flat_map(|(name, value)| places(value, format!("{path}/{name}"))).collect()
        }
        Value::Array(list) => list
            .iter()
            .enumerate()
            .flat_map(|(index, value)| places(value, format!("{path}/{index}")))
            .collect(),
        _ => Vec::new(),
    };
    let own = (!path.is_empty()).then_some(path);
    own.into_iter().chain(below).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics_and_what_is_accepted_reads_back(object in definition()) {
        if let Ok(pod) = read(&Value::Object(object)) {
            prop_assert_eq!(read(&written(&pod)), Ok(pod));
        }
    }
}
