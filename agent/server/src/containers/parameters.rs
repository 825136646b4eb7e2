//! Options of `docker run`, as containers of type DOCKER pass them on: those that mean something here, by their long names.

use chapada_agent_core::LaunchRefusal;
use chapada_wire::v1;

use super::description::{refusal, text, unsupported};

/// What is done of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parameters {
    /// Below what the task itself says.
    pub(super) environment: Vec<(String, String)>,
    pub(super) hostname: Option<String>,
    pub(super) user: Option<String>,
    /// Where the command starts, absolute.
    pub(super) directory: Option<String>,
}

impl Parameters {
    /// # Errors
    /// Names the first one that this agent cannot honour.
    pub(super) fn of(field: &str, list: &[v1::Parameter]) -> Result<Self, LaunchRefusal> {
        let mut found = Self::default();
        for (index, parameter) in list.iter().enumerate() {
            let (key, value) = (text(&parameter.key), text(&parameter.value).to_owned());
            let named = || format!("{field}[{index}] {key}");
            match key {
                "env" => match value.split_once('=') {
                    Some((name, value)) if !name.is_empty() => {
                        found.environment.push((name.to_owned(), value.to_owned()));
                    }
                    Some(_) | None => return Err(refusal(format!("{} is not NAME=VALUE", named()))),
                },
                "hostname" => found.hostname = Some(value),
                "user" => found.user = Some(value),
                "workdir" if value.starts_with('/') => found.directory = Some(value),
                "workdir" => return Err(refusal(format!("{} is not an absolute path", named()))),
                // Nobody here reads them: those of the task are shown.
                "label" => {}
                _ => {
                    let remedy = "env, hostname, label, user and workdir are";
                    return Err(unsupported(&named(), remedy));
                }
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(list: &[(&str, &str)]) -> Result<Parameters, String> {
        let parameter = |(key, value): &(&str, &str)| v1::Parameter {
            key: Some((*key).to_owned()),
            value: Some((*value).to_owned()),
        };
        let list: Vec<_> = list.iter().map(parameter).collect();
        Parameters::of("p", &list).map_err(|refusal| refusal.message)
    }

    #[test]
    fn the_ones_that_are_known_are_done_and_others_named() {
        let found = parameters(&[
            ("env", "A=b=c"),
            ("user", "www"),
            ("workdir", "/srv"),
            ("hostname", "h"),
            ("label", "x"),
        ]);
        let expected = Parameters {
            environment: vec![("A".to_owned(), "b=c".to_owned())],
            hostname: Some("h".to_owned()),
            user: Some("www".to_owned()),
            directory: Some("/srv".to_owned()),
        };
        assert_eq!(found, Ok(expected));
        for (key, value, message) in [
            ("cap-add", "ALL", "p[0] cap-add is not supported"),
            ("privileged", "true", "p[0] privileged is not supported"),
            ("volume", "/:/host", "p[0] volume is not supported"),
            ("env", "A", "p[0] env is not NAME=VALUE"),
            ("workdir", "srv", "p[0] workdir is not an absolute path"),
        ] {
            let said = parameters(&[(key, value)]).unwrap_err();
            assert!(said.starts_with(message), "{said}");
        }
    }
}
