//! What is said to help is done, and the launcher, which knows nothing of it, launches.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::bed::{Agent, Bed};

#[derive(Clone, Debug)]
struct Case {
    agents: Vec<(u64, u64, usize)>,
    app: Value,
}

fn cases() -> impl Strategy<Value = Case> {
    let agents = prop::collection::vec((0_u64..4_000, 0_u64..4_000, 0_usize..3), 1..6);
    let rule = prop_oneof![
        Just(json!(["rack", "IS", "r1"])),
        Just(json!(["rack", "UNLIKE", "r1"])),
        Just(json!(["hostname", "UNIQUE"])),
        Just(json!(["hostname", "LIKE", "h[01]"])),
        Just(json!(["rack", "CLUSTER"])),
        Just(json!(["rack", "GROUP_BY", "2"])),
        Just(json!(["rack", "MAX_PER", "1"])),
    ];
    let rules = prop::collection::vec(rule, 0..3);
    let ports = prop_oneof![
        Just(json!({"ports": []})),
        Just(json!({"ports": [0]})),
        Just(json!({"ports": [31_000], "requirePorts": true})),
        Just(json!({"ports": [80], "requirePorts": true})),
    ];
    (agents, 1_u64..50, 32_u64..5_000, 1_u32..5, rules, ports).prop_map(
        |(agents, cpus, mem, instances, constraints, ports)| {
            let mut app = json!({
                "id": "/a", "cmd": "true", "cpus": cpus as f64 / 10.0, "mem": mem, "instances": instances,
                "constraints": constraints,
            });
            app.as_object_mut().expect("an object").extend(ports.as_object().expect("an object").clone());
            Case { agents, app }
        },
    )
}

fn bed_of(case: &Case) -> Bed {
    let agent = |(number, (cpus, mem, rack)): (usize, &(u64, u64, usize))| {
        Agent::new(&format!("h{number}"), *cpus, *mem).with("rack", ["r1", "r2", "r3"][*rack])
    };
    let mut bed = Bed::new(case.agents.iter().enumerate().map(agent));
    bed.create(case.app.clone());
    bed
}

proptest! {
    #[test]
    fn the_change_that_is_named_really_places_it(case in cases()) {
        let before = bed_of(&case);
        let launched = before.tasks.len();
        let explanation = before.why("/a");
        let waiting = case.app["instances"].as_u64().unwrap() as usize - launched;
        prop_assert_eq!(explanation.waiting, waiting);
        prop_assert!(waiting == 0 || explanation.funnel.fitting() == 0, "what fits was not launched: {explanation:?}");
        let Some(reason) = explanation.reasons.iter().find(|reason| reason.count > 0) else {
            prop_assert_eq!(waiting, 0);
            return Ok(());
        };
        prop_assert!(!reason.suggestions.is_empty(), "nothing is suggested: {}", reason.sentence);
        for suggestion in &reason.suggestions {
            let Some(patch) = suggestion.patch.clone() else { continue };
            let mut bed = bed_of(&case);
            bed.update("/a", patch.clone());
            bed.pass(1);
            let more = bed.tasks.len() - launched;
            prop_assert!(more >= 1, "{} did not help: {:?}", suggestion.sentence, bed.why("/a"));
            // Without tasks of before, which count no more once the definition has changed, it is as many as was said.
            if launched == 0 && case.app["constraints"] == json!([]) {
                prop_assert_eq!(more, suggestion.fits, "{}", suggestion.sentence);
            }
        }
    }
}
