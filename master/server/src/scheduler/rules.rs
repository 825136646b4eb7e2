//! Every rule for tasks and task groups, from the message on the wire to what the framework hears: one row a rule of
//! mesos-inventory 1.6, each with its own words.

mod broken;
mod said;
mod scene;
mod steps;

use std::collections::BTreeSet;

use chapada_model::{Reason, TaskState};

use broken::{broken, broken_groups};
use said::launch;
use scene::Scene;
use steps::IN_STEPS;

/// What mesos-inventory 1.6 asks for, in its order, after what 1.5 says of operations that launch.
const RULES: [&str; 48] = [
    "operation: no id with LAUNCH and LAUNCH_GROUP",
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
