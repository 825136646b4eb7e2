//! The embedded files and how a request path finds one.

use std::borrow::Cow;

use crate::content_type::content_type;

/// One file of the built UI, as the build script found it.
pub(crate) struct File {
    path: &'static str,
    bytes: &'static [u8],
    etag: &'static str,
}

include!(concat!(env!("OUT_DIR"), "/files.rs"));

const NOTICE: &[u8] = include_bytes!("notice.html");

/// A file ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asset {
    /// The whole body.
    pub bytes: Cow<'static, [u8]>,
    /// Value of the `Content-Type` header.
    pub content_type: &'static str,
    /// Value of the `ETag` header, quotes included; changes when the bytes do.
    pub etag: &'static str,
    /// The name carries a hash of the content: a browser may keep it for ever (`Cache-Control: immutable`).
    /// Anything else must be asked for again (`no-cache`), or an upgraded master would be seen through an old page.
    pub immutable: bool,
}

/// The file at this request path, with or without its leading slash; `/` is the index page. `None` when there is no
/// such file: the caller decides between 404 (below `/assets/`) and [`index`] (a page somebody typed).
#[must_use]
pub fn asset(path: &str) -> Option<Asset> {
    match path.strip_prefix('/').unwrap_or(path) {
        "" | "index.html" => Some(index()),
        path => find(path),
    }
}

/// The page that starts the UI, whatever its address; the notice page when the UI was not built.
#[must_use]
pub fn index() -> Asset {
    find("index.html").unwrap_or(Asset {
        bytes: Cow::Borrowed(NOTICE),
        content_type: content_type("notice.html"),
        etag: "\"not-built\"",
        immutable: false,
    })
}

/// Whether this binary carries the UI, or only the page that says how to build it.
#[must_use]
pub fn is_built() -> bool {
    !FILES.is_empty()
}

fn find(path: &str) -> Option<Asset> {
    let at = FILES.binary_search_by(|file| file.path.cmp(path)).ok()?;
    let file = &FILES[at];
    Some(Asset {
        bytes: Cow::Borrowed(file.bytes),
        content_type: content_type(file.path),
        etag: file.etag,
        immutable: file.path.starts_with("assets/"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_page_is_there_with_and_without_a_build() {
        let page = index();
        assert_eq!(page.content_type, "text/html; charset=utf-8");
        assert!(!page.immutable, "a page kept for ever would hide an upgrade");
        assert_eq!(asset("/"), Some(page.clone()));
        assert_eq!(asset("/index.html"), Some(page));
    }

    #[test]
    fn a_binary_without_the_ui_names_the_command() {
        let text = std::str::from_utf8(NOTICE).expect("it is UTF-8");
        assert!(text.contains("cargo xtask dev"));
        assert!(!text.contains("<script") && !text.contains("style="), "the policy allows nothing inline");
    }

    #[test]
    fn every_embedded_file_is_found_and_typed() {
        for file in FILES {
            let found = asset(&format!("/{}", file.path)).expect(file.path);
            assert_eq!(&*found.bytes, file.bytes, "{}", file.path);
            assert_ne!(found.content_type, "application/octet-stream", "{}", file.path);
        }
    }

    #[test]
    fn what_the_index_page_asks_for_is_embedded_and_ours() {
        if !is_built() {
            return;
        }
        let page = String::from_utf8(index().bytes.into_owned()).expect("it is UTF-8");
        let mut scripts = 0;
        for attribute in ["src=\"", "href=\""] {
            for rest in page.split(attribute).skip(1) {
                let target = rest.split('"').next().expect("split yields one");
                assert!(asset(target).is_some(), "{target} is not embedded");
                scripts += usize::from(target.ends_with(".js"));
            }
        }
        assert!(scripts > 0, "the page starts nothing: {page}");
    }

    #[test]
    fn unknown_paths_are_not_found() {
        for path in ["/assets/none.js", "/../Cargo.toml", "/index.html/", "/assets", "//"] {
            assert_eq!(asset(path), None, "{path}");
        }
    }
}
