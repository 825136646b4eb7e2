//! What keeps web pages away, on loopback too: `Host`, `Origin` and the content type of a change of state.
//!
//! A page that rebinds its name to our address sends its own name as `Host`; a form or script of another site sends
//! its `Origin`; and neither can send a JSON or protobuf content type without asking first. All three are refused.

use std::net::IpAddr;

use http::header::{CONTENT_TYPE, HOST, HeaderMap, ORIGIN, REFERER};
use http::request::Parts;
use http::{Method, StatusCode};

use crate::config::ListenConfig;
use crate::reply::{HttpResponse, text};

/// Who checks the content type of a route's changes of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentRule {
    /// The listener: 400 when missing, 415 when it is not JSON, protobuf, RecordIO or gRPC.
    Listener,
    /// The handler, because its API fixes an order of checks of its own; it must refuse the same types.
    Handler,
    /// The listener: 400 when missing, 415 when it is no form, and when a browser sends one. For APIs that are older than
    /// JSON and are called with `curl -d`.
    Form,
}

/// The checks that every request passes first.
#[derive(Clone, Debug)]
pub struct Guard {
    names: Vec<String>,
    readers: Vec<String>,
}

impl Guard {
    /// Answers to IP addresses, `localhost`, the machine's own name and the configured ones.
    pub fn new(config: &ListenConfig) -> Self {
        let own = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let names = std::iter::once("localhost")
            .chain([own.trim()])
            .chain(config.hostname.as_deref())
            .chain(config.allowed_hosts.iter().map(String::as_str))
            .filter(|name| !name.is_empty())
            .map(str::to_ascii_lowercase)
            .collect();
        Self { names, readers: Vec::new() }
    }

    /// The same, and pages of these origins may read; `*` for all.
    #[must_use]
    pub fn reading_from(self, readers: Vec<String>) -> Self {
        Self { readers, ..self }
    }

    /// Checks `Host` and `Origin`. Where TLS is spoken (`is_secure`), pages that came without it are another site's, for anyone on the
    /// way may have written them; where it is not, somebody before us may have taken it off.
    ///
    /// # Errors
    /// The sentence for the 403: which header was refused and what to do.
    pub fn check(&self, parts: &Parts, is_secure: bool) -> Result<(), String> {
        let host = match parts.uri.authority() {
            Some(authority) => Some(authority.as_str()),
            None => header(&parts.headers, HOST.as_str())?,
        };
        let Some(host) = host else {
            return match parts.version {
                http::Version::HTTP_09 | http::Version::HTTP_10 => Ok(()),
                _ => Err("the request has no Host header".to_owned()),
            };
        };
        if !self.answers_to(host) {
            return Err(format!(
                "this daemon does not answer to the Host '{host}': use an IP address, localhost or its configured \
                 hostname, or add the name to --allowed-hosts"
            ));
        }
        match header(&parts.headers, ORIGIN.as_str())? {
            Some(origin)
                if !same_origin(origin, host, is_secure) && !self.may_read(&parts.method, origin) =>
            {
                Err(format!(
                    "requests from pages of '{origin}' are refused: the Origin must match the Host '{host}'"
                ))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn may_read(&self, method: &Method, origin: &str) -> bool {
        matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
            && self.readers.iter().any(|reader| reader == "*" || reader.eq_ignore_ascii_case(origin))
    }

    fn answers_to(&self, host: &str) -> bool {
        let name = host_name(host);
        let literal = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(name);
        literal.parse::<IpAddr>().is_ok() || self.names.iter().any(|known| known.eq_ignore_ascii_case(name))
    }
}

/// The rule for changes of state: a content type that no form can send. A DELETE without body may go without one when
/// no browser sent it.
#[expect(clippy::result_large_err, reason = "the error is the answer, made once per refused call")]
pub(crate) fn check_content_type(
    method: &Method,
    headers: &HeaderMap,
    has_body: bool,
) -> Result<(), HttpResponse> {
    if !matches!(*method, Method::POST | Method::PUT | Method::PATCH | Method::DELETE) {
        return Ok(());
    }
    let Some(content_type) = headers.get(CONTENT_TYPE) else {
        let from_browser = headers.contains_key(ORIGIN) || headers.contains_key("sec-fetch-site");
        if method == Method::DELETE && !has_body && !from_browser {
            return Ok(());
        }
        return Err(text(StatusCode::BAD_REQUEST, "Expecting 'Content-Type' to be present"));
    };
    let essence =
        content_type.to_str().unwrap_or("").split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    let known = matches!(
        essence.as_str(),
        "application/json"
            | "application/x-protobuf"
            | "application/recordio"
            | "application/json-patch+json"
            | "application/merge-patch+json"
    ) || essence.starts_with("application/grpc");
    if known {
        return Ok(());
    }
    Err(text(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "Expecting 'Content-Type' of application/json or application/x-protobuf",
    ))
}

/// The rule for [`ContentRule::Form`]: a browser says where its forms come from, other programs do not.
#[expect(clippy::result_large_err, reason = "the error is the answer, made once per refused call")]
pub(crate) fn check_form(headers: &HeaderMap) -> Result<(), HttpResponse> {
    let Some(content_type) = headers.get(CONTENT_TYPE) else {
        return Err(text(StatusCode::BAD_REQUEST, "Expecting 'Content-Type' to be present"));
    };
    let essence = content_type.to_str().unwrap_or("").split(';').next().unwrap_or("").trim();
    let is_form = essence.eq_ignore_ascii_case("application/x-www-form-urlencoded");
    let browser = [ORIGIN.as_str(), REFERER.as_str(), "sec-fetch-site", "sec-fetch-mode"];
    if is_form && !browser.iter().any(|header| headers.contains_key(*header)) {
        return Ok(());
    }
    Err(text(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "Expecting 'Content-Type' of application/x-www-form-urlencoded, and none of the headers that browsers add: \
         pages use POST /api/v1 with JSON",
    ))
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, String> {
    let mut values = headers.get_all(name).iter();
    let first =
        values.next().map(|value| value.to_str().map_err(|_| format!("the {name} header is no text")));
    if values.next().is_some() {
        return Err(format!("the {name} header is there more than once"));
    }
    first.transpose()
}

fn host_name(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.is_empty() => name,
        _ => authority,
    }
}

fn same_origin(origin: &str, host: &str, is_secure: bool) -> bool {
    let (authority, port) = match (origin.strip_prefix("http://"), origin.strip_prefix("https://")) {
        (Some(authority), _) if !is_secure => (authority, ":80"),
        (_, Some(authority)) => (authority, ":443"),
        _ => return false,
    };
    let plain = |text: &str| text.strip_suffix(port).unwrap_or(text).to_ascii_lowercase();
    plain(authority) == plain(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_where(headers: &[(&str, &str)], is_secure: bool) -> Result<(), String> {
        let mut request = http::Request::get("/state");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let config = ListenConfig { hostname: Some("m1.example".into()), ..ListenConfig::default() };
        Guard::new(&config).check(&request.body(()).expect("a request").into_parts().0, is_secure)
    }

    fn check(headers: &[(&str, &str)]) -> Result<(), String> {
        check_where(headers, false)
    }

    #[test]
    fn only_our_own_names_are_answered_to() {
        for good in
            ["127.0.0.1:5050", "localhost", "LOCALHOST:1", "[::1]:5050", "10.1.2.3", "m1.example:5050"]
        {
            assert_eq!(check(&[("host", good)]), Ok(()), "{good}");
        }
        for bad in
            ["evil.example", "127.0.0.1.evil.example:5050", "", "m1.example.evil", "localhost.evil:5050"]
        {
            assert!(check(&[("host", bad)]).is_err(), "{bad}");
        }
        assert!(check(&[]).is_err());
        assert!(check(&[("host", "localhost"), ("host", "evil.example")]).is_err());
    }

    #[test]
    fn a_page_of_another_origin_is_refused() {
        let host = ("host", "127.0.0.1:5050");
        assert_eq!(check(&[host, ("origin", "http://127.0.0.1:5050")]), Ok(()));
        assert_eq!(check(&[("host", "localhost"), ("origin", "http://localhost:80")]), Ok(()));
        for bad in
            ["null", "http://127.0.0.1:8080", "http://evil.example", "file://", "http://localhost:5050"]
        {
            assert!(check(&[host, ("origin", bad)]).is_err(), "{bad}");
        }
    }

    #[test]
    fn where_tls_is_spoken_a_page_that_came_without_it_is_another_sites() {
        let host = ("host", "m1.example");
        for (origin, plain, secure) in [
            ("https://m1.example", true, true),
            ("https://m1.example:443", true, true),
            ("http://m1.example", true, false),
            ("https://m1.example:80", false, false),
            ("https://evil.example", false, false),
        ] {
            let taken = |is_secure| check_where(&[host, ("origin", origin)], is_secure).is_ok();
            assert_eq!((taken(false), taken(true)), (plain, secure), "{origin}");
        }
    }

    #[test]
    fn a_page_of_a_named_origin_may_read_and_not_change() {
        let config = ListenConfig::default();
        let guard = Guard::new(&config).reading_from(vec!["http://board.example".into()]);
        let check = |method: Method, origin: &str| {
            let request = http::Request::builder().method(method).uri("/v2/apps");
            let request = request.header("host", "localhost").header("origin", origin);
            guard.check(&request.body(()).expect("a request").into_parts().0, false).is_ok()
        };
        for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
            assert!(check(method.clone(), "http://board.example"), "{method}");
            assert!(!check(method, "http://evil.example"));
        }
        assert!(!check(Method::POST, "http://board.example"));
        assert!(!check(Method::DELETE, "http://board.example"));
    }

    #[test]
    fn a_change_of_state_needs_a_content_type_no_form_can_send() {
        let status = |method: Method, pairs: &[(&'static str, &str)], has_body| {
            let headers =
                pairs.iter().map(|(k, v)| (k.parse().expect("name"), v.parse().expect("value"))).collect();
            check_content_type(&method, &headers, has_body).map_err(|response| response.status().as_u16())
        };
        assert_eq!(status(Method::GET, &[], false), Ok(()));
        assert_eq!(
            status(Method::POST, &[("content-type", "application/json; charset=utf-8")], true),
            Ok(())
        );
        assert_eq!(status(Method::POST, &[], true), Err(400));
        assert_eq!(status(Method::POST, &[("content-type", "text/plain")], true), Err(415));
        assert_eq!(
            status(Method::POST, &[("content-type", "application/x-www-form-urlencoded")], true),
            Err(415)
        );
        assert_eq!(status(Method::DELETE, &[], false), Ok(()));
        assert_eq!(status(Method::DELETE, &[], true), Err(400));
        assert_eq!(status(Method::DELETE, &[("origin", "http://x")], false), Err(400));
    }

    #[test]
    fn a_form_is_taken_from_programs_and_from_no_browser() {
        let status = |pairs: &[(&'static str, &str)]| {
            let headers =
                pairs.iter().map(|(k, v)| (k.parse().expect("name"), v.parse().expect("value"))).collect();
            check_form(&headers).map_err(|response| response.status().as_u16())
        };
        let form = ("content-type", "application/x-www-form-urlencoded; charset=utf-8");
        assert_eq!(status(&[form]), Ok(()));
        assert_eq!(status(&[]), Err(400));
        assert_eq!(status(&[("content-type", "text/plain")]), Err(415));
        for header in ["origin", "referer", "sec-fetch-site", "sec-fetch-mode"] {
            assert_eq!(status(&[form, (header, "http://127.0.0.1:5050")]), Err(415), "{header}");
        }
    }
}
