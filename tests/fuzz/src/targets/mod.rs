//! Every target by name.

mod agent;
mod images;
mod master;
mod records;
mod services;
mod text;
mod wire;

use crate::corpus;

/// A function to be fed.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: on the command line, and of its folder below `corpus/`.
    pub name: &'static str,
    /// Takes anything. It panics when something is wrong with the code, never because something is wrong with the bytes.
    pub body: fn(&[u8]),
    seeds: fn() -> Vec<Vec<u8>>,
}

impl Target {
    /// What to start from: real messages, and the inputs that broke something once.
    pub fn seeds(&self) -> Vec<Vec<u8>> {
        let mut seeds = (self.seeds)();
        seeds.extend(corpus::regressions(self.name));
        seeds
    }
}

macro_rules! targets {
    ($($name:ident: $body:path, $seeds:path;)*) => {
        /// All of them.
        pub const TARGETS: &[Target] = &[$(Target { name: stringify!($name), body: $body, seeds: $seeds }),*];
    };
}

targets! {
    wire_scheduler: wire::scheduler, wire::scheduler_seeds;
    wire_executor: wire::executor, wire::executor_seeds;
    wire_operator: wire::operator, wire::operator_seeds;
    wire_agent: wire::agent, wire::agent_seeds;
    recordio: wire::recordio, wire::recordio_seeds;
    convert: wire::convert, wire::convert_seeds;
    sdk_event: wire::sdk_event, wire::scheduler_seeds;
    resources: text::resources, text::resources_seeds;
    offer_constraints: text::offer_constraints, text::offer_constraints_seeds;
    leader_info: text::leader_info, text::leader_info_seeds;
    query: text::query, text::query_seeds;
    registry_page: records::registry_page, records::registry_page_seeds;
    registry_state: records::registry_state, records::registry_state_seeds;
    agent_log: records::agent_log, records::agent_log_seeds;
    services_store: records::services_store, records::services_store_seeds;
    app_definition: services::app_definition, services::app_definition_seeds;
    master_calls: master::calls, master::calls_seeds;
    master_operator: master::operator, master::operator_seeds;
    master_forms: master::forms, master::forms_seeds;
    master_agents: master::agents, master::agents_seeds;
    agent_commands: agent::commands, agent::commands_seeds;
    agent_executors: agent::executors, agent::executors_seeds;
    image_layer: images::layer, images::layer_seeds;
    image_documents: images::image_documents, images::image_documents_seeds;
    fetched_archive: images::fetched_archive, images::fetched_archive_seeds;
}

/// The target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
