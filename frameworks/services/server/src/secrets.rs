//! The values of secrets: files of a directory of the operator's. A definition only ever has the name of one.

use std::path::{Component, Path, PathBuf};

use chapada_sdk::wire;
use chapada_services_core::{Command, FieldError, GroupChange};
use serde_json::{Map, Value};

/// The largest value: it travels with the task's description, in one message of bounded size.
const MAX_VALUE: u64 = 64 << 10;

/// Where values are, if anywhere.
#[derive(Clone, Debug, Default)]
pub(crate) struct Secrets {
    directory: Option<PathBuf>,
}

/// Why a value cannot be had. It says which secret, and nothing of its value.
#[derive(Debug, thiserror::Error)]
#[error("the secret {name} cannot be had: {why}")]
pub(crate) struct SecretLost {
    name: String,
    why: String,
}

impl Secrets {
    pub(crate) fn new(directory: Option<PathBuf>) -> Self {
        Self { directory }
    }

    /// Whether there can be any.
    pub(crate) fn are_kept(&self) -> bool {
        self.directory.is_some()
    }

    /// The value, in the API's terms.
    ///
    /// # Errors
    /// When there is none of that name, or it is too large.
    pub(crate) async fn value(&self, name: &str) -> Result<wire::Secret, SecretLost> {
        let data = self.read(name).await?;
        let mut secret =
            wire::Secret { value: Some(wire::secret::Value { data: Some(data) }), ..wire::Secret::default() };
        secret.set_type(wire::secret::Type::Value);
        Ok(secret)
    }

    async fn read(&self, name: &str) -> Result<Vec<u8>, SecretLost> {
        let lost = |why: &str| SecretLost { name: name.to_owned(), why: why.to_owned() };
        let directory = self.directory.as_ref().ok_or_else(|| lost("this framework keeps none"))?;
        let path =
            directory.join(within(name).ok_or_else(|| lost("its name is no path below --secrets-dir"))?);
        let said = |error: std::io::Error| lost(&error.to_string());
        let length = tokio::fs::metadata(&path).await.map_err(said)?;
        if !length.is_file() {
            return Err(lost("it is no file"));
        }
        if length.len() > MAX_VALUE {
            return Err(lost("its value is too large"));
        }
        tokio::fs::read(&path).await.map_err(said)
    }

    /// Which of the secrets that a command brings cannot be had now; only for who may use them. Where none are kept, the core
    /// refuses them.
    pub(crate) async fn missing(&self, named: Vec<(String, String)>) -> Vec<FieldError> {
        let named = if self.are_kept() { named } else { Vec::new() };
        let mut errors = Vec::new();
        for (path, source) in named {
            if let Err(error) = self.read(&source).await {
                errors.push(FieldError::new(path, error.to_string()));
            }
        }
        errors
    }
}

/// Where a command's definitions name a secret, and which.
pub(crate) fn named(command: &Command) -> Vec<(String, String)> {
    let mut found = Vec::new();
    match command {
        Command::Create { definition, .. }
        | Command::CreatePod { definition, .. }
        | Command::ReplacePod { definition, .. } => of_definition("", definition, &mut found),
        Command::Update { updates, .. } => {
            updates.iter().for_each(|update| of_definition("", &update.fields, &mut found));
        }
        Command::Group { change: GroupChange::Create(group) | GroupChange::Put(group), .. } => {
            of_group(group, &mut found);
        }
        _ => {}
    }
    found
}

fn of_definition(at: &str, fields: &Map<String, Value>, found: &mut Vec<(String, String)>) {
    let secrets = fields.get("secrets").and_then(Value::as_object).into_iter().flatten();
    found.extend(secrets.filter_map(|(name, secret)| {
        Some((format!("{at}/secrets({name})/source"), secret.get("source")?.as_str()?.to_owned()))
    }));
}

/// Those of the apps and pods in a group and below; a body is no deeper than its reader lets it be, and this not at all.
fn of_group(group: &Map<String, Value>, found: &mut Vec<(String, String)>) {
    let mut open = vec![(String::new(), group)];
    while let Some((at, group)) = open.pop() {
        let members = |kind: &'static str| {
            let list = group.get(kind).and_then(Value::as_array).into_iter().flatten().enumerate();
            let at = &at;
            list.filter_map(move |(index, one)| Some((format!("{at}/{kind}({index})"), one.as_object()?)))
        };
        for (at, definition) in members("apps").chain(members("pods")) {
            of_definition(&at, definition, found);
        }
        open.extend(members("groups").collect::<Vec<_>>());
    }
}

/// Where a secret stands among groups and apps: `/team/key` for `team//key`.
pub(crate) fn path(source: &str) -> Option<String> {
    let parts = within(source)?.components().map(|part| part.as_os_str().to_str());
    parts.map(|part| Some(format!("/{}", part?))).collect()
}

/// The path, if it leads down only.
fn within(name: &str) -> Option<&Path> {
    let path = Path::new(name.trim_start_matches('/'));
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    (plain && path.components().next().is_some()).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn values_are_files_of_the_directory_and_no_others() {
        let directory = std::env::temp_dir().join(format!("chapada-secrets-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(directory.join("db")).unwrap();
        std::fs::write(directory.join("db/password"), "xyzzy").unwrap();
        std::fs::write(directory.join("large"), vec![0; 70 << 10]).unwrap();
        let secrets = Secrets::new(Some(directory.clone()));
        let value = |secret: wire::Secret| secret.value.and_then(|value| value.data).unwrap();
        assert_eq!(&value(secrets.value("db/password").await.unwrap())[..], b"xyzzy");
        assert_eq!(&value(secrets.value("/db/password").await.unwrap())[..], b"xyzzy");
        for name in ["", "/", "db", "none", "large", "../secrets", "db/../db/password"] {
            assert!(secrets.value(name).await.is_err(), "{name}");
        }
        assert!(Secrets::default().value("db/password").await.is_err());
        std::fs::remove_dir_all(directory).unwrap();
    }
}
