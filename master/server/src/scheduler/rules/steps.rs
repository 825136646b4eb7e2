//! Rules that take more than one task to break, and what is no breach.

use chapada_model::{Reason, TaskState};
use chapada_wire::{Json as _, v1};
use serde_json::json;

use super::super::operations::operation;
use super::said::*;
use super::scene::Scene;

pub(super) type Check = fn(&str);

/// Each rule with what shows it.
pub(super) const IN_STEPS: &[(&str, Check)] = &[
    ("operation: no id with LAUNCH and LAUNCH_GROUP", |rule| {
        for (operation, reason) in
            [(launch(task()), Reason::TaskInvalid), (group(json!({}), json!({})), Reason::TaskGroupInvalid)]
        {
            let said = Scene::new(true).accept(&over(operation, json!({"id": {"value": "o"}})));
            assert!(!said.is_empty(), "{rule}");
            for (state, why, message) in said {
                assert_eq!((state, why), (TaskState::Error, reason), "{rule}: {message}");
                assert!(message.contains("'Operation.id' must not be set for LAUNCH"), "{rule}: {message}");
            }
        }
    }),
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
