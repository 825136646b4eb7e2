//! Each rule by its words.

use chapada_wire::v1;

use super::{group, task};

fn command(value: &str) -> v1::CommandInfo {
    v1::CommandInfo { value: Some(value.to_owned()), ..v1::CommandInfo::default() }
}

fn info(id: &str) -> v1::TaskInfo {
    v1::TaskInfo {
        name: Some(id.to_owned()),
        task_id: Some(v1::TaskId { value: Some(id.to_owned()) }),
        command: Some(command("true")),
        ..v1::TaskInfo::default()
    }
}

/// A task with this in JSON laid over it.
fn with(change: impl FnOnce(&mut v1::TaskInfo)) -> v1::TaskInfo {
    let mut task = info("t");
    change(&mut task);
    task
}

fn variable(change: impl FnOnce(&mut v1::environment::Variable)) -> v1::TaskInfo {
    let mut variable = v1::environment::Variable {
        name: Some("NAME".to_owned()),
        value: Some("value".to_owned()),
        ..Default::default()
    };
    change(&mut variable);
    with(|task| {
        let environment = v1::Environment { variables: vec![variable] };
        task.command.as_mut().unwrap().environment = Some(environment);
    })
}

fn health(change: impl FnOnce(&mut v1::HealthCheck)) -> v1::TaskInfo {
    let mut check = v1::HealthCheck {
        r#type: Some(v1::health_check::Type::Http as i32),
        http: Some(v1::health_check::HttpCheckInfo { port: Some(80), ..Default::default() }),
        ..Default::default()
    };
    change(&mut check);
    with(|task| task.health_check = Some(check))
}

fn check(change: impl FnOnce(&mut v1::CheckInfo)) -> v1::TaskInfo {
    let mut check = v1::CheckInfo {
        r#type: Some(v1::check_info::Type::Tcp as i32),
        tcp: Some(v1::check_info::Tcp { port: Some(80) }),
        ..Default::default()
    };
    change(&mut check);
    with(|task| task.check = Some(check))
}

fn linux(share: bool) -> v1::ContainerInfo {
    let linux_info = Some(v1::LinuxInfo { share_cgroups: Some(share), ..Default::default() });
    v1::ContainerInfo { linux_info, ..Default::default() }
}

fn volume(change: impl FnOnce(&mut v1::Volume)) -> v1::TaskInfo {
    let mut volume = v1::Volume {
        container_path: Some("data".to_owned()),
        host_path: Some("/data".to_owned()),
        ..Default::default()
    };
    change(&mut volume);
    let container = v1::ContainerInfo { volumes: vec![volume], ..Default::default() };
    with(|task| task.container = Some(container))
}

#[test]
fn what_is_right_passes() {
    for good in [info("t"), variable(|_| {}), health(|_| {}), check(|_| {}), volume(|_| {})] {
        assert_eq!(task(&good), Ok(()));
    }
}

#[test]
fn each_rule_has_its_words() {
    let uri = |value: &str, output: &str| {
        with(|task| {
            let (value, output_file) = (Some(value.to_owned()), Some(output.to_owned()));
            let uri = v1::command_info::Uri { value, output_file, ..Default::default() };
            task.command.as_mut().unwrap().uris = vec![uri];
        })
    };
    let secret = v1::environment::variable::Type::Secret as i32;
    let cases = [
        (uri("", "x"), "'command.uris[0].value' must not be empty"),
        (uri("u", "../x"), "'command.uris[0].output_file' must lie below the sandbox"),
        (variable(|v| v.name = Some("A=B".to_owned())), "Environment variable name 'A=B'"),
        (variable(|v| v.value = None), "of type 'VALUE' must have a value set"),
        (variable(|v| v.secret = Some(Default::default())), "of type 'VALUE' must not have a secret set"),
        (variable(|v| v.r#type = Some(secret)), "of type 'SECRET' must have a secret set"),
        (
            variable(|v| (v.r#type, v.secret) = (Some(secret), Some(Default::default()))),
            "of type 'SECRET' must not have a value set",
        ),
        (variable(|v| v.r#type = Some(0)), "has an unknown type"),
        (health(|c| c.r#type = None), "'health_check.type' must be COMMAND, HTTP or TCP"),
        (health(|c| c.http = None), "'health_check.http' must be set"),
        (health(|c| c.command = Some(command("x"))), "must set 'health_check.http' alone"),
        (
            health(|c| c.http.as_mut().unwrap().scheme = Some("ftp".to_owned())),
            "'health_check.http.scheme' must be",
        ),
        (
            health(|c| c.http.as_mut().unwrap().path = Some("x".to_owned())),
            "'health_check.http.path' must start",
        ),
        (health(|c| c.http.as_mut().unwrap().port = Some(70_000)), "port 70000"),
        (
            health(|c| c.grace_period_seconds = Some(-1.0)),
            "'health_check.grace_period_seconds' must not be negative",
        ),
        (check(|c| c.r#type = None), "'check.type' must be COMMAND, HTTP or TCP"),
        (check(|c| c.tcp = None), "'check.tcp' must be set"),
        (check(|c| c.interval_seconds = Some(f64::NAN)), "'check.interval_seconds' must not be negative"),
        (volume(|v| v.container_path = None), "'container.volumes[0].container_path' must not be empty"),
        (volume(|v| v.image = Some(Default::default())), "must set only one of 'host_path'"),
        (with(|t| t.container = Some(linux(false))), "can be false only for tasks of a task group"),
        (
            with(|t| {
                let executor = v1::ExecutorInfo { container: Some(linux(true)), ..Default::default() };
                t.executor = Some(executor);
            }),
            "'executor.container.linux_info.share_cgroups' must not be true",
        ),
    ];
    for (bad, words) in cases {
        let said = task(&bad).unwrap_err();
        assert!(said.contains(words), "'{said}' has no '{words}'");
    }
}

#[test]
fn a_group_holds_together() {
    let executor = v1::ExecutorInfo { name: Some("e".to_owned()), ..Default::default() };
    let docker =
        v1::ContainerInfo { r#type: Some(v1::container_info::Type::Docker as i32), ..Default::default() };
    let of = |change: &dyn Fn(&mut v1::TaskInfo)| vec![info("a"), with(|task| change(task))];
    assert_eq!(group(Some(&executor), &of(&|_| {})), Ok(()));
    let networked = |t: &mut v1::TaskInfo| {
        *t = health(|_| {});
        t.container =
            Some(v1::ContainerInfo { network_infos: vec![Default::default()], ..Default::default() });
    };
    let cases = [
        (of(&|t| t.container = Some(docker.clone())), "Docker ContainerInfo is not supported on the task"),
        (of(&networked), "HTTP and TCP health checks are not supported"),
        (of(&|t| t.executor = Some(Default::default())), "its 'executor' differs"),
        (of(&|t| t.container = Some(linux(false))), "must say the same in 'share_cgroups'"),
        (
            of(&|t| t.limits = [("cpus".to_owned(), Default::default())].into()),
            "need 'share_cgroups' to be false",
        ),
        (
            of(&|t| t.command.as_mut().unwrap().uris = vec![Default::default()]),
            "Task 't' is invalid: 'command.uris[0]",
        ),
    ];
    for (tasks, words) in cases {
        let said = group(Some(&executor), &tasks).unwrap_err();
        assert!(said.contains(words), "'{said}' has no '{words}'");
    }
    assert!(group(None, &[]).unwrap_err().contains("must be set"));
    let executor = v1::ExecutorInfo { container: Some(docker), ..executor };
    assert!(group(Some(&executor), &[]).unwrap_err().contains("on the executor"));
}
