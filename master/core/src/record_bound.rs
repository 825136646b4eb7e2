//! How large a record may become. What would be larger is refused at the door, for a registry that cannot take a record takes its
//! leader down.

use std::sync::Arc;
use std::time::Duration;

use chapada_model::{AgentDescription, AgentId, FrameworkDescription, FrameworkId, Resources};

use crate::draining::{MAX_DRAIN_NAME, MAX_NOTICE};
use crate::{
    Agent, AgentRecord, Drain, DrainOrder, FrameworkRecord, KilledBefore, Master, RegistryChange, Removal,
    Standing,
};

/// What the store takes, as the shell writes it.
#[derive(Clone, Copy, Debug)]
pub struct RecordBound {
    /// Bytes of the largest record that a change puts.
    pub bytes: fn(&RegistryChange) -> usize,
    /// The most that a record may have.
    pub max: usize,
}

impl Default for RecordBound {
    /// None.
    fn default() -> Self {
        Self { bytes: |_| 0, max: usize::MAX }
    }
}

impl PartialEq for RecordBound {
    fn eq(&self, other: &Self) -> bool {
        self.max == other.max
    }
}

/// What an agent says of itself is in its record as read and once more as it came, in two digits a byte: three times as much
/// at most.
const COPIES_OF_DESCRIPTION: usize = 3;

impl Master {
    /// Whether the record of a framework fits, also once it has an id, is away and is removed.
    pub(crate) fn check_framework_fits(&self, description: &FrameworkDescription) -> Result<(), String> {
        let id = description.id.clone().or_else(longest_id).ok_or("it has no id")?;
        let at = self.now.wall;
        let record = FrameworkRecord {
            description: Arc::new(FrameworkDescription { id: Some(id.clone()), ..description.clone() }),
            registered: at,
            disconnected: Some(at),
            removed: Some(Removal { at, unconfirmed: Default::default(), absent: true }),
        };
        self.check_change_fits(&RegistryChange::PutFramework(id, record))
            .map_err(|why| format!("{why}: shorten its name, labels or other texts"))
    }

    /// Whether the record of an agent fits, also once it is drained and away.
    pub(crate) fn check_agent_fits(
        &self,
        id: &AgentId,
        description: &Arc<AgentDescription>,
    ) -> Result<(), String> {
        let record = self.largest_record(description.clone());
        self.check_change_fits(&RegistryChange::PutAgent(id.clone(), record)).map_err(|why| {
            format!("{why}: shorten its attributes, or have frameworks unreserve some of its resources")
        })
    }

    /// Whether the record of an agent fits when it comes back with these resources, if they take more than what it has now.
    pub(crate) fn check_resources_fit(&self, agent: &Agent, total: &Resources) -> Result<(), String> {
        let bytes = |resources: &Resources| {
            let description =
                AgentDescription { resources: resources.clone(), ..(*agent.description).clone() };
            let record = self.largest_record(Arc::new(description));
            (self.settings.records.bytes)(&RegistryChange::PutAgent(agent.id.clone(), record))
        };
        let (after, max) = (bytes(total), self.settings.records.max / COPIES_OF_DESCRIPTION);
        if after <= max || after <= bytes(&agent.total) {
            return Ok(());
        }
        Err(format!(
            "what agent {} is would take {after} bytes in the registry, at most {max} fit: give reservations and volumes \
             fewer or shorter labels, or make fewer",
            agent.id
        ))
    }

    /// Whether the records of a change fit.
    pub(crate) fn check_change_fits(&self, change: &RegistryChange) -> Result<(), String> {
        let (bytes, max) = ((self.settings.records.bytes)(change), self.settings.records.max);
        match bytes <= max {
            true => Ok(()),
            false => Err(format!("it would take {bytes} bytes in the registry, at most {max} fit")),
        }
    }

    fn largest_record(&self, description: Arc<AgentDescription>) -> AgentRecord {
        let at = self.now.wall;
        let longest = MAX_NOTICE.saturating_sub(Duration::from_nanos(1));
        let order = DrainOrder { notice: Some(longest), max_grace: Some(longest), mark_gone: false };
        let part_of = Some("\"".repeat(MAX_DRAIN_NAME).into());
        let killed_before = Some(KilledBefore { from: at, until: at, mark_gone: false });
        AgentRecord {
            description,
            standing: Standing::Unreachable { since: at },
            registered: at,
            deactivated: false,
            drain: Some(Drain {
                order,
                since: at,
                is_drained: false,
                part_of,
                is_notice_over: true,
                killed_before,
            }),
            returned: Some(at),
        }
    }
}

fn longest_id() -> Option<FrameworkId> {
    FrameworkId::new("x".repeat(chapada_model::MAX_ID_BYTES)).ok()
}
