//! Books with one agent and one framework, and a call off the wire into them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chapada_master_core::{
    Accept, Call, Caller, Effect, Event, Held, LinkId, Master, RegistryState, SchedulerEvent, Settings,
    StreamId,
};
use chapada_model::{
    AgentCapability, AgentDescription, Filters, FrameworkDescription, Mono, Now, Payload, Reason, Role,
    TaskState, Wall,
};
use chapada_wire::{Json as _, v1};
use serde_json::Value;

use super::super::operations::operation;

/// One agent, one framework with an offer of all of it.
pub(super) struct Scene {
    master: Master,
    now: Now,
    caller: Caller,
}

fn description(limits: bool) -> AgentDescription {
    AgentDescription {
        id: None,
        hostname: "h".into(),
        port: 1,
        address: "".into(),
        resources: "cpus:4;mem:1024;disk:100;gpus:2;ports:[31000-31009]".parse().unwrap(),
        attributes: Vec::new(),
        domain: None,
        capabilities: if limits { [AgentCapability::TaskResourceLimits].into() } else { BTreeSet::new() },
        version: "1".into(),
    }
}

fn framework() -> FrameworkDescription {
    FrameworkDescription {
        id: None,
        user: "u".into(),
        name: "n".into(),
        failover_timeout: Duration::ZERO,
        checkpoint: false,
        roles: vec![Role::star()],
        hostname: None,
        principal: None,
        webui_url: None,
        capabilities: [
            chapada_model::FrameworkCapability::GpuResources,
            chapada_model::FrameworkCapability::PartitionAware,
        ]
        .into(),
        labels: Vec::new(),
        offer_filters: BTreeMap::new(),
        details: Payload::default(),
    }
}

impl Scene {
    pub(super) fn new(limits: bool) -> Self {
        let now = Now { mono: Mono(1), wall: Wall(1_700_000_000_000_000_000) };
        let master = Master::recover(now, Settings::new("m"), RegistryState::default());
        let stream = StreamId("s".into());
        let caller =
            Caller { framework: "m-0000".parse().unwrap(), stream: Some(stream.clone()), principal: None };
        let mut scene = Self { master, now, caller };
        let (from, agent) = (std::net::Ipv4Addr::LOCALHOST.into(), description(limits));
        scene.apply(Event::AgentConnected { link: LinkId(1), from, agent, held: Held::default() });
        let (framework, suppressed) = (framework(), Vec::new());
        scene.apply(Event::Subscribe { stream, framework, suppressed, constraints: Default::default() });
        scene
    }

    /// What is to be durable is so at once.
    fn apply(&mut self, event: Event) {
        for effect in self.master.apply(self.now, event) {
            if let Effect::Record { ticket, .. } = effect {
                self.apply(Event::Recorded { ticket });
            }
        }
    }

    /// Accepts what is offered with one operation; what is said of its tasks, by reason and words.
    pub(super) fn accept(&mut self, said: &Value) -> Vec<(TaskState, Reason, String)> {
        self.now.mono = self.now.mono + Duration::from_millis(5);
        self.apply(Event::Tick);
        let offers: Vec<_> = self.master.snapshot().offers.keys().cloned().collect();
        assert!(!offers.is_empty(), "nothing is offered");
        let wire = v1::offer::Operation::from_json(said.to_string().as_bytes()).unwrap();
        let filters = Filters { refuse: Duration::ZERO };
        let call = Call::Accept(Accept { offers, operations: vec![operation(&wire)], filters });
        let effects = self.master.apply_call(self.now, &self.caller, call).unwrap();
        effects.into_iter().filter_map(verdict).collect()
    }
}

fn verdict(effect: Effect) -> Option<(TaskState, Reason, String)> {
    match effect {
        Effect::ToFramework { event: SchedulerEvent::Update(status), .. } => {
            assert_eq!((status.source, status.uuid), (Some(chapada_model::Source::Master), None));
            Some((status.state, status.reason?, status.message.as_deref()?.to_owned()))
        }
        Effect::ToFramework {
            event: SchedulerEvent::UpdateMalformed { state, reason, message, .. }, ..
        } => Some((state, reason, message.to_string())),
        _ => None,
    }
}
