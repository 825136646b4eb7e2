//! The full name of a container.

use std::fmt;

use chapada_model::ContainerId;
use chapada_wire::v1;

/// Containers in containers in containers. Source: Mesos.
const MAX_DEPTH: usize = 32;

/// The name of a container among all of an agent: the names of those that it is in, the outermost first, and its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ContainerPath(Vec<ContainerId>);

impl ContainerPath {
    /// Reads a name; `field` is where it stands.
    ///
    /// # Errors
    /// Names the part that cannot be.
    pub(crate) fn read(field: &str, id: Option<&v1::ContainerId>) -> Result<Self, String> {
        let mut names = Vec::new();
        let mut field = field.to_owned();
        let mut next = Some(id.ok_or_else(|| format!("Expecting '{field}' to be present"))?);
        while let Some(id) = next {
            if names.len() == MAX_DEPTH {
                return Err(format!("'{field}': containers are at most {MAX_DEPTH} deep in each other"));
            }
            let value = id.value.as_deref();
            let value = value.ok_or_else(|| format!("Expecting '{field}.value' to be present"))?;
            names.push(value.parse().map_err(|error| format!("'{field}.value': {error}"))?);
            next = id.parent.as_deref();
            field.push_str(".parent");
        }
        names.reverse();
        Ok(Self(names))
    }

    /// A path that was written down; `None` when it is none.
    pub(crate) fn of(names: &[String]) -> Option<Self> {
        let names: Vec<ContainerId> = names.iter().map(|name| name.parse()).collect::<Result<_, _>>().ok()?;
        (!names.is_empty()).then_some(Self(names))
    }

    /// The names in it, the outermost first.
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }

    /// As a message has it.
    pub(crate) fn to_wire(&self) -> v1::ContainerId {
        let nest = |parent: Option<v1::ContainerId>, name: &ContainerId| {
            Some(v1::ContainerId { value: Some(name.to_string()), parent: parent.map(Box::new) })
        };
        self.0.iter().fold(None, nest).unwrap_or_default()
    }

    /// Its own name.
    pub(crate) fn own(&self) -> &ContainerId {
        // There is at least one name: both ways to make a path see to that.
        &self.0[self.0.len() - 1]
    }

    /// That of the container that it is in, if any.
    pub(crate) fn parent(&self) -> Option<Self> {
        let (_, above) = self.0.split_last()?;
        (!above.is_empty()).then(|| Self(above.to_vec()))
    }

    /// Whether it is somewhere in this one.
    pub(crate) fn is_below(&self, above: &Self) -> bool {
        self.0.len() > above.0.len() && self.0.starts_with(&above.0)
    }

    /// Whether a container of this name is somewhere above it.
    pub(crate) fn is_in(&self, container: &ContainerId) -> bool {
        self.0.split_last().is_some_and(|(_, above)| above.contains(container))
    }
}

/// As Mesos writes it.
impl fmt::Display for ContainerPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.0.iter().enumerate() {
            write!(f, "{}{name}", if index == 0 { "" } else { "." })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(names: &[&str]) -> Option<v1::ContainerId> {
        names.iter().fold(None, |parent, name| {
            Some(v1::ContainerId { value: Some((*name).to_owned()), parent: parent.map(Box::new) })
        })
    }

    fn read(names: &[&str]) -> Result<ContainerPath, String> {
        ContainerPath::read("x.container_id", id(names).as_ref())
    }

    #[test]
    fn a_path_begins_with_the_outermost() {
        let path = read(&["a", "b", "c"]).unwrap();
        assert_eq!((path.to_string().as_str(), path.own().as_str()), ("a.b.c", "c"));
        assert_eq!(path.parent(), Some(read(&["a", "b"]).unwrap()));
        assert_eq!(read(&["a"]).unwrap().parent(), None);
        assert!(path.is_in(&"a".parse().unwrap()) && !path.is_in(&"c".parse().unwrap()));
    }

    #[test]
    fn what_is_no_name_is_refused_with_its_place() {
        let refused = |names: &[&str]| read(names).unwrap_err();
        assert_eq!(refused(&[]), "Expecting 'x.container_id' to be present");
        assert_eq!(
            refused(&["../etc", "b"]),
            "'x.container_id.parent.value': '../etc' contains invalid characters"
        );
        assert_eq!(refused(&[".."]), "'x.container_id.value': '..' is disallowed");
        assert!(read(&["a"; MAX_DEPTH]).is_ok());
        assert!(refused(&["a"; MAX_DEPTH + 1]).ends_with("at most 32 deep in each other"));
        let nameless = ContainerPath::read("x", Some(&v1::ContainerId::default()));
        assert_eq!(nameless.unwrap_err(), "Expecting 'x.value' to be present");
    }
}
