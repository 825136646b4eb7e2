//! Calls of subscribed frameworks: who may call, and what each call does.

use std::collections::BTreeSet;

use chapada_model::{AgentId, ExecutorId, FrameworkId, KillPolicy, Payload, Role, TaskId, TaskKey};

use crate::subscribe::Wishes;
use crate::{AgentCommand, Call, CallRefused, Caller, FrameworkState, Master, Ticket};

impl Master {
    /// Checks the caller in the order that clients know, and does what is asked.
    pub(crate) fn call(&mut self, caller: &Caller, call: Call) -> Result<Option<Ticket>, CallRefused> {
        let verdict = self.check_caller(caller).and_then(|()| self.carry_out(&caller.framework, call));
        match verdict {
            Ok(_) => self.books.counters.calls += 1,
            Err(_) => self.books.counters.calls_refused += 1,
        }
        verdict
    }

    /// Source: the order of checks of Mesos' scheduler endpoint.
    fn check_caller(&self, caller: &Caller) -> Result<(), CallRefused> {
        let framework = self.books.frameworks.get(&caller.framework).ok_or(CallRefused::UnknownFramework)?;
        if let (Some(caller), Some(owner)) = (&caller.principal, &framework.description.principal)
            && caller != owner
        {
            return Err(CallRefused::PrincipalDiffers { caller: caller.clone(), owner: owner.clone() });
        }
        let open = match &framework.state {
            FrameworkState::Active { stream } => stream,
            FrameworkState::Subscribing { .. }
            | FrameworkState::Disconnected { .. }
            | FrameworkState::Completed { .. } => return Err(CallRefused::NotSubscribed),
        };
        match &caller.stream {
            None => Err(CallRefused::StreamIdMissing),
            Some(given) if given != open => Err(CallRefused::StreamIdDiffers {
                given: given.0.clone(),
                framework: caller.framework.clone(),
            }),
            Some(_) => Ok(()),
        }
    }

    /// The ticket of what must be durable before the caller is answered, if anything must.
    fn carry_out(&mut self, framework: &FrameworkId, call: Call) -> Result<Option<Ticket>, CallRefused> {
        match call {
            Call::Teardown => drop(self.remove_framework(framework)),
            Call::Accept(accept) => self.accept(framework, accept),
            Call::Decline { offers, filters } => self.decline(framework, offers, filters),
            Call::AnswerInverse { offers, will_leave, filters } => {
                self.answer_inverse_offers(framework, offers, will_leave, filters);
            }
            Call::Revive { roles } => self.revive(framework, roles),
            Call::Suppress { roles } => self.suppress(framework, roles),
            Call::Kill { task, agent, policy } => self.kill(framework, task, agent, policy),
            Call::Acknowledge { agent, task, uuid } => self.acknowledge(framework, &agent, task, uuid),
            Call::AcknowledgeOperation { agent, operation, uuid } => {
                self.acknowledge_operation(framework, &agent, &operation, uuid);
            }
            Call::ReconcileOperations { operations } => self.reconcile_operations(framework, operations),
            Call::Reconcile { tasks } => self.reconcile(framework, tasks),
            Call::Message { agent, executor, data } => self.message(framework, &agent, executor, data),
            Call::Shutdown { agent, executor } => self.shutdown_executor(framework, &agent, executor),
            Call::UpdateFramework { description, suppressed, constraints } => {
                let wishes = Wishes::new(suppressed, constraints);
                return self.update_framework(framework, description, wishes);
            }
            Call::WithoutEffect { name } => {
                self.drop_with(|| format!("{name} of framework {framework}: it has no effect"));
            }
        }
        Ok(None)
    }

    /// The roles a call names, or all when it names none; `None`, with a word in the log, when one is not the framework's.
    fn named_roles(&mut self, framework: &FrameworkId, roles: Vec<Role>) -> Option<BTreeSet<Role>> {
        let own: BTreeSet<Role> =
            self.books.frameworks.get(framework)?.description.roles.iter().cloned().collect();
        if roles.is_empty() {
            return Some(own);
        }
        if let Some(role) = roles.iter().find(|role| !own.contains(*role)) {
            self.drop_with(|| {
                format!("a call of framework {framework} for role {role}, which is not its own")
            });
            return None;
        }
        Some(roles.into_iter().collect())
    }

    fn revive(&mut self, id: &FrameworkId, roles: Vec<Role>) {
        let Some(roles) = self.named_roles(id, roles) else { return };
        if let Some(framework) = self.framework_mut(id) {
            framework.suppressed.retain(|role| !roles.contains(role));
        }
        self.allocator.revive(id, &roles);
        self.note_wishes(id, false);
    }

    fn suppress(&mut self, id: &FrameworkId, roles: Vec<Role>) {
        let Some(roles) = self.named_roles(id, roles) else { return };
        self.allocator.suppress(id, &roles);
        if let Some(framework) = self.framework_mut(id) {
            framework.suppressed.extend(roles);
        }
        self.note_wishes(id, false);
    }

    pub(crate) fn kill(
        &mut self,
        framework: &FrameworkId,
        task: TaskId,
        agent: Option<AgentId>,
        policy: Option<KillPolicy>,
    ) {
        let key = TaskKey { framework: framework.clone(), task };
        let Some(known) = self.books.tasks.get(&key) else {
            self.note_early_kill(framework, key.task.clone());
            self.note_late_kill(&key, agent.as_ref(), policy);
            return self.reconcile(framework, vec![(key.task, agent)]);
        };
        let on = known.agent.clone();
        if agent.as_ref().is_some_and(|agent| *agent != on) {
            return self
                .drop_with(|| format!("a kill of task {key}, which is on agent {on} and not where it says"));
        }
        let policy = self.capped(&on, &key, policy);
        if let Some(known) = self.task_mut(&key) {
            (known.killed, known.kill_policy) = (true, policy);
        }
        let TaskKey { framework, task } = key;
        if !self.tell_agent(&on, AgentCommand::Kill { framework, task, policy }) {
            self.drop_with(|| format!("agent {on} is not connected; it is told to kill when it comes back"));
        }
    }

    fn message(&mut self, framework: &FrameworkId, agent: &AgentId, executor: ExecutorId, data: Payload) {
        let framework = framework.clone();
        if !self.tell_agent(agent, AgentCommand::ExecutorMessage { framework, executor, data }) {
            self.drop_with(|| format!("a message to an executor on agent {agent}, which is not connected"));
        }
    }

    fn shutdown_executor(&mut self, framework: &FrameworkId, agent: &AgentId, executor: ExecutorId) {
        let framework = framework.clone();
        if !self.tell_agent(agent, AgentCommand::ShutdownExecutor { framework, executor }) {
            self.drop_with(|| format!("a shutdown of an executor on agent {agent}, which is not connected"));
        }
    }
}
