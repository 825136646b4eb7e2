//! Causes that were put there on purpose: each must be found, and the change that is named first must be the right one.

use chapada_model::{Role, TaskState};
use chapada_services_core::{Command, DeploymentId, Event, Explanation};
use serde_json::{Value, json};

use crate::bed::{Agent, Bed};

/// What was planted and what should be said of it.
struct Planted {
    name: &'static str,
    bed: Box<dyn FnOnce() -> Bed>,
    /// By its name in answers.
    cause: &'static str,
    /// The patch of the first suggestion, or a part of its sentence when it has none.
    change: Value,
    /// A part of the sentence.
    says: &'static str,
}

fn app(more: Value) -> Value {
    let mut app = json!({"id": "/a", "cmd": "true", "cpus": 1, "mem": 128});
    if more.get("portDefinitions").is_none() {
        app["ports"] = json!([]);
    }
    app.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    app
}

/// One app on these agents.
fn on(agents: impl IntoIterator<Item = Agent> + 'static, more: Value) -> Box<dyn FnOnce() -> Bed> {
    Box::new(move || {
        let mut bed = Bed::new(agents);
        bed.create(app(more));
        bed
    })
}

fn small() -> Agent {
    Agent::new("h1", 2_000, 1_024)
}

fn rack(name: &str, rack: &str) -> Agent {
    Agent::new(name, 2_000, 1_024).with("rack", rack)
}

fn amounts() -> Vec<Planted> {
    vec![
        Planted {
            name: "more memory than the only agent has",
            bed: on([small()], json!({"mem": 2048})),
            cause: "mem",
            change: json!({"mem": 1024}),
            says: "Needs 2 GiB of memory on an agent; the only agent offered has 1 GiB free (h1)",
        },
        Planted {
            name: "the largest of several agents counts",
            bed: on([small(), Agent::new("h2", 2_000, 3_174)], json!({"mem": 4096})),
            cause: "mem",
            change: json!({"mem": 3072}),
            says: "the largest of the 2 agents offered has 3 GiB free (h2)",
        },
        Planted {
            name: "more CPUs than any has",
            bed: on([small(), Agent::new("h2", 2_540, 512)], json!({"cpus": 4})),
            cause: "cpus",
            change: json!({"cpus": 2.5}),
            says: "Needs 4 CPUs on an agent; the largest of the 2 agents offered has 2.54 CPUs free (h2)",
        },
        Planted {
            name: "more disk than any has",
            bed: on([small()], json!({"disk": 4096})),
            cause: "disk",
            change: json!({"disk": 1024}),
            says: "Needs 4 GiB of disk",
        },
        Planted {
            name: "more GPUs than any has",
            bed: on([small().gpus(1)], json!({"gpus": 2})),
            cause: "gpus",
            change: json!({"gpus": 1}),
            says: "Needs 2 GPUs",
        },
        Planted {
            name: "a GPU where there are none",
            bed: on([small()], json!({"gpus": 1})),
            cause: "gpus",
            change: json!("it would fit if 1 GPU more were free on h1"),
            says: "Needs 1 GPU",
        },
        Planted {
            name: "CPUs and memory together",
            bed: on([small()], json!({"cpus": 4, "mem": 2048})),
            cause: "cpus",
            change: json!({"cpus": 2, "mem": 1024}),
            says: "Needs 4 CPUs",
        },
        Planted {
            name: "enough memory, but not beside the CPUs",
            bed: on(
                [Agent::new("h1", 4_000, 512), Agent::new("h2", 1_000, 8_192)],
                json!({"cpus": 2, "mem": 1024}),
            ),
            cause: "mem",
            change: json!({"mem": 512}),
            says: "on an agent with 2 CPUs free; the only such agent has 512 MiB free (h1)",
        },
        Planted {
            name: "other instances took it",
            bed: on([small()], json!({"instances": 3})),
            cause: "cpus",
            change: json!("it would fit if 1 CPU more were free on h1"),
            says: "has 0 CPUs free",
        },
        Planted {
            name: "another app took it",
            bed: Box::new(|| {
                let mut bed = Bed::new([small()]);
                bed.create(app(json!({"id": "/other", "mem": 1000})));
                bed.create(app(json!({"mem": 512})));
                bed
            }),
            cause: "mem",
            change: json!("it would fit if 488 MiB of memory more were free on h1"),
            says: "has 24 MiB free (h1)",
        },
        Planted {
            name: "memory on the rack that is asked for",
            bed: on(
                [rack("h1", "r1"), rack("h2", "r2"), Agent::new("h3", 2_000, 9_000).with("rack", "r1")],
                json!({"mem": 1200, "constraints": [["rack", "CLUSTER", "r2"]]}),
            ),
            cause: "mem",
            change: json!({"mem": 1024}),
            says: "on an agent with rack=r2; the only such agent has 1 GiB free (h2)",
        },
        Planted {
            name: "the rack is the smaller thing to give up",
            bed: on(
                [Agent::new("h1", 2_000, 200).with("rack", "r2"), rack("h2", "r1")],
                json!({"mem": 1000, "constraints": [["rack", "IS", "r2"]]}),
            ),
            cause: "mem",
            change: json!({"constraints": []}),
            says: "on an agent with rack=r2",
        },
        Planted {
            name: "hardly anything left of what is wanted",
            bed: on([Agent::new("h1", 100, 1_024)], json!({"cpus": 4})),
            cause: "cpus",
            change: json!("it would fit if 3.9 CPUs more were free on h1"),
            says: "Needs 4 CPUs",
        },
    ]
}

fn constraints() -> Vec<Planted> {
    let needs = |name, agents: Vec<Agent>, instances: u32, rules: Value, kept: Value, says| Planted {
        name,
        bed: on(agents, json!({"instances": instances, "constraints": rules, "cpus": 0.1})),
        cause: "constraint",
        change: json!({"constraints": kept}),
        says,
    };
    let racks = || vec![rack("h1", "r1"), rack("h2", "r2")];
    vec![
        needs(
            "no agent has the attribute",
            vec![small()],
            1,
            json!([["rack", "IS", "r2"]]),
            json!([]),
            "rack is not set on 1",
        ),
        needs(
            "another value",
            racks(),
            1,
            json!([["rack", "IS", "r3"]]),
            json!([]),
            "rack is r1 on 1, r2 on 1",
        ),
        needs("a pattern", racks(), 1, json!([["rack", "LIKE", "s.*"]]), json!([]), "a rack like s.*"),
        needs(
            "a pattern that is forbidden",
            racks(),
            1,
            json!([["rack", "UNLIKE", "r.*"]]),
            json!([]),
            "a rack unlike r.*",
        ),
        needs("one named rack", racks(), 1, json!([["rack", "CLUSTER", "r9"]]), json!([]), "rack=r9"),
        needs(
            "a host each",
            racks(),
            3,
            json!([["hostname", "UNIQUE"]]),
            json!([]),
            "by hostname, 2 have instances already",
        ),
        needs(
            "a rack each",
            racks(),
            3,
            json!([["rack", "UNIQUE"]]),
            json!([]),
            "a rack where no other instance is",
        ),
        needs(
            "two a host",
            racks(),
            5,
            json!([["hostname", "MAX_PER", "2"]]),
            json!([]),
            "fewer than 2 instances",
        ),
        needs(
            "a host by name",
            racks(),
            1,
            json!([["hostname", "LIKE", "db.*"]]),
            json!([]),
            "hostname is h1 on 1, h2 on 1",
        ),
        needs("a number", vec![small().with("gen", "4")], 1, json!([["gen", "IS", "5"]]), json!([]), "gen=5"),
        needs(
            "a zone",
            vec![small().in_zone("z1")],
            1,
            json!([["@zone", "IS", "z2"]]),
            json!([]),
            "@zone is z1 on 1",
        ),
        needs(
            "a region",
            vec![small().in_zone("z1")],
            1,
            json!([["@region", "IS", "there"]]),
            json!([]),
            "@region is here on 1",
        ),
        needs(
            "one of two rules",
            racks(),
            1,
            json!([["rack", "IS", "r1"], ["hostname", "LIKE", "h9"]]),
            json!([["rack", "IS", "r1"]]),
            "a hostname like h9",
        ),
        needs(
            "rules that nothing satisfies together",
            racks(),
            1,
            json!([["rack", "IS", "r1"], ["hostname", "IS", "h2"]]),
            json!([["rack", "IS", "r1"]]),
            "rack=r1 and hostname=h2",
        ),
        needs(
            "more groups than there are",
            racks(),
            3,
            json!([["rack", "GROUP_BY", "3"]]),
            json!([]),
            "no more instances than any other",
        ),
        Planted {
            name: "the rack that is next is full",
            bed: on(
                [rack("h1", "r1"), Agent::new("h2", 100, 1_024).with("rack", "r2")],
                json!({"instances": 2, "cpus": 0.5, "constraints": [["rack", "GROUP_BY", "2"]]}),
            ),
            cause: "cpus",
            change: json!({"constraints": []}),
            says: "with a rack with no more instances than any other",
        },
        Planted {
            name: "the rack of the others is full",
            bed: on(
                [rack("h1", "r1"), Agent::new("h2", 1_000, 1_024).with("rack", "r2")],
                json!({"instances": 3, "constraints": [["rack", "CLUSTER"]]}),
            ),
            cause: "cpus",
            change: json!({"constraints": []}),
            says: "with the rack of the other instances",
        },
    ]
}

fn offered() -> Vec<Planted> {
    vec![
        Planted {
            name: "nothing is reserved for the role it insists on",
            bed: Box::new(|| {
                let mut bed = Bed::of_role("web", [small()]);
                bed.create(app(json!({"acceptedResourceRoles": ["web"]})));
                bed
            }),
            cause: "role",
            change: json!({"acceptedResourceRoles": ["*", "web"]}),
            says: "Needs resources of the role web",
        },
        Planted {
            name: "all is reserved and it wants what is not",
            bed: Box::new(|| {
                let mut bed = Bed::of_role("web", [small().reserved_for("web")]);
                bed.create(app(json!({"acceptedResourceRoles": ["*"]})));
                bed
            }),
            cause: "role",
            change: json!({"acceptedResourceRoles": ["*", "web"]}),
            says: "Needs resources of the role *",
        },
        Planted {
            name: "a port that no agent offers",
            bed: on([small()], json!({"ports": [80], "requirePorts": true})),
            cause: "ports",
            change: json!({"requirePorts": false}),
            says: "Needs port 80",
        },
        Planted {
            name: "a port that another app has",
            bed: Box::new(|| {
                let mut bed = Bed::new([small()]);
                bed.create(app(json!({"id": "/other", "ports": [31_000], "requirePorts": true})));
                bed.create(app(json!({"ports": [31_000], "requirePorts": true})));
                bed
            }),
            cause: "ports",
            change: json!({"requirePorts": false}),
            says: "Needs port 31000",
        },
        Planted {
            name: "more ports than there are",
            bed: on(
                [small().ports(31_000, 31_001)],
                json!({"portDefinitions": [{"port": 0}, {"port": 0}, {"port": 0}]}),
            ),
            cause: "ports",
            change: json!(2),
            says: "Needs 3 ports on one agent; the only agent offered has 2 free",
        },
        Planted {
            name: "no ports at all",
            bed: on([small().ports(1, 0)], json!({"ports": [0]})),
            cause: "ports",
            change: json!("it would fit on one more agent with"),
            says: "has 0 free",
        },
        Planted {
            name: "the machine is to be left",
            bed: on([small().leaving()], json!({})),
            cause: "maintenance",
            change: json!("it would fit on one more agent with 1 CPU free and 128 MiB of memory free"),
            says: "is to be left for maintenance",
        },
        Planted {
            name: "only machines with GPUs, which it does not need",
            bed: on([small().gpus(4)], json!({})),
            cause: "scarce",
            change: json!("it would fit on one more agent"),
            says: "has GPUs, which are left to those who need some",
        },
        Planted {
            name: "no agent at all",
            bed: on([], json!({})),
            cause: "noOffers",
            change: json!("it would fit on one more agent with 1 CPU free"),
            says: "The master offers nothing to the role *",
        },
        Planted {
            name: "the agent is gone",
            bed: Box::new(|| {
                let mut bed = Bed::new([small()]);
                bed.create(app(json!({"id": "/other"})));
                bed.lose("h1");
                bed.pass(1);
                bed.create(app(json!({})));
                bed.pass(10);
                bed
            }),
            cause: "noOffers",
            change: json!("one more agent"),
            says: "the 1 agent known from before is full, held by others or gone",
        },
        Planted {
            name: "no master",
            bed: Box::new(|| {
                let mut bed = Bed::unconnected(Role::star(), [small()]);
                bed.create(app(json!({})));
                bed
            }),
            cause: "disconnected",
            change: Value::Null,
            says: "No master is connected",
        },
        Planted {
            name: "the master went away",
            bed: Box::new(|| {
                let mut bed = Bed::new([small()]);
                bed.apply(Event::Disconnected);
                bed.create(app(json!({})));
                bed
            }),
            cause: "disconnected",
            change: Value::Null,
            says: "No master is connected",
        },
    ]
}

fn deployment(bed: &Bed) -> DeploymentId {
    bed.services.deployments().next().expect("one is under way").id
}

fn failed(more: Value) -> Box<dyn FnOnce() -> Bed> {
    Box::new(move || {
        let mut bed = Bed::new([small()]);
        bed.create(app(more));
        bed.say(0, TaskState::Failed, "exited with status 1");
        bed
    })
}

fn running(more: Value, then: impl FnOnce(&mut Bed) + 'static) -> Box<dyn FnOnce() -> Bed> {
    Box::new(move || {
        let mut bed = Bed::new([small()]);
        bed.create(app(more));
        then(&mut bed);
        bed
    })
}

fn others() -> Vec<Planted> {
    let one_by_one = json!({"minimumHealthCapacity": 1, "maximumOverCapacity": 0});
    vec![
        Planted {
            name: "it failed",
            bed: failed(json!({"backoffSeconds": 60})),
            cause: "delayed",
            change: json!("it would start at once if its delay were reset"),
            says: "Waits 60 s until the next start, because its last task ended as TASK_FAILED on h1: exited with status 1",
        },
        Planted {
            name: "it failed, and would not fit either",
            bed: Box::new(|| {
                let mut bed = failed(json!({"backoffSeconds": 60}))();
                bed.lose("h1");
                bed.pass(10);
                bed
            }),
            cause: "delayed",
            change: json!("delay were reset"),
            says: "Waits 50 s",
        },
        Planted {
            name: "as many as may be are there",
            bed: running(json!({"instances": 2, "cpus": 0.1, "upgradeStrategy": one_by_one}), |bed| {
                bed.runs = false;
                bed.update("/a", json!({"cmd": "false"}).as_object().expect("an object").clone());
            }),
            cause: "capacity",
            change: json!({"upgradeStrategy": {"minimumHealthCapacity": 1.0, "maximumOverCapacity": 1.0}}),
            says: "1 instance waits until old ones are gone: at most 3 may be there at once",
        },
        Planted {
            name: "the deployment is paused",
            bed: running(json!({"cpus": 4}), |bed| {
                let deployment = deployment(bed);
                bed.command(Command::Pause(deployment));
            }),
            cause: "deployment",
            change: json!("when the deployment is resumed"),
            says: "is paused since",
        },
        Planted {
            name: "the canary waits",
            bed: running(
                json!({"instances": 2, "cpus": 0.1, "rollout": {"canary": [{"instances": 1}]}}),
                |bed| {
                    bed.update("/a", json!({"cmd": "false"}).as_object().expect("an object").clone());
                    bed.pass(1);
                },
            ),
            cause: "deployment",
            change: json!("when the canary is promoted"),
            says: "The canary has 1 of 2 instances; they are well and wait to be promoted",
        },
        Planted {
            name: "it is being started",
            bed: Box::new(|| {
                let mut bed = Bed::new([small()]);
                bed.runs = false;
                bed.create(app(json!({})));
                bed.say(0, TaskState::Staging, "");
                bed.pass(40);
                bed
            }),
            cause: "starting",
            change: Value::Null,
            says: "The task on h1 is being prepared since 40 s",
        },
        Planted {
            name: "nothing is heard of it",
            bed: Box::new(|| {
                let mut bed = Bed::new([small()]);
                bed.runs = false;
                bed.create(app(json!({})));
                bed.pass(10);
                bed
            }),
            cause: "starting",
            change: Value::Null,
            says: "was sent 10 s ago and nothing was heard of it yet",
        },
        Planted {
            name: "it is not well",
            bed: running(json!({"ports": [0], "healthChecks": [{"protocol": "TCP"}]}), |bed| {
                let task = bed.tasks[0].0.clone();
                bed.pass(1_000);
                for _ in 0..2 {
                    bed.apply(Event::Probed {
                        task: task.clone(),
                        check: 0,
                        result: Err("connection refused".to_owned()),
                    });
                }
            }),
            cause: "unhealthy",
            change: Value::Null,
            says: "The task on h1 is not well: connection refused",
        },
        Planted {
            name: "it has not been asked how it is",
            bed: running(json!({"ports": [0], "healthChecks": [{"protocol": "TCP"}]}), |_| {}),
            cause: "notReady",
            change: Value::Null,
            says: "has not passed its health checks yet",
        },
        Planted {
            name: "it does not stop",
            bed: running(json!({"instances": 2}), |bed| {
                bed.update("/a", json!({"instances": 1}).as_object().expect("an object").clone());
                bed.pass(12);
            }),
            cause: "stopping",
            change: Value::Null,
            says: "was told 12 s ago to stop and has not ended yet",
        },
        Planted {
            name: "its agent is out of reach",
            bed: running(json!({"unreachableStrategy": "disabled"}), |bed| {
                bed.say(0, TaskState::Unreachable, "");
                bed.pass(130);
            }),
            cause: "unreachable",
            change: Value::Null,
            says: "The task on h1 is out of reach since 3 min",
        },
        Planted {
            name: "nothing is wrong",
            bed: on([small()], json!({})),
            cause: "nothing",
            change: Value::Null,
            says: "Everything runs that should",
        },
    ]
}

fn is_change(explanation: &Explanation, expected: &Value) -> bool {
    let first = explanation.reasons[0].suggestions.first();
    match (first, expected) {
        (None, expected) => expected.is_null(),
        (Some(first), Value::String(part)) => first.patch.is_none() && first.sentence.contains(part.as_str()),
        (Some(first), Value::Number(ports)) => {
            let kept = first.patch.as_ref().and_then(|patch| patch["portDefinitions"].as_array());
            kept.is_some_and(|kept| Some(kept.len() as u64) == ports.as_u64())
        }
        (Some(first), expected) => first.patch.clone().map(Value::Object).as_ref() == Some(expected),
    }
}

#[test]
fn planted_causes_are_found_and_the_first_change_is_the_right_one() {
    let all: Vec<Planted> = [amounts(), constraints(), offered(), others()].into_iter().flatten().collect();
    let count = all.len();
    let mut wrong = Vec::new();
    for Planted { name, bed, cause, change, says } in all {
        let explanation = bed().why("/a");
        let first = &explanation.reasons[0];
        let right =
            first.cause.name() == cause && is_change(&explanation, &change) && first.sentence.contains(says);
        if !right {
            let suggestions = &first.suggestions;
            wrong.push(format!("{name}: {}: {}\n  {suggestions:?}", first.cause.name(), first.sentence));
        }
    }
    assert!(count >= 50, "only {count}");
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}
