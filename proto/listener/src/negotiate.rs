//! In which form a body comes, and in which the caller wants the answer. The texts of refusals are those of Mesos.
//!
//! Which forms there are is for the caller of these functions to say: media types, the one to prefer first, with what stands
//! for each.

use http::StatusCode;
use http::header::{ACCEPT, CONTENT_TYPE};

use crate::{Call, HttpResponse, text};

/// The form of a request's body.
///
/// # Errors
/// The answer: 400 when nobody says, 415 when it is none of those known.
#[expect(clippy::result_large_err, reason = "the error is the answer, made once per refused call")]
pub fn form_of_body<F: Copy>(call: &Call, known: &[(&'static str, F)]) -> Result<F, HttpResponse> {
    if !call.headers.contains_key(CONTENT_TYPE) {
        return Err(text(StatusCode::BAD_REQUEST, "Expecting 'Content-Type' to be present"));
    }
    let said = essence(call.header(CONTENT_TYPE.as_str()).unwrap_or_default());
    let found = known.iter().find(|(name, _)| name.eq_ignore_ascii_case(said));
    found.map(|(_, form)| *form).ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        let message = format!("Expecting 'Content-Type' of {}", names.join(" or "));
        text(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
    })
}

/// The form that the caller accepts: the first of those known that it does not rule out.
///
/// # Errors
/// The answer: 406 when it takes none.
#[expect(clippy::result_large_err, reason = "the error is the answer, made once per refused call")]
pub fn form_accepted<F: Copy>(call: &Call, known: &[(&'static str, F)]) -> Result<F, HttpResponse> {
    let lines = call.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges: Vec<&str> = lines.flat_map(|value| value.split(',')).collect();
    let allows = |name: &str| ranges.is_empty() || is_allowed(&ranges, name);
    let found = known.iter().find(|(name, _)| allows(name));
    found.map(|(_, form)| *form).ok_or_else(|| {
        let names: Vec<String> = known.iter().rev().map(|(name, _)| format!("'{name}'")).collect();
        let message = format!("Expecting 'Accept' to allow {}", names.join(" or "));
        text(StatusCode::NOT_ACCEPTABLE, message)
    })
}

/// The range that names a media type most exactly decides: one of weight zero rules it out.
fn is_allowed(ranges: &[&str], name: &str) -> bool {
    let found = ranges.iter().filter_map(|range| Some((exactness(essence(range), name)?, range)));
    found.max_by_key(|(exactness, _)| *exactness).is_some_and(|(_, range)| !is_never(range))
}

/// How exactly a range names a media type, if at all.
fn exactness(range: &str, name: &str) -> Option<u8> {
    let kind = name.split('/').next().unwrap_or_default();
    match range.split_once('/')? {
        ("*", "*") => Some(0),
        (range, "*") if range.eq_ignore_ascii_case(kind) => Some(1),
        _ if range.eq_ignore_ascii_case(name) => Some(2),
        _ => None,
    }
}

fn is_never(range: &str) -> bool {
    let weight = range.split(';').skip(1).find_map(|part| part.trim().strip_prefix("q="));
    weight.is_some_and(|weight| weight.trim().parse() == Ok(0.0))
}

/// A media type without its parameters.
fn essence(value: &str) -> &str {
    value.split(';').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [(&str, char); 2] = [("application/json", 'j'), ("application/x-protobuf", 'p')];

    #[test]
    fn the_most_exact_range_decides_and_weight_zero_rules_out() {
        let taken = |ranges: &str| {
            let ranges: Vec<&str> = ranges.split(',').collect();
            KNOWN.into_iter().find(|(name, _)| is_allowed(&ranges, name)).map(|(_, form)| form)
        };
        for (ranges, expected) in [
            ("*/*", Some('j')),
            ("application/*", Some('j')),
            ("Application/X-Protobuf", Some('p')),
            ("application/x-protobuf, application/json;q=0.1", Some('j')),
            ("application/json;q=0, */*", Some('p')),
            ("application/json; q=0.000, application/x-protobuf", Some('p')),
            ("text/*", None),
            ("text/html", None),
            ("", None),
            ("*", None),
        ] {
            assert_eq!(taken(ranges), expected, "{ranges}");
        }
    }
}
