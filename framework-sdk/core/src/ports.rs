//! Which of the offered ports a task gets.

use chapada_model::{Range, Ranges, Resource, ResourceValue};

use crate::mismatch::Mismatch;
use crate::request::PortWish;

/// The offered ports as ranges within what a port can be, in the order in which they are to be taken.
fn usable<'a>(entries: impl Iterator<Item = &'a Resource>) -> impl Iterator<Item = Range> {
    let ranges = entries.filter_map(|entry| match &entry.value {
        ResourceValue::Ranges(ranges) => Some(ranges.iter()),
        ResourceValue::Scalar(_) | ResourceValue::Set(_) => None,
    });
    ranges.flatten().filter_map(|range| {
        let range = Range { begin: range.begin.max(1), end: range.end.min(u64::from(u16::MAX)) };
        (range.begin <= range.end).then_some(range)
    })
}

fn holds(range: Range, port: u16) -> bool {
    (range.begin..=range.end).contains(&u64::from(port))
}

/// What keeps the wishes from being fulfilled. `entries` gives what is offered, as often as it is asked.
pub(crate) fn mismatches<'a, I: Iterator<Item = &'a Resource>>(
    wishes: &[PortWish],
    entries: impl Fn() -> I,
) -> Vec<Mismatch> {
    let mut found = Vec::new();
    let mut distinct = 0;
    for (index, wish) in wishes.iter().enumerate() {
        match wish {
            PortWish::Any => distinct += 1,
            // The same fixed port wished for twice is one port short.
            wish if wishes[..index].contains(wish) => {}
            PortWish::Exactly(port) => {
                distinct += 1;
                if !usable(entries()).any(|range| holds(range, *port)) {
                    found.push(Mismatch::PortNotOffered(*port));
                }
            }
        }
    }
    if found.is_empty() && !wishes.is_empty() {
        let total: u64 = usable(entries()).map(|range| range.end - range.begin + 1).sum();
        let offered = usize::try_from(total).unwrap_or(usize::MAX).min(distinct);
        if offered < wishes.len() {
            found.push(Mismatch::FewPorts { wanted: wishes.len(), offered });
        }
    }
    found
}

/// A port for each wish, when nothing keeps them from being fulfilled.
pub(crate) fn pick<'a, I: Iterator<Item = &'a Resource>>(
    wishes: &[PortWish],
    entries: impl Fn() -> I,
    random: u64,
) -> Vec<u16> {
    let ranges: Vec<Range> = match wishes.is_empty() {
        true => return Vec::new(),
        false => usable(entries()).collect(),
    };
    let total: u64 = ranges.iter().map(|range| range.end - range.begin + 1).sum();
    let from = if total == 0 { 0 } else { random % total };
    let mut free = (from..total)
        .chain(0..from)
        .filter_map(|index| nth_port(&ranges, index))
        .filter(|port| !wishes.contains(&PortWish::Exactly(*port)));
    let picked = wishes.iter().map(|wish| match wish {
        PortWish::Exactly(port) => Some(*port),
        PortWish::Any => free.next(),
    });
    picked.collect::<Option<_>>().unwrap_or_default()
}

fn nth_port(ranges: &[Range], index: u64) -> Option<u16> {
    let mut left = index;
    for range in ranges {
        let count = range.end - range.begin + 1;
        if left < count {
            return u16::try_from(range.begin + left).ok();
        }
        left -= count;
    }
    None
}

/// Each picked port out of the first entry that has it.
pub(crate) fn resources<'a>(ports: &[u16], entries: impl Iterator<Item = &'a Resource>) -> Vec<Resource> {
    let mut left = ports.to_vec();
    let mut taken = Vec::new();
    for entry in entries.take_while(|_| !ports.is_empty()) {
        let ResourceValue::Ranges(ranges) = &entry.value else { continue };
        let (here, elsewhere): (Vec<u16>, Vec<u16>) =
            left.iter().partition(|port| ranges.iter().any(|range| holds(range, **port)));
        left = elsewhere;
        if !here.is_empty() {
            let numbers = here.into_iter().map(u64::from);
            let value = Ranges::new(numbers.map(|port| Range { begin: port, end: port }));
            taken.push(Resource { value: ResourceValue::Ranges(value), ..entry.clone() });
        }
    }
    taken
}
