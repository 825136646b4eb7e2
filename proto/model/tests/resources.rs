//! No sum loses anything: the laws of resource arithmetic, held against resources of every shape.

use std::collections::BTreeSet;

use chapada_model::{
    Disk, DiskKind, DiskSource, Milli, Persistence, Range, Ranges, Reservation, Resource, ResourceValue,
    Resources, Role,
};
use proptest::prelude::*;

fn value() -> impl Strategy<Value = ResourceValue> {
    prop_oneof![
        (0_u64..5_000).prop_map(|n| ResourceValue::Scalar(Milli(n))),
        prop::collection::vec((0_u64..60, 0_u64..8), 0..5).prop_map(|pairs| {
            ResourceValue::Ranges(
                pairs.into_iter().map(|(begin, len)| Range { begin, end: begin + len }).collect(),
            )
        }),
        prop::collection::btree_set(prop::sample::select(vec!["a", "b", "c", "d"]), 0..3)
            .prop_map(|names| ResourceValue::Set(names.into_iter().map(Into::into).collect::<BTreeSet<_>>())),
    ]
}

fn source(kind: DiskKind, id: Option<&str>) -> Box<DiskSource> {
    Box::new(DiskSource {
        kind,
        root: Some("/mnt".into()),
        vendor: None,
        id: id.map(Into::into),
        profile: None,
        metadata: Vec::new(),
    })
}

fn of_source(kind: DiskKind, id: Option<&str>) -> Disk {
    Disk { source: Some(source(kind, id)), ..Disk::default() }
}

fn persistent(id: &str, kind: Option<DiskKind>) -> Disk {
    let persistence = Some(Persistence { id: id.into(), principal: None });
    Disk { persistence, source: kind.map(|kind| source(kind, None)), ..Disk::default() }
}

/// Every kind of disk there is: the agent's own, each source, raw storage with and without an id, volumes on what can hold
/// them.
fn disk() -> impl Strategy<Value = Option<Disk>> {
    prop::sample::select(vec![
        None,
        Some(of_source(DiskKind::Path, None)),
        Some(of_source(DiskKind::Mount, None)),
        Some(of_source(DiskKind::Block, None)),
        Some(of_source(DiskKind::Block, Some("b1"))),
        Some(of_source(DiskKind::Raw, None)),
        Some(of_source(DiskKind::Raw, Some("r1"))),
        Some(persistent("v1", None)),
        Some(persistent("v2", Some(DiskKind::Path))),
        Some(persistent("v3", Some(DiskKind::Mount))),
    ])
}

prop_compose! {
    fn resource()(
        name in prop::sample::select(vec!["cpus", "mem", "ports", "disk"]),
        value in value(),
        role in prop::sample::select(vec![None, Some("ops"), Some("ops/db")]),
        allocated in prop::sample::select(vec![None, Some("*"), Some("ops")]),
        disk in disk(),
        revocable in any::<bool>(),
        shared in any::<bool>(),
    ) -> Resource {
        let mut resource = Resource::new(name, value);
        resource.reservations = role.map(|role| Reservation::fixed(Role::new(role).expect("a valid role"))).into_iter().collect();
        resource.allocation_role = allocated.map(|role| Role::new(role).expect("a valid role"));
        resource.disk = disk;
        resource.revocable = revocable;
        resource.shared = shared;
        resource
    }
}

/// Resources that are valid together: an entry that conflicts with the ones before is left out.
fn resources() -> impl Strategy<Value = Resources> {
    prop::collection::vec(resource(), 0..8).prop_map(|list| {
        list.into_iter().fold(Resources::EMPTY, |sum, one| {
            let one = Resources::from_list([one]).expect("one resource alone has no conflict");
            sum.checked_add(&one).unwrap_or(sum)
        })
    })
}

proptest! {
    #[test]
    fn adding_then_taking_leaves_what_was_there(a in resources(), b in resources()) {
        if let Ok(sum) = a.checked_add(&b) {
            prop_assert!(sum.contains(&a) && sum.contains(&b));
            prop_assert_eq!(sum.checked_sub(&b).unwrap(), a.clone());
            prop_assert_eq!(sum.checked_sub(&a).unwrap(), b.clone());
            prop_assert_eq!(b.checked_add(&a).unwrap(), sum);
        }
    }

    #[test]
    fn what_is_contained_can_be_taken_and_put_back(a in resources(), b in resources()) {
        prop_assert_eq!(a.contains(&b), a.checked_sub(&b).is_ok());
        if let Ok(left) = a.checked_sub(&b) {
            prop_assert_eq!(left.checked_add(&b).unwrap(), a);
        }
    }

    #[test]
    fn what_is_in_both_is_the_most_that_can_be_taken(a in resources(), b in resources()) {
        let common = a.intersection(&b);
        prop_assert!(a.contains(&common) && b.contains(&common));
        prop_assert_eq!(a.contains(&b), common == b);
        let (rest_a, rest_b) = (a.checked_sub(&common), b.checked_sub(&common));
        prop_assert!(rest_a.expect("contained").intersection(&rest_b.expect("contained")).is_empty());
    }

    #[test]
    fn a_failed_change_changes_nothing(a in resources(), b in resources()) {
        let mut changed = a.clone();
        if changed.add(&b).is_err() {
            prop_assert_eq!(&changed, &a);
        }
        let mut changed = a.clone();
        if changed.sub(&b).is_err() {
            prop_assert_eq!(&changed, &a);
        }
    }

    #[test]
    fn equal_sets_of_numbers_are_equal_values(numbers in prop::collection::btree_set(0_u64..64, 0..40)) {
        let one = |n: &u64| Range { begin: *n, end: *n };
        let up: Ranges = numbers.iter().map(one).collect();
        let down: Ranges = numbers.iter().rev().map(one).collect();
        prop_assert_eq!(&up, &down);
        prop_assert_eq!(up.count(), numbers.len() as u64);
        prop_assert_eq!(up.numbers().collect::<BTreeSet<_>>(), numbers);
    }

    #[test]
    fn only_a_part_that_can_be_split_off_is_contained(kind in disk(), size in 2_u64..100, part in 1_u64..100) {
        let of = |amount| {
            let mut disk = Resource::scalar("disk", Milli::whole(amount));
            disk.disk.clone_from(&kind);
            Resources::from_list([disk]).expect("one resource alone has no conflict")
        };
        let splits = kind.as_ref().is_none_or(|disk| !disk.is_whole());
        prop_assert_eq!(of(size).contains(&of(part)), if splits { part <= size } else { part == size });
        prop_assert_eq!(of(size).checked_add(&of(part)).is_ok(), splits, "two of one whole thing cannot be");
        prop_assert_eq!(of(size).intersection(&of(part)).is_empty(), !splits && part != size);
    }

    #[test]
    fn what_is_shared_counts_once_and_the_rest_is_apart(a in resources(), b in resources()) {
        prop_assert!(a.contains(&a.shared()) && a.shared().shared() == a.shared());
        prop_assert!(a.unshared().shared().is_empty());
        let mut seen = a.unshared().into_owned();
        if seen.share(&a).is_ok() {
            prop_assert_eq!(seen.shared(), a.shared());
            prop_assert_eq!(seen.cpus(), a.cpus());
            let before = seen.clone();
            seen.share(&a).expect("it is there already");
            prop_assert_eq!(seen, before);
        }
        if let Ok(sum) = a.checked_add(&b) {
            prop_assert_eq!(&*sum.unshared(), &a.unshared().checked_add(&b.unshared()).expect("a part"));
        }
    }

    #[test]
    fn stored_and_read_again_is_the_same(a in resources()) {
        let text = serde_json::to_string(&a).unwrap();
        prop_assert_eq!(serde_json::from_str::<Resources>(&text).unwrap(), a);
    }
}

#[test]
fn each_source_of_disk_is_whole_or_splits() {
    let cases = [
        (of_source(DiskKind::Path, None), false),
        (of_source(DiskKind::Mount, None), true),
        (of_source(DiskKind::Block, None), true),
        (of_source(DiskKind::Raw, None), false),
        (of_source(DiskKind::Raw, Some("r")), true),
        (persistent("v", None), true),
        (persistent("v", Some(DiskKind::Path)), true),
    ];
    for (disk, whole) in cases {
        assert_eq!(disk.is_whole(), whole, "{disk:?}");
    }
}
