//! What scenarios look at and do, beside letting time pass.

use std::time::Duration;

use chapada_master_core::{Accept, Call, Offer, Operation, Proposal};
use chapada_model::{AgentId, Filters, FrameworkId, TaskId};

use crate::actors::task;
use crate::network::SILENCE;
use crate::nodes::{Container, caller};
use crate::queue::{End, Happening};
use crate::sim::Sim;

impl Sim {
    /// The id that a framework was given.
    pub fn framework_id(&self, framework: usize) -> Option<FrameworkId> {
        self.frameworks[framework].id.clone()
    }

    /// The id that an agent was given.
    pub fn agent_id(&self, agent: usize) -> Option<AgentId> {
        self.agents[agent].core.as_ref().and_then(chapada_agent_core::Agent::id).cloned()
    }

    /// Why a framework was refused.
    pub fn refused(&self, framework: usize) -> Option<&str> {
        self.frameworks[framework].refused.as_deref()
    }

    /// How many of a keeper's tasks run, as it knows.
    pub fn kept(&self, framework: usize) -> usize {
        self.frameworks[framework].actor.keeper().map_or(0, crate::actors::Keeper::running)
    }

    /// What becomes of the next write of a framework's store.
    pub fn trouble_store(&mut self, framework: usize, trouble: crate::actors::Trouble) {
        self.frameworks[framework].store.trouble = trouble;
    }

    /// How many records an agent's log has.
    pub fn log_length(&self, agent: usize) -> usize {
        self.agents[agent].disk.durable.len() + self.agents[agent].disk.written.len()
    }

    /// How many agents are registered with the leader, as they know.
    pub fn registered(&self) -> usize {
        self.agents.iter().filter(|agent| agent.registered).count()
    }

    /// Since when each agent is registered.
    pub fn registered_at(&self) -> Vec<chapada_model::Mono> {
        self.agents.iter().map(|agent| agent.registered_at).collect()
    }

    /// How often agents with wrong credentials were turned away.
    pub fn rejected(&self) -> u64 {
        self.checks.rejected
    }

    /// How often a reviver was offered something, and how long it waited each time.
    pub fn waits(&self, framework: usize) -> &[Duration] {
        self.frameworks[framework].actor.reviver().map_or(&[], crate::actors::Reviver::waits)
    }

    /// How many tasks agents have begun.
    pub fn launches(&self) -> usize {
        self.checks.launches()
    }

    /// How often anyone has dialled a master.
    pub fn dials(&self) -> u64 {
        self.network.dials()
    }

    /// The names of a framework's tasks that run on any machine.
    pub fn running(&self, framework: usize) -> Vec<String> {
        let id = self.framework_id(framework);
        let all = self.agents.iter().flat_map(|agent| agent.kernel.containers.values());
        let own = all.filter(|found| found.is_live() && Some(found.framework()) == id.as_ref());
        own.flat_map(|found| found.tasks().map(|task| task.key.task.to_string())).collect()
    }

    /// A framework's outstanding offers.
    pub fn offers(&self, framework: usize) -> Vec<std::sync::Arc<Offer>> {
        let (Some(books), Some(id)) = (self.books(), self.framework_id(framework)) else { return Vec::new() };
        books.offers_of(&id).cloned().collect()
    }

    /// Accepts a framework's first offer for one task; false when it has none.
    pub fn launch_task(&mut self, framework: usize, name: &str, resources: &str) -> bool {
        let accept = self.accept_of(framework, name, resources);
        let has_offer = accept.is_some();
        accept.into_iter().for_each(|accept| self.framework_calls(framework, accept));
        has_offer
    }

    /// The call that accepts a framework's first offer for one task.
    pub fn accept_of(&self, framework: usize, name: &str, resources: &str) -> Option<Call> {
        let offer = self.offers(framework).into_iter().next()?;
        let id = TaskId::new(name).expect("a valid id");
        let described = task(id, &offer.agent, resources.parse().expect("valid resources"));
        Some(Call::Accept(Accept {
            offers: vec![offer.id.clone()],
            operations: vec![Operation::Launch { tasks: vec![Proposal::Valid(Box::new(described))] }],
            filters: Filters { refuse: Duration::ZERO },
        }))
    }

    /// A framework makes two calls, each on a connection of its own, and the first arrives so much later than the second.
    pub fn calls_swap(&mut self, framework: usize, first: Call, second: Call, late: Duration) {
        let node = &self.frameworks[framework];
        let (Some(id), Some(wire), Some(master)) = (node.id.clone(), node.wire, self.leader()) else {
            return;
        };
        let soon = self.now + self.delay();
        for (at, call) in [(soon + late, first), (soon, second)] {
            let caller = Box::new(caller(id.clone(), wire));
            let number = self.frameworks[framework].next_call();
            self.queue.put(at, Happening::Call { master, caller, call: Box::new(call), number });
        }
    }

    /// A framework acknowledges all that it has heard of a task.
    pub fn acknowledge_all(&mut self, framework: usize, name: &str) {
        let Some(agent) = self.heard(framework, name).agent else { return };
        let task = TaskId::new(name).expect("a valid id");
        for (uuid, _) in self.heard(framework, name).updates {
            self.framework_calls(
                framework,
                Call::Acknowledge { agent: agent.clone(), task: task.clone(), uuid },
            );
        }
    }

    /// A task's process exits with this status.
    pub fn exit_task(&mut self, name: &str, code: u8) {
        for agent in 0..self.agents.len() {
            let containers = &self.agents[agent].kernel.containers;
            let is_it = |found: &Container| {
                found.is_live() && found.tasks().any(|task| task.key.task.as_str() == name)
            };
            let found = containers.iter().find(|(_, found)| is_it(found));
            if let Some((container, _)) = found {
                let (container, end) = (container.clone(), End::Code(code));
                self.queue.put(self.now, Happening::Exited { agent, container, end });
            }
        }
    }

    /// A second instance of a framework takes over: it subscribes with the same id while the first one hangs on to its
    /// stream. The stream of the first.
    pub fn take_over(&mut self, framework: usize) -> Option<u64> {
        let node = &mut self.frameworks[framework];
        let wire = node.wire.take()?;
        node.subscribed = false;
        node.store.cut(&mut self.rng);
        node.actor.restart(&node.store);
        let process = node.process;
        self.queue.put(self.now, Happening::Connect { node: crate::Node::Framework(framework), process });
        Some(wire)
    }

    /// An agent and the leader do not reach each other for some time; how many tasks run there.
    pub fn cut_off(&mut self, agent: usize, time: Duration) -> usize {
        if let Some(leader) = self.leader() {
            self.partition(crate::Node::Agent(agent), crate::Node::Master(leader), true, time);
        }
        let all = self.agents[agent].kernel.containers.values();
        all.filter(|found| found.is_live()).map(|found| found.tasks().count()).sum()
    }

    /// A client asks something of the services framework; the number of its request.
    pub fn ask_services(&mut self, framework: usize, command: chapada_services_core::Command) -> u64 {
        self.act(framework, crate::actors::News::Command(Box::new(command)));
        self.frameworks[framework].actor.services().map_or(0, crate::actors::Services::requests)
    }

    /// How many tasks the services framework shows.
    pub fn known(&self, framework: usize) -> Option<usize> {
        Some(self.services(framework)?.apps().map(|state| state.tasks().count()).sum())
    }

    /// What a client was answered, if it was.
    pub fn answer(
        &self,
        framework: usize,
        request: u64,
    ) -> Option<&Result<chapada_services_core::Reply, chapada_services_core::Refusal>> {
        self.frameworks[framework].actor.services()?.answer(request)
    }

    /// The services framework's core, while its process runs.
    pub fn services(&self, framework: usize) -> Option<&chapada_services_core::Services> {
        self.frameworks[framework].actor.services()?.core()
    }

    /// What the subscribers of the services framework's events were told, the newest last.
    pub fn told(&self, framework: usize) -> Vec<&chapada_services_core::Published> {
        self.frameworks[framework]
            .actor
            .services()
            .map_or_else(Vec::new, |services| services.told().collect())
    }

    /// A call of a framework that names this stream as its own.
    pub fn call_as_on(&mut self, framework: usize, stream: u64, call: Call) {
        let (Some(id), Some(master)) = (self.framework_id(framework), self.leader()) else { return };
        let at = self.now + self.delay();
        let caller = Box::new(caller(id, stream));
        let number = self.frameworks[framework].next_call();
        self.queue.put(at, Happening::Call { master, caller, call: Box::new(call), number });
    }

    /// The longest time after which either end of a broken connection knows.
    pub const fn silence() -> Duration {
        SILENCE
    }
}
