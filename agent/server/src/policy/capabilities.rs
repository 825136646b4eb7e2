//! Which capabilities tasks may have, and which they have when they do not say.

use chapada_isolation::capabilities::{ALL, ROOT_DEFAULT, by_name, name_of};
use chapada_isolation::privileges::Privileges;
use serde::Deserialize;

use crate::error::AgentError;

/// Without a user namespace these give a user who is not root nothing that belongs to others. All others lead, by some way,
/// to what only root may.
const HARMLESS: [u32; 5] = [5, 10, 11, 14, 23]; // KILL, NET_BIND_SERVICE, NET_BROADCAST, IPC_LOCK, SYS_NICE

/// What an operator says of capabilities.
#[derive(Debug)]
pub(crate) struct Capabilities {
    /// The most that a task may ask for.
    bounding: Vec<u32>,
    /// What a task has that asks for none; `None`: root what is safe, others none.
    effective: Option<Vec<u32>>,
}

/// What a task asks for, as numbers of the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) effective: Option<Vec<u32>>,
    pub(crate) bounding: Option<Vec<u32>>,
}

/// As Mesos' flags have it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    capabilities: Vec<String>,
}

impl Capabilities {
    /// # Errors
    /// Names the flag and the capability that nobody knows.
    pub(crate) fn new(bounding: Option<&str>, effective: Option<&str>) -> Result<Self, AgentError> {
        let read = |flag: &'static str, text: Option<&str>| {
            text.map(parse).transpose().map_err(|problem| AgentError::flag(flag, problem))
        };
        let bounding = read("bounding-capabilities", bounding)?.unwrap_or_else(|| ROOT_DEFAULT.to_vec());
        let effective = read("effective-capabilities", effective)?;
        if let Some(beyond) = effective.iter().flatten().find(|number| !bounding.contains(number)) {
            let name = name_of(*beyond);
            return Err(AgentError::flag(
                "effective-capabilities",
                format!("{name} is not among --bounding-capabilities"),
            ));
        }
        Ok(Self { bounding, effective })
    }

    /// What becomes of what a task asks for. No task can ever get more than it starts with, so that what it may have and has
    /// is one set.
    ///
    /// # Errors
    /// Names what it may not have, and the remedy.
    pub(crate) fn decide(&self, asked: &Asked) -> Result<Privileges, String> {
        for number in asked.effective.iter().chain(&asked.bounding).flatten() {
            if !self.bounding.contains(number) {
                let name = name_of(*number);
                return Err(format!(
                    "{name} is more than tasks may have here: have an operator allow it by --bounding-capabilities"
                ));
            }
        }
        if let (Some(effective), Some(bounding)) = (&asked.effective, &asked.bounding)
            && let Some(beyond) = effective.iter().find(|number| !bounding.contains(number))
        {
            return Err(format!("{} is not among the bounding ones", name_of(*beyond)));
        }
        let own = self.effective.iter().flatten().copied();
        Ok(match asked {
            Asked { effective: Some(effective), .. } => exactly(effective.clone()),
            Asked { effective: None, bounding: Some(bounding) } => Privileges {
                ambient: own.filter(|number| bounding.contains(number)).collect(),
                bounding: Some(bounding.clone()),
                ..Privileges::default()
            },
            Asked { effective: None, bounding: None } => match &self.effective {
                Some(effective) => exactly(effective.clone()),
                None => Privileges::default(),
            },
        })
    }

    /// All there are.
    pub(crate) fn all() -> Privileges {
        Privileges { bounding: Some(ALL.collect()), ..Privileges::default() }
    }

    /// The first of these that makes a user of the machine as good as its root.
    pub(crate) fn leads_to_root(privileges: &Privileges) -> Option<&'static str> {
        privileges.ambient.iter().find(|number| !HARMLESS.contains(number)).map(|number| name_of(*number))
    }
}

fn exactly(set: Vec<u32>) -> Privileges {
    Privileges { bounding: Some(set.clone()), ambient: set, ..Privileges::default() }
}

/// `{"capabilities": ["NET_RAW"]}`, or `NET_RAW,SYS_NICE`; `ALL` is all.
fn parse(text: &str) -> Result<Vec<u32>, String> {
    let names = if text.trim_start().starts_with('{') {
        serde_json::from_str::<Listed>(text).map_err(|error| error.to_string())?.capabilities
    } else {
        text.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
    };
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        match name.as_str() {
            "ALL" => found.extend(ALL),
            name => found.push(by_name(name).ok_or_else(|| format!("no capability is called {name}"))?),
        }
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NET_RAW: u32 = 13;
    const NET_BIND_SERVICE: u32 = 10;
    const SYS_ADMIN: u32 = 21;

    fn asked(effective: Option<&[u32]>, bounding: Option<&[u32]>) -> Asked {
        Asked { effective: effective.map(<[u32]>::to_vec), bounding: bounding.map(<[u32]>::to_vec) }
    }

    #[test]
    fn nobody_gets_more_than_the_operator_allows() {
        let none = Capabilities::new(None, None).unwrap();
        assert_eq!(none.decide(&Asked::default()), Ok(Privileges::default()));
        let refused = none.decide(&asked(Some(&[SYS_ADMIN]), None)).unwrap_err();
        assert!(refused.starts_with("SYS_ADMIN") && refused.contains("--bounding-capabilities"), "{refused}");
        assert!(none.decide(&asked(None, Some(&[NET_RAW]))).is_err());
        assert_eq!(none.decide(&asked(Some(&[NET_BIND_SERVICE]), None)), Ok(exactly(vec![NET_BIND_SERVICE])));
        let refused = none.decide(&asked(Some(&[NET_BIND_SERVICE]), Some(&[]))).unwrap_err();
        assert_eq!(refused, "NET_BIND_SERVICE is not among the bounding ones");
    }

    #[test]
    fn an_operators_own_count_where_a_task_says_nothing() {
        let own =
            Capabilities::new(Some("NET_RAW,CAP_NET_BIND_SERVICE"), Some(r#"{"capabilities":["NET_RAW"]}"#));
        let own = own.unwrap();
        assert_eq!(own.decide(&Asked::default()), Ok(exactly(vec![NET_RAW])));
        assert_eq!(own.decide(&asked(Some(&[]), None)), Ok(exactly(Vec::new())));
        let bounded = own.decide(&asked(None, Some(&[NET_BIND_SERVICE]))).unwrap();
        assert_eq!((bounded.bounding, bounded.ambient), (Some(vec![NET_BIND_SERVICE]), Vec::new()));
        for (bounding, effective) in [("NET_RAV", None), ("NET_RAW", Some("SYS_ADMIN")), ("{}", None)] {
            assert!(Capabilities::new(Some(bounding), effective).is_err(), "{bounding}");
        }
        assert!(Capabilities::new(Some("ALL"), Some("SYS_ADMIN")).is_ok());
    }

    #[test]
    fn what_makes_a_user_as_good_as_root_is_known() {
        assert_eq!(Capabilities::leads_to_root(&exactly(vec![NET_BIND_SERVICE])), None);
        assert_eq!(Capabilities::leads_to_root(&exactly(vec![NET_BIND_SERVICE, 7])), Some("SETUID"));
    }
}
