//! Changes of JSON that leave it JSON, so that what lies behind the reader is reached.

use serde_json::{Map, Value, json};

use super::Chance;

/// Numbers and texts at the edges of what is allowed somewhere.
fn interesting(chance: &mut Chance) -> Value {
    let long = "x".repeat(300);
    let all = [
        json!(0),
        json!(-1),
        json!(1),
        json!(0.0001),
        json!(1e308),
        json!(-1e308),
        json!(9_007_199_254_740_993_u64),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(4_294_967_296_u64),
        json!(65_536),
        json!(true),
        json!(""),
        json!("*"),
        json!("."),
        json!(".."),
        json!("/"),
        json!("a/b/c"),
        json!("\u{0}"),
        json!("é\u{202e}"),
        json!(long),
        json!("m1-0000"),
        json!("m1-0001"),
        json!("m1-S0"),
        json!("m1-S1"),
        json!("m1-O1"),
        json!("m1-O2"),
        json!("t1"),
        json!("ops"),
        json!("NaN"),
        json!("Infinity"),
        json!([]),
        json!({}),
        Value::Null,
    ];
    chance.one(&all).cloned().unwrap_or_default()
}

/// The lines of the seed with one to three values changed; `None` when a line is no JSON. A line may begin with words.
pub(super) fn mutated(seed: &[u8], chance: &mut Chance) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(seed).ok()?;
    let mut lines: Vec<&str> = text.lines().collect();
    if lines.is_empty() {
        return None;
    }
    for _ in 0..chance.below(2) {
        let (at, other) = (chance.below(lines.len()), chance.below(lines.len()));
        lines.swap(at, other);
    }
    let at = chance.below(lines.len());
    let line = lines.get(at)?;
    let begin = line.find('{')?;
    let mut value: Value = serde_json::from_str(&line[begin..]).ok()?;
    for _ in 0..=chance.below(3) {
        let count = size(&value);
        let donor = nth(&mut value, &mut chance.below(count)).cloned().unwrap_or_default();
        if let Some(target) = nth(&mut value, &mut chance.below(count)) {
            change(target, donor, chance);
        }
    }
    let changed = format!("{}{value}", &line[..begin]);
    lines[at] = &changed;
    Some(lines.join("\n").into_bytes())
}

fn change(target: &mut Value, donor: Value, chance: &mut Chance) {
    match (chance.below(8), &mut *target) {
        (0, Value::Array(list)) if !list.is_empty() => {
            let part = list[chance.below(list.len())].clone();
            let times = [1, 2, 50][chance.below(3)];
            list.extend(std::iter::repeat_n(part, times));
        }
        (1, Value::Array(list)) if !list.is_empty() => {
            list.remove(chance.below(list.len()));
        }
        (0 | 1, Value::Object(object)) if !object.is_empty() => {
            let key = object.keys().nth(chance.below(object.len())).cloned().unwrap_or_default();
            object.remove(&key);
        }
        (2, _) => *target = donor,
        (3, _) => *target = Value::Array(vec![std::mem::take(target)]),
        (4, Value::Number(number)) => {
            let factor = [-1.0, 0.5, 2.0, 1000.0, 0.001][chance.below(5)];
            *target = json!(number.as_f64().unwrap_or_default() * factor);
        }
        _ => *target = interesting(chance),
    }
}

fn size(value: &Value) -> usize {
    1 + match value {
        Value::Array(list) => list.iter().map(size).sum(),
        Value::Object(object) => object.values().map(size).sum(),
        _ => 0,
    }
}

/// The value of this number, counted from the outermost.
fn nth<'a>(value: &'a mut Value, number: &mut usize) -> Option<&'a mut Value> {
    if *number == 0 {
        return Some(value);
    }
    *number -= 1;
    match value {
        Value::Array(list) => list.iter_mut().find_map(|inner| nth(inner, number)),
        Value::Object(object) => values(object).find_map(|inner| nth(inner, number)),
        _ => None,
    }
}

fn values(object: &mut Map<String, Value>) -> impl Iterator<Item = &mut Value> {
    object.iter_mut().map(|(_, value)| value)
}
