//! Who a container is on the machine, where its ids are the machine's.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::place::*;
use crate::sessions::{exec, run};
use chapada_shim::*;

/// A number of no user of the machine, which may well be that of a group.
const UNLISTED: &str = "54321";
const WHO: &str = "echo $(grep -E '^(Uid|Gid|Groups):' /proc/self/status | tr -s '\\t' ' ')";

fn ids(uid: u32) -> String {
    format!("Uid: {uid} {uid} {uid} {uid} Gid: 65534 65534 65534 65534 Groups:\n")
}

#[test]
fn root_of_the_machine_is_refused_where_it_must_not_be() {
    let place = Place::new();
    let refused = |spec: &ContainerSpec| match place.run(spec).outcome {
        Outcome::NotStarted { error } => {
            assert!(error.message.contains("--allow-host-root"), "{}", error.message);
            error.failure
        }
        other => panic!("{other:?}"),
    };
    for user in [None, Some("root"), Some("0")] {
        let mut spec = place.spec(&format!("refused-{}", user.unwrap_or("none")), "true");
        spec.user = user.map(str::to_owned);
        spec.never_host_root = true;
        assert_eq!(refused(&spec), SetupFailure::User, "{user:?}");
    }
    let mut spec = place.spec("allowed", "id -u");
    spec.user = Some("nobody".to_owned());
    spec.never_host_root = true;
    assert_eq!(place.output_of(&spec), "65534\n");
}

#[test]
fn a_number_without_a_user_chooses_no_group_of_the_machine() {
    let place = Place::new();
    // Its sandbox is beneath this.
    place.directory(".");
    for never_host_root in [true, false] {
        let mut spec = place.spec(&format!("number-{never_host_root}"), &format!("{WHO}; touch made"));
        spec.user = Some(UNLISTED.to_owned());
        spec.never_host_root = never_host_root;
        assert_eq!(place.output_of(&spec), ids(54321));
        let made = fs::metadata(spec.sandbox.join("made")).unwrap();
        assert_eq!((made.uid(), made.gid()), (54321, 65534));
    }
}

#[test]
fn the_files_of_an_image_choose_no_group_of_the_machine() {
    let place = Place::new();
    let mut spec = place.own_root("image", WHO);
    // Of whom the image says that they are in `users` and in `video`.
    spec.user = Some("ann".to_owned());
    spec.never_host_root = true;
    assert_eq!(place.output_of(&spec), ids(1001));
    spec = place.own_root("as-before", WHO);
    spec.user = Some("ann".to_owned());
    let whole = "Uid: 1001 1001 1001 1001 Gid: 100 100 100 100 Groups: 44\n";
    assert_eq!(place.output_of(&spec), whole, "an operator lets it be root");
}

#[test]
fn the_user_and_group_of_an_image_choose_no_group_of_the_machine() {
    let place = Place::new();
    for (id, user) in [("numbers", "1001:0"), ("names", "ann:video"), ("number", "54321")] {
        let mut spec = place.own_root(id, &format!("{WHO}; sleep 1000"));
        spec.user = Some(user.to_owned());
        spec.never_host_root = true;
        let mut client = place.launcher.launch(&spec).unwrap().client;
        started(&mut client);
        let uid = if id == "number" { 54321 } else { 1001 };
        eventually("it says who it is", || place.sandbox_file(id, "stdout") == ids(uid));
        // Nor does a program beside it.
        let program = ExecSpec { user: Some("ann:video".to_owned()), ..exec(WHO) };
        let (outcome, said, errors) = run(&spec, &program);
        assert_eq!((outcome, said), (Outcome::Exited { code: 0 }, ids(1001)), "{errors}");
    }
}
