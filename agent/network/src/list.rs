//! One network's configuration: a list of plugins that are run one after the other. Source: the CNI specification.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Versions of the plugins' protocol that are spoken here; a plugin has to speak the one its configuration names.
pub const VERSIONS: [&str; 7] = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// What a configuration without a version has. Source: the specification.
const OLDEST_DEFAULT: &str = "0.2.0";
/// More plugins in a row are a mistake.
const MOST_PLUGINS: usize = 32;

/// A network's configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkList {
    /// What containers call it.
    pub name: String,
    /// One of [`VERSIONS`].
    pub version: String,
    /// Each with its `type`, as the file has it.
    pub plugins: Vec<Map<String, Value>>,
}

impl NetworkList {
    /// Reads a list (`*.conflist`: with `plugins`) or a single plugin's configuration (`*.conf`, `*.json`), whichever it is.
    ///
    /// # Errors
    /// Names the field that is wrong, and what it must be.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parsed: Value = serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?;
        let Value::Object(top) = parsed else { return Err("it must be a JSON object".to_owned()) };
        let name = text_of(&top, "name")?;
        if !is_name(name) {
            return Err(
                "name must start with a letter or digit, and go on with those, '_', '.' and '-'".to_owned()
            );
        }
        let version = match top.get("cniVersion") {
            None => OLDEST_DEFAULT,
            Some(_) => text_of(&top, "cniVersion")?,
        };
        if !VERSIONS.contains(&version) {
            return Err(format!(
                "cniVersion {version:?} is not spoken here: use one of {}",
                VERSIONS.join(", ")
            ));
        }
        let (name, version) = (name.to_owned(), version.to_owned());
        let plugins = match top.get("plugins") {
            None => vec![plugin(&Value::Object(top), "")?],
            Some(Value::Array(plugins)) if (1..=MOST_PLUGINS).contains(&plugins.len()) => {
                let each = plugins.iter().enumerate();
                each.map(|(index, value)| plugin(value, &format!("plugins[{index}].")))
                    .collect::<Result<_, String>>()?
            }
            Some(_) => return Err(format!("plugins must be a list of 1 to {MOST_PLUGINS} objects")),
        };
        Ok(Self { name, version, plugins })
    }

    /// Whether one of its plugins maps ports of the machine.
    pub fn maps_ports(&self) -> bool {
        self.plugins.iter().any(maps_ports)
    }
}

/// Whether a plugin says that it takes this from those who run it.
pub(crate) fn maps_ports(plugin: &Map<String, Value>) -> bool {
    plugin.get("capabilities").and_then(|all| all.get("portMappings")) == Some(&Value::Bool(true))
}

/// The program of a plugin. [`NetworkList::parse`] has seen to it that there is one.
pub(crate) fn program(plugin: &Map<String, Value>) -> &str {
    plugin.get("type").and_then(Value::as_str).unwrap_or_default()
}

fn plugin(value: &Value, place: &str) -> Result<Map<String, Value>, String> {
    let Value::Object(plugin) = value else {
        return Err(format!("{} must be an object", place.trim_end_matches('.')));
    };
    let program = text_of(plugin, "type").map_err(|error| format!("{place}{error}"))?;
    if program.is_empty() || program.starts_with('.') || program.contains(['/', '\0']) {
        return Err(format!("{place}type must be the plain name of a program, not {program:?}"));
    }
    Ok(plugin.clone())
}

fn text_of<'a>(object: &'a Map<String, Value>, field: &str) -> Result<&'a str, String> {
    object.get(field).and_then(Value::as_str).ok_or_else(|| format!("{field} must be there, and text"))
}

/// Plugins make file names of it. Source: the specification.
fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    name.len() <= 128 && name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_and_a_single_plugin_are_both_networks() {
        let single = NetworkList::parse(r#"{"name": "a", "type": "bridge", "x": 1}"#).unwrap();
        assert_eq!((single.name.as_str(), single.version.as_str()), ("a", "0.2.0"));
        assert_eq!((program(&single.plugins[0]), single.maps_ports()), ("bridge", false));
        let list = r#"{"cniVersion": "1.0.0", "name": "b", "plugins": [
            {"type": "bridge"}, {"type": "portmap", "capabilities": {"portMappings": true}}]}"#;
        let list = NetworkList::parse(list).unwrap();
        assert_eq!((list.plugins.len(), list.maps_ports()), (2, true));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            ("{", "it is not JSON"),
            ("[]", "it must be a JSON object"),
            (r#"{"type": "bridge"}"#, "name must be there"),
            (r#"{"name": "../a", "type": "bridge"}"#, "name must start with"),
            (r#"{"name": "a"}"#, "type must be there"),
            (r#"{"name": "a", "type": "/bin/sh"}"#, "type must be the plain name"),
            (r#"{"name": "a", "type": "bridge", "cniVersion": "9.9.9"}"#, "cniVersion \"9.9.9\" is not"),
            (r#"{"name": "a", "type": "bridge", "cniVersion": 1}"#, "cniVersion must be there, and text"),
            (r#"{"name": "a", "plugins": []}"#, "plugins must be a list"),
            (r#"{"name": "a", "plugins": [{"type": "x"}, 1]}"#, "plugins[1] must be an object"),
            (r#"{"name": "a", "plugins": [{}]}"#, "plugins[0].type must be there"),
        ];
        for (text, problem) in cases {
            let said = NetworkList::parse(text).unwrap_err();
            assert!(said.starts_with(problem), "{text}: {said}");
        }
    }
}
