//! Roles: who shares resources with whom. They form a tree, `eng/backend/db`.

use std::sync::Arc;

/// A role's name, valid by construction. `*` is the role of those that named none.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Role(Arc<str>);

/// Why a text is no role. Source: Mesos' rules, messages in its words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRole {
    /// The name has no characters.
    #[error("Empty role name is invalid")]
    Empty,
    /// The name is `.` or `..`, or has such a part.
    #[error("Role '{0}' is invalid: a part of it is '.' or '..'")]
    Dots(String),
    /// A part of the name starts with a minus.
    #[error("Role '{0}' is invalid: a part of it starts with '-'")]
    Minus(String),
    /// The name has white space or a backspace.
    #[error("Role '{0}' is invalid: it contains whitespace or a control character")]
    BadCharacter(String),
    /// The name starts with a slash.
    #[error("Role '{0}' cannot start with a slash")]
    StartsWithSlash(String),
    /// The name ends with a slash.
    #[error("Role '{0}' cannot end with a slash")]
    EndsWithSlash(String),
    /// The name has an empty part.
    #[error("Role '{0}' cannot contain two adjacent slashes")]
    TwoSlashes(String),
    /// `*` is part of a longer name.
    #[error("Role '{0}' is invalid: '*' cannot be a part of it")]
    Star(String),
}

impl Role {
    /// The role of frameworks that named none, and of resources that are reserved for nobody.
    pub fn star() -> Self {
        static STAR: std::sync::LazyLock<Arc<str>> = std::sync::LazyLock::new(|| Arc::from("*"));
        Self(STAR.clone())
    }

    /// Checks a name and takes it.
    ///
    /// # Errors
    /// [`InvalidRole`] says which rule was broken.
    pub fn new(text: impl Into<Arc<str>>) -> Result<Self, InvalidRole> {
        let text = text.into();
        check(&text)?;
        Ok(Self(text))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is `*`.
    pub fn is_star(&self) -> bool {
        &*self.0 == "*"
    }

    /// The role this one is a child of; `None` for one at the top.
    pub fn parent(&self) -> Option<Role> {
        self.0.rsplit_once('/').map(|(parent, _)| Self(parent.into()))
    }

    /// Whether this role is `other` or lies below it in the tree. What is reserved for a role is offered to these.
    pub fn is_within(&self, other: &Role) -> bool {
        match self.0.strip_prefix(&*other.0) {
            Some(rest) => rest.is_empty() || rest.starts_with('/'),
            None => false,
        }
    }
}

fn check(text: &str) -> Result<(), InvalidRole> {
    if text.is_empty() {
        return Err(InvalidRole::Empty);
    }
    if text == "*" {
        return Ok(());
    }
    if text.starts_with('/') {
        return Err(InvalidRole::StartsWithSlash(text.to_owned()));
    }
    if text.ends_with('/') {
        return Err(InvalidRole::EndsWithSlash(text.to_owned()));
    }
    if text.contains("//") {
        return Err(InvalidRole::TwoSlashes(text.to_owned()));
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(InvalidRole::BadCharacter(text.to_owned()));
    }
    for part in text.split('/') {
        match part {
            "." | ".." => return Err(InvalidRole::Dots(text.to_owned())),
            "*" => return Err(InvalidRole::Star(text.to_owned())),
            _ if part.starts_with('-') => return Err(InvalidRole::Minus(text.to_owned())),
            _ => {}
        }
    }
    Ok(())
}

impl std::str::FromStr for Role {
    type Err = InvalidRole;
    fn from_str(text: &str) -> Result<Self, InvalidRole> {
        Self::new(text)
    }
}

impl TryFrom<String> for Role {
    type Error = InvalidRole;
    fn try_from(text: String) -> Result<Self, InvalidRole> {
        Self::new(text)
    }
}

impl From<Role> for String {
    fn from(role: Role) -> String {
        role.0.as_ref().to_owned()
    }
}

impl std::borrow::Borrow<str> for Role {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::fmt::Debug for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_paths_and_refuses_what_is_none() {
        for good in ["*", "ops", "eng/backend/db", "a-b", "a.b"] {
            assert!(Role::new(good).is_ok(), "{good}");
        }
        for bad in ["", "/a", "a/", "a//b", "a/../b", ".", "a/*", "-a", "a/-b", "a b", "a\u{8}b"] {
            assert!(Role::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn knows_its_place_in_the_tree() {
        let db: Role = "eng/backend".parse().unwrap();
        assert!(db.is_within(&"eng".parse().unwrap()));
        assert!(db.is_within(&db));
        assert!(!db.is_within(&"en".parse().unwrap()));
        assert_eq!(db.parent().unwrap().as_str(), "eng");
        assert_eq!(Role::star().parent(), None);
    }
}
