//! Homes: what is kept on an agent for one instance of a resident app, with the volumes it finds again.

use chapada_model::{
    AgentId, Disk, DiskVolume, Label, Labels, Mono, Now, Persistence, Reservation, ReservationKind, Resource,
    Resources, Role,
};
use chapada_sdk_core::{Offer, Placement, Request, fits};
use serde::{Deserialize, Serialize};

use crate::definition::AppDefinition;
use crate::id::{InstanceId, Uuid};
use crate::matching::request;
use crate::timestamp::Timestamp;

/// The labels of a reservation: whose it is. The first two are Marathon's.
const FRAMEWORK: &str = "marathon_framework_id";
const INSTANCE: &str = "marathon_task_id";
const HOME: &str = "chapada_home";

/// What is kept on an agent for one instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Home {
    /// For which instance.
    pub instance: InstanceId,
    /// Tells it from others that the instance had.
    pub uuid: Uuid,
    /// Where.
    pub agent: AgentId,
    /// The agent's host name.
    pub hostname: String,
    /// The last incarnation of the instance that was launched there.
    pub incarnation: u32,
    /// When it was asked for.
    pub made_at: Timestamp,
    /// Whether it is known to be there: its agent began a task in it.
    pub confirmed: bool,
    /// Its volumes.
    pub volumes: Vec<LocalVolume>,
    /// Since when this process waits for it, unless it is there.
    #[serde(skip)]
    pub(crate) since: Mono,
}

/// A volume of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalVolume {
    /// Where it shows.
    pub container_path: String,
    /// Its name at the agent.
    pub persistence_id: String,
    /// Tells it from others.
    pub uuid: Uuid,
}

/// What is done with an offer to make a home, and what a task takes of it then.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Founding {
    /// What is taken of the offer, as it was offered.
    pub(crate) taken: Resources,
    /// What is reserved.
    pub(crate) reserved: Resources,
    /// The volumes made of it.
    pub(crate) volumes: Resources,
    /// For the task.
    pub(crate) placement: Placement,
}

impl Home {
    /// A home to be, on the offer's agent.
    pub(crate) fn new(
        app: &AppDefinition,
        instance: InstanceId,
        uuid: Uuid,
        offer: &Offer,
        now: Now,
    ) -> Self {
        let volume = |path: &str| LocalVolume {
            container_path: path.to_owned(),
            persistence_id: format!("{}#{path}#{uuid}", app.id.safe()),
            uuid,
        };
        Self {
            volumes: app.persistent_volumes().map(|(path, _)| volume(path)).collect(),
            instance,
            uuid,
            agent: offer.agent.clone(),
            hostname: offer.hostname.to_string(),
            incarnation: 0,
            made_at: now.wall.into(),
            confirmed: false,
            since: now.mono,
        }
    }

    fn labels(&self, framework: &str) -> Labels {
        vec![
            label(FRAMEWORK, framework.to_owned()),
            label(INSTANCE, self.instance.to_string()),
            label(HOME, self.uuid.to_string()),
        ]
    }

    pub(crate) fn is_of(&self, resource: &Resource) -> bool {
        label_of(resource, HOME).is_some_and(|home| *home == self.uuid.to_string())
    }

    /// What an offer holds of it, for the next task. `None` when a part is missing.
    pub(crate) fn found(&self, app: &AppDefinition, offer: &Offer) -> Option<Placement> {
        let own = Request {
            reserved_with: vec![label(HOME, self.uuid.to_string())],
            volumes: self.volumes.iter().map(|volume| volume.persistence_id.as_str().into()).collect(),
            // Where it may be was decided when it was made.
            constraints: Vec::new(),
            accepted_roles: Vec::new(),
            disks: Vec::new(),
            ..request(app)
        };
        fits(offer, &own, 0).ok()
    }

    /// What is done with its share of an offer to the role.
    pub(crate) fn found_on(&self, role: &Role, share: Placement, framework: &str) -> Option<Founding> {
        let taken = share.taken().ok()?;
        let (mut reserved, mut volumes) = (Vec::new(), Vec::new());
        for (part, volume) in share.disks.into_iter().zip(&self.volumes) {
            let part = self.kept(part, role, framework);
            volumes.push(with_volume(part.clone(), volume));
            reserved.push(part);
        }
        let plain = share.resources.iter();
        let kept: Vec<Resource> =
            plain.map(|resource| self.kept(resource.clone(), role, framework)).collect();
        reserved.extend(kept.iter().cloned());
        let for_task = Resources::from_list(kept.into_iter().chain(volumes.iter().cloned())).ok()?;
        Some(Founding {
            taken,
            reserved: Resources::from_list(reserved).ok()?,
            volumes: Resources::from_list(volumes).ok()?,
            placement: Placement { resources: for_task, ports: share.ports, ..Placement::default() },
        })
    }

    fn kept(&self, mut resource: Resource, role: &Role, framework: &str) -> Resource {
        let labels = self.labels(framework);
        let kind = ReservationKind::Dynamic;
        resource.reservations.push(Reservation { kind, role: role.clone(), principal: None, labels });
        resource
    }
}

/// The home that a resource was reserved for by this framework: the instance, and which of its homes.
pub(crate) fn home_of(resource: &Resource, framework: &str) -> Option<(InstanceId, Uuid)> {
    label_of(resource, FRAMEWORK).filter(|of| *of == framework)?;
    Some((label_of(resource, INSTANCE)?.parse().ok()?, label_of(resource, HOME)?.parse().ok()?))
}

fn label(key: &str, value: String) -> Label {
    Label { key: key.into(), value: Some(value.into()) }
}

fn label_of<'a>(resource: &'a Resource, key: &str) -> Option<&'a str> {
    let labels = &resource.reservations.last().filter(|last| last.kind == ReservationKind::Dynamic)?.labels;
    labels.iter().find(|label| *label.key == *key)?.value.as_deref()
}

fn with_volume(mut resource: Resource, volume: &LocalVolume) -> Resource {
    let source = resource.disk.take().and_then(|disk| disk.source);
    resource.disk = Some(Disk {
        persistence: Some(Persistence { id: volume.persistence_id.as_str().into(), principal: None }),
        volume: Some(DiskVolume {
            container_path: volume.container_path.as_str().into(),
            host_path: None,
            read_only: false,
        }),
        source,
    });
    resource
}
