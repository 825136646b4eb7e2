//! What a task or an executor runs, in the API's own terms.

use chapada_wire::v1::{CommandInfo, command_info, environment};

/// A line for `/bin/sh -c`.
pub(crate) fn shell(line: String) -> CommandInfo {
    CommandInfo { shell: Some(true), value: Some(line), ..CommandInfo::default() }
}

/// A program without a shell.
pub(crate) fn program(path: String, arguments: impl IntoIterator<Item = impl Into<String>>) -> CommandInfo {
    let arguments = arguments.into_iter().map(Into::into).collect();
    CommandInfo { shell: Some(false), value: Some(path), arguments, ..CommandInfo::default() }
}

/// One more variable of the environment.
pub(crate) fn add_variable(command: &mut CommandInfo, name: String, value: String) {
    let variable =
        environment::Variable { name: Some(name), value: Some(value), ..environment::Variable::default() };
    command.environment.get_or_insert_default().variables.push(variable);
}

/// One more file to fetch into the sandbox.
pub(crate) fn add_uri(command: &mut CommandInfo, uri: String) {
    command.uris.push(command_info::Uri { value: Some(uri), ..command_info::Uri::default() });
}
