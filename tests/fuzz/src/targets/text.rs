//! What is written by hand: resources and attributes, constraints on offers, addresses, query strings.

use chapada_coordination::{LeaderInfo, MasterAddress, ZkAddress};
use chapada_master::edge::{self, Form, SchedulerCall};
use chapada_model::{Attribute, Resources};

use crate::corpus::{listed, recorded};
use crate::worlds::master::World;

/// Reads a text or a stored list. What is read is an amount: nothing minus itself is left, and twice is more.
pub(super) fn resources(bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    drop(Attribute::parse_list(text));
    let parsed = [text.parse().ok(), serde_json::from_slice::<Resources>(bytes).ok()];
    for resources in parsed.into_iter().flatten() {
        let nothing = resources.checked_sub(&resources).expect("it contains itself");
        assert!(nothing.is_empty(), "{resources:?} minus itself is {nothing:?}");
        assert!(resources.contains(&resources));
        if let Ok(twice) = resources.checked_add(&resources) {
            assert_eq!(twice.checked_sub(&resources).as_ref(), Ok(&resources));
        }
        let stored = serde_json::to_vec(&resources).expect("resources can be stored");
        assert_eq!(serde_json::from_slice::<Resources>(&stored).ok().as_ref(), Some(&resources));
        assert!(resources.ports().take(3).count() <= 3);
    }
}

pub(super) fn resources_seeds() -> Vec<Vec<u8>> {
    let texts = listed("resources.txt");
    let stored = texts.iter().filter_map(|text| text.parse::<Resources>().ok());
    let stored: Vec<_> = stored.filter_map(|resources| serde_json::to_vec(&resources).ok()).collect();
    texts.into_iter().map(String::into_bytes).chain(stored).collect()
}

/// A subscription with these constraints, and the allocator at work with them.
pub(super) fn offer_constraints(bytes: &[u8]) {
    let Ok(constraints) = serde_json::from_slice::<serde_json::Value>(bytes) else { return };
    let call = serde_json::json!({
        "type": "SUBSCRIBE",
        "subscribe": {
            "framework_info": {"user": "u", "name": "n", "roles": ["ops"], "capabilities": [{"type": "MULTI_ROLE"}]},
            "offer_constraints": constraints,
        },
    });
    let read = edge::scheduler_call(call.to_string().as_bytes(), Form::Json);
    if let Ok(subscribe @ SchedulerCall::Subscribe { .. }) = read {
        World::small().call(subscribe);
    }
}

pub(super) fn offer_constraints_seeds() -> Vec<Vec<u8>> {
    listed("offer-constraints.jsonl").into_iter().map(String::into_bytes).collect()
}

pub(super) fn leader_info(bytes: &[u8]) {
    if let Ok(info) = LeaderInfo::from_json(bytes) {
        let again = LeaderInfo::from_json(&info.to_json()).expect("what was written is read");
        assert_eq!(again, info);
        drop((info.authority(), info.socket_addr()));
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        drop((text.parse::<MasterAddress>(), text.parse::<ZkAddress>()));
    }
}

pub(super) fn leader_info_seeds() -> Vec<Vec<u8>> {
    let subscribed = recorded("scheduler.Event");
    let recorded = subscribed.iter().filter_map(|event| event.pointer("/subscribed/master_info"));
    let recorded: Vec<Vec<u8>> = recorded.map(|info| info.to_string().into_bytes()).collect();
    listed("addresses.txt").into_iter().map(String::into_bytes).chain(recorded).collect()
}

/// The parameters of a list, answered from books with something in them.
pub(super) fn query(bytes: &[u8]) {
    thread_local! {
        static BOOKS: chapada_master_core::Snapshot = World::busy().books();
    }
    let text = String::from_utf8_lossy(bytes);
    BOOKS.with(|books| drop(edge::query(books, &text)));
}

pub(super) fn query_seeds() -> Vec<Vec<u8>> {
    listed("queries.txt").into_iter().map(String::into_bytes).collect()
}
