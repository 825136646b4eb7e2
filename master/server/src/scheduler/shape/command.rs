//! Commands: what is fetched for them, and their environment.

use chapada_wire::v1;
use v1::environment::variable::Type;

pub(super) fn check(field: &str, command: &v1::CommandInfo) -> Result<(), String> {
    for (index, uri) in command.uris.iter().enumerate() {
        if uri.value.as_deref().unwrap_or_default().is_empty() {
            return Err(format!("'{field}.uris[{index}].value' must not be empty"));
        }
        let output = uri.output_file.as_deref().unwrap_or_default();
        if output.starts_with('/') || output.split('/').any(|part| part == "..") {
            return Err(format!("'{field}.uris[{index}].output_file' must lie below the sandbox"));
        }
    }
    match &command.environment {
        Some(environment) => variables(&format!("{field}.environment"), environment),
        None => Ok(()),
    }
}

fn variables(field: &str, environment: &v1::Environment) -> Result<(), String> {
    for variable in &environment.variables {
        let name = variable.name.as_deref().unwrap_or_default();
        if name.is_empty() || name.contains('=') || name.contains('\0') {
            return Err(format!("Environment variable name '{name}' in '{field}' is invalid"));
        }
        match variable.r#type() {
            Type::Value if variable.value.is_none() => {
                return Err(format!("Environment variable '{name}' of type 'VALUE' must have a value set"));
            }
            Type::Value if variable.secret.is_some() => {
                return Err(format!(
                    "Environment variable '{name}' of type 'VALUE' must not have a secret set"
                ));
            }
            Type::Secret if variable.secret.is_none() => {
                return Err(format!("Environment variable '{name}' of type 'SECRET' must have a secret set"));
            }
            Type::Secret if variable.value.is_some() => {
                return Err(format!(
                    "Environment variable '{name}' of type 'SECRET' must not have a value set"
                ));
            }
            Type::Unknown => {
                return Err(format!("Environment variable '{name}' has an unknown type"));
            }
            Type::Value | Type::Secret => {}
        }
    }
    Ok(())
}
