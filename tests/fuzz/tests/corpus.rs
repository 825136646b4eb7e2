//! Every target over its seeds, every input that ever broke it, and a fixed number of inputs made of them.

use std::path::Path;

use chapada_fuzz::round::{Length, run};
use chapada_fuzz::{TARGETS, target};

fn feed(name: &str, made: u64) {
    let target = target(name).expect("the target is in the list");
    if let Err(broken) = run(target, 1, Length::Inputs(made)) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/fuzz-failures");
        let kept = broken.keep(target, &folder).expect("the input can be kept");
        panic!("{name} broke on {}: {}", kept.display(), broken.why);
    }
}

/// A test for each target, with the number of inputs that takes it about a second.
macro_rules! fed {
    ($($name:ident: $made:literal;)*) => {
        $(#[test]
        fn $name() {
            feed(stringify!($name), $made);
        })*

        #[test]
        fn every_target_is_fed() {
            let fed = [$(stringify!($name)),*];
            let known: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(fed.to_vec(), known);
        }
    };
}

fed! {
    wire_scheduler: 3000;
    wire_executor: 3000;
    wire_operator: 1000;
    wire_agent: 1000;
    recordio: 3000;
    convert: 3000;
    sdk_event: 3000;
    resources: 5000;
    offer_constraints: 200;
    leader_info: 5000;
    query: 3000;
    registry_page: 300;
    registry_state: 300;
    agent_log: 1000;
    services_store: 1000;
    app_definition: 1000;
    master_calls: 60;
    master_operator: 60;
    master_forms: 60;
    master_agents: 60;
    agent_commands: 100;
    agent_executors: 100;
    image_layer: 1000;
    image_documents: 3000;
    fetched_archive: 1000;
}
