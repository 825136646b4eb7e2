//! Paths that are none (MESOS-7689, CVE-2017-7687), and queries.

use crate::raw::Connection;
use crate::victim::Victim;

#[test]
fn ticket_7689_cve_2017_7687_malformed_paths() {
    let victim = Victim::start();
    let long = format!("/{}", "a".repeat(60_000));
    let deep = "/..".repeat(10_000);
    let targets = [
        "//",
        "/%",
        "/%zz",
        "/%00",
        "/%ff%fe",
        "/..",
        "/../../etc/passwd",
        "/files/read?path=..%2f..%2fetc%2fpasswd",
        "/files/browse?path=%00",
        "*",
        "http://[",
        "http://127.0.0.1:99999/",
        "/api/v1/../scheduler",
        "/\u{7f}",
        "/a b",
        "/state?a=%",
        "/tasks?limit=-1&offset=18446744073709551616",
        "/slaves?slave_id=%ff",
        "/query/v1/tasks?after=%00&limit=0",
        "/query/v1/watch?of=%2e%2e",
        "/query/v1/tasks/%2e%2e/%2f",
        "/allocator/explain?framework=/&agent=..",
        "?",
        "#",
        &long,
        &deep,
    ];
    for target in targets {
        for method in ["GET", "POST", "BREW"] {
            let mut connection = Connection::open(victim.address());
            connection.send(
                format!("{method} {target} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 0\r\n\r\n")
                    .as_bytes(),
            );
            if let Some((status, head)) = connection.head() {
                assert!((200..500).contains(&status), "{method} {target}: {head}");
            }
        }
    }
    victim.is_well("after malformed paths");
}
