//! What agents answer, and what frameworks acknowledge.

use std::sync::Arc;

use chapada_model::{
    AgentId, FrameworkId, OperationId, OperationKey, OperationState, OperationStatus, Resources, UpdateUuid,
};

use crate::{AgentCommand, AgentState, LinkId, Master, OfferOperation, SchedulerEvent};

impl Master {
    pub(crate) fn insert_operation(&mut self, operation: Arc<OfferOperation>) {
        self.index.operations_by_agent.insert(&operation.agent, operation.key.clone());
        if let Some(framework) = &operation.framework {
            self.index.operations_by_framework.insert(framework, operation.key.clone());
        }
        self.books.operations.insert(operation.key.clone(), operation);
    }

    /// Takes an operation out of the books. It must not hold anything any more.
    pub(crate) fn forget_operation(&mut self, key: &OperationKey) -> Option<Arc<OfferOperation>> {
        let operation = self.books.operations.remove(key)?;
        self.index.operations_by_agent.remove(&operation.agent, key);
        if let Some(framework) = &operation.framework {
            self.index.operations_by_framework.remove(framework, key);
        }
        self.note_emptier(&operation.agent);
        Some(operation)
    }

    /// An agent says what became of an operation.
    pub(crate) fn on_operation_update(&mut self, link: LinkId, agent: &AgentId, status: OperationStatus) {
        let is_linked = self.books.agents.get(agent).is_some_and(|a| a.state == AgentState::Active { link });
        let Some(key) = status.key.clone().filter(|_| is_linked && status.state.is_terminal()) else {
            return self.drop_with(|| {
                format!("a word on an operation from agent {agent} that is not final or not on its link")
            });
        };
        let known = self.books.operations.get(&key).filter(|known| known.agent == *agent).cloned();
        let Some(known) = known else { return self.acknowledge_operation_to(agent, &key, status.uuid) };
        self.settle_operation(&known, status.state);
        let status = Arc::new(OperationStatus {
            agent: Some(agent.clone()),
            operation: known.status.operation.clone(),
            framework: known.framework.clone(),
            ..status
        });
        if let Some(record) = self.books.operations.get_mut(&key) {
            let record = Arc::make_mut(record);
            record.status = status.clone();
            record.holds = Resources::EMPTY;
        }
        let reader = self.reader_of(&status).cloned();
        if let Some(framework) = &reader {
            self.tell_framework(framework, SchedulerEvent::UpdateOperation(status.clone()));
        }
        if reader.is_none() || status.uuid.is_none() {
            // Nobody is left to acknowledge.
            self.acknowledge_operation_to(agent, &key, status.uuid);
            self.forget_operation(&key);
        }
    }

    /// The framework that waits for what became of an operation, if one does.
    pub(crate) fn reader_of<'a>(&self, status: &'a OperationStatus) -> Option<&'a FrameworkId> {
        let framework = status.framework.as_ref().filter(|_| status.operation.is_some());
        framework.filter(|framework| self.books.frameworks.contains_key(*framework))
    }

    /// Lets go of what an operation held: what it has made when it is done, else what it had.
    fn settle_operation(&mut self, operation: &OfferOperation, state: OperationState) {
        // An operator's operation holds nothing: it counts at once.
        let Some(framework) = operation.framework.as_ref().filter(|_| !operation.holds.is_empty()) else {
            return;
        };
        let done = operation.conversion.as_ref().filter(|_| state == OperationState::Finished);
        let (agent, role) = (&operation.agent, &operation.role);
        match done {
            Some(conversion) => {
                self.convert_total(agent, conversion);
                self.exchange(agent, framework, role, conversion);
            }
            None => self.release(agent, framework, role, &operation.holds),
        }
    }

    fn acknowledge_operation_to(&mut self, agent: &AgentId, key: &OperationKey, uuid: Option<UpdateUuid>) {
        if let Some(uuid) = uuid {
            self.tell_agent(agent, AgentCommand::AcknowledgeOperation { key: key.clone(), uuid });
        }
    }

    /// A framework has taken note of what became of an operation.
    pub(crate) fn acknowledge_operation(
        &mut self,
        framework: &FrameworkId,
        agent: &AgentId,
        id: &OperationId,
        uuid: UpdateUuid,
    ) {
        let is_it = |known: &&Arc<OfferOperation>| {
            known.status.operation.as_ref() == Some(id)
                && known.status.uuid == Some(uuid)
                && known.agent == *agent
        };
        let own = self.index.operations_by_framework.iter(framework);
        let known = own.filter_map(|key| self.books.operations.get(key)).find(is_it).cloned();
        let Some(known) = known else {
            return self.drop_with(|| {
                format!("framework {framework} acknowledges operation {id}, of which nothing is open on agent {agent}")
            });
        };
        if self.books.agents.get(agent).is_none_or(|agent| agent.link().is_none()) {
            return self.drop_with(|| {
                format!("agent {agent} is not connected and will repeat what became of operation {id}")
            });
        }
        self.acknowledge_operation_to(agent, &known.key, Some(uuid));
        self.forget_operation(&known.key);
    }

    /// Sends what its former self may not have seen.
    pub(crate) fn repeat_operations(&mut self, framework: &FrameworkId) {
        for key in self.index.operations_by_framework.of(framework) {
            let status = self.books.operations.get(&key).map(|operation| operation.status.clone());
            if let Some(status) = status.filter(|status| status.uuid.is_some()) {
                self.tell_framework(framework, SchedulerEvent::UpdateOperation(status));
            }
        }
    }

    /// A framework is removed: nobody waits for what became of its operations. What is under way goes on.
    pub(crate) fn abandon_operations(&mut self, framework: &FrameworkId) {
        for key in self.index.operations_by_framework.of(framework) {
            let Some(operation) = self.books.operations.get(&key).cloned() else { continue };
            if operation.status.state.is_terminal() {
                self.acknowledge_operation_to(&operation.agent, &key, operation.status.uuid);
                self.forget_operation(&key);
            }
        }
    }
}
