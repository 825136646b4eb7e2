//! Path patterns: `/v2/apps/{id}/tasks`, and `/files/{*rest}` for everything below.

use crate::query::percent_decode;

/// A parsed pattern.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    segments: Vec<Segment>,
}

#[derive(Clone, Debug)]
enum Segment {
    Literal(&'static str),
    One(&'static str),
    Rest(&'static str),
}

/// Names and decoded values of what a pattern left open.
pub(crate) type Params = Vec<(&'static str, String)>;

impl Pattern {
    /// Parses `pattern`, which starts with a slash; `{name}` stands for one segment, a last `{*name}` for the rest.
    pub(crate) fn parse(pattern: &'static str) -> Self {
        let segments = pattern
            .trim_start_matches('/')
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(|segment| match segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
                Some(name) => match name.strip_prefix('*') {
                    Some(name) => Segment::Rest(name),
                    None => Segment::One(name),
                },
                None => Segment::Literal(segment),
            })
            .collect();
        Self { segments }
    }

    /// The parameters if `path` (still percent-encoded) matches. A trailing slash is forgiven. What `{*name}` matched
    /// may be empty and is decoded as a whole, doubled slashes kept.
    pub(crate) fn matches(&self, path: &str) -> Option<Params> {
        let mut rest = Some(path.strip_prefix('/').unwrap_or(path));
        let mut params = Params::new();
        for segment in &self.segments {
            if let Segment::Rest(name) = segment {
                params.push((name, percent_decode(rest.unwrap_or(""))?));
                return Some(params);
            }
            let (head, tail) = match rest?.split_once('/') {
                Some((head, tail)) => (head, Some(tail)),
                None => (rest?, None),
            };
            match segment {
                Segment::Literal(literal) if percent_decode(head)? == *literal => {}
                Segment::One(name) if !head.is_empty() => params.push((name, percent_decode(head)?)),
                Segment::Literal(_) | Segment::One(_) | Segment::Rest(_) => return None,
            }
            rest = tail;
        }
        matches!(rest, None | Some("")).then_some(params)
    }

    /// Orders patterns from the most to the least specific: literals before names before the rest, longer first.
    pub(crate) fn specificity(&self) -> (usize, bool, usize) {
        let literals = self.segments.iter().filter(|s| matches!(s, Segment::Literal(_))).count();
        let rest = self.segments.iter().any(|s| matches!(s, Segment::Rest(_)));
        (literals, !rest, self.segments.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(pattern: &'static str, path: &str) -> Option<Vec<String>> {
        Pattern::parse(pattern).matches(path).map(|found| found.into_iter().map(|(_, value)| value).collect())
    }

    #[test]
    fn literals_names_and_rests_match() {
        assert_eq!(params("/state", "/state"), Some(vec![]));
        assert_eq!(params("/state", "/state/"), Some(vec![]));
        assert_eq!(params("/state", "/states"), None);
        assert_eq!(params("/state", "/state/x"), None);
        assert_eq!(params("/", "/"), Some(vec![]));
        assert_eq!(params("/a/{id}/b", "/a/x%2Fy/b"), Some(vec!["x/y".into()]));
        assert_eq!(params("/a/{id}", "/a/"), None);
        assert_eq!(params("/a/{*rest}", "/a"), Some(vec![String::new()]));
        assert_eq!(params("/a/{*rest}", "/a//b/c"), Some(vec!["/b/c".into()]));
        assert_eq!(params("/a/{id}", "/a/%FF"), None);
    }
}
