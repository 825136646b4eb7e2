//! Paths of the tree: of a group, or of whatever a dependency names, which may be an app.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::{AppId, InvalidAppId, MAX_APP_ID, is_segment};

/// An absolute path in the tree, `/` or such as `/prod/db`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathId(String);

impl PathId {
    /// The root, `/`, above everything.
    pub fn root() -> Self {
        Self("/".to_owned())
    }

    /// The path with its leading slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is `/`.
    pub fn is_root(&self) -> bool {
        self.0 == "/"
    }

    /// The group that an app is in.
    pub fn group_of(app: &AppId) -> Self {
        Self(app.as_str().to_owned()).parent().unwrap_or_else(Self::root)
    }

    /// The group above; `None` above the root.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        match self.0.rfind('/') {
            Some(0) | None => Some(Self::root()),
            Some(at) => Some(Self(self.0[..at].to_owned())),
        }
    }

    /// Itself, the group above it, and so on up to the root.
    pub fn and_above(&self) -> impl Iterator<Item = Self> {
        std::iter::successors(Some(self.clone()), Self::parent)
    }

    /// The first segment; `None` for the root.
    pub fn top_level(&self) -> Option<&str> {
        self.0[1..].split('/').next().filter(|first| !first.is_empty())
    }

    /// Whether it is a group right below the root.
    pub fn is_top_level(&self) -> bool {
        !self.is_root() && !self.0[1..].contains('/')
    }

    /// Whether the app is somewhere below it.
    pub fn holds(&self, app: &AppId) -> bool {
        app.is_below(&self.0)
    }

    /// Whether `other` is this group or one somewhere below it.
    pub fn is_or_holds(&self, other: &Self) -> bool {
        self.is_root()
            || *self == *other
            || other.0.strip_prefix(&self.0).is_some_and(|rest| rest.starts_with('/'))
    }

    /// What the names of all that is below begin with.
    pub(crate) fn prefix(&self) -> String {
        if self.is_root() { "/".to_owned() } else { format!("{}/", self.0) }
    }

    /// The app of this path, whether or not there is one; `None` when no app can have it.
    pub fn app(&self) -> Option<AppId> {
        self.0.parse().ok()
    }

    /// The path as it stands in names of records.
    pub(crate) fn safe(&self) -> String {
        if self.is_root() { "_".to_owned() } else { self.0[1..].replace('/', "_") }
    }

    /// What `text` means at this place: an absolute path is itself, any other begins here; `..` goes up one, and no
    /// further than the root.
    ///
    /// # Errors
    /// When a segment has letters no id has, or it is too long.
    pub fn resolve(&self, text: &str) -> Result<Self, InvalidAppId> {
        if text.len() > MAX_APP_ID {
            return Err(InvalidAppId::TooLong);
        }
        let mut segments: Vec<&str> = match text.starts_with('/') {
            true => Vec::new(),
            false => self.0.split('/').filter(|segment| !segment.is_empty()).collect(),
        };
        for segment in text.split('/') {
            match segment {
                "" | "." => {}
                ".." => {
                    segments.pop();
                }
                segment if is_segment(segment) => segments.push(segment),
                _ => return Err(InvalidAppId::Segment),
            }
        }
        let path = format!("/{}", segments.join("/"));
        if path.len() > MAX_APP_ID { Err(InvalidAppId::TooLong) } else { Ok(Self(path)) }
    }
}

impl std::borrow::Borrow<str> for PathId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<&AppId> for PathId {
    fn from(app: &AppId) -> Self {
        Self(app.as_str().to_owned())
    }
}

impl FromStr for PathId {
    type Err = InvalidAppId;

    /// Takes relative paths as below the root and forgives doubled and trailing slashes.
    fn from_str(text: &str) -> Result<Self, InvalidAppId> {
        Self::root().resolve(text)
    }
}

impl fmt::Display for PathId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for PathId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for PathId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_begin_where_they_stand() {
        let here: PathId = "/prod/web".parse().unwrap();
        for (text, path) in [
            ("../db", "/prod/db"),
            ("api", "/prod/web/api"),
            ("/db", "/db"),
            ("..", "/prod"),
            ("../../../x", "/x"),
            ("./a//b/", "/prod/web/a/b"),
            ("", "/prod/web"),
            ("/", "/"),
        ] {
            assert_eq!(here.resolve(text).map(|path| path.0), Ok(path.to_owned()), "{text}");
        }
        assert_eq!(here.resolve("../DB"), Err(InvalidAppId::Segment));
        assert_eq!(here.resolve(&"a".repeat(MAX_APP_ID)), Err(InvalidAppId::TooLong));
    }

    #[test]
    fn the_tree_is_by_whole_segments() {
        let prod: PathId = "/prod".parse().unwrap();
        let db: PathId = "/prod/db".parse().unwrap();
        assert!(prod.is_or_holds(&db) && prod.is_or_holds(&prod) && PathId::root().is_or_holds(&db));
        assert!(!db.is_or_holds(&prod) && !prod.is_or_holds(&"/production".parse().unwrap()));
        assert_eq!(db.and_above().map(|path| path.0).collect::<Vec<_>>(), ["/prod/db", "/prod", "/"]);
        assert_eq!((db.top_level(), PathId::root().top_level()), (Some("prod"), None));
        assert!(prod.is_top_level() && !db.is_top_level() && !PathId::root().is_top_level());
        assert_eq!(PathId::group_of(&"/web".parse().unwrap()), PathId::root());
    }
}
