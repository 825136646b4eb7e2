//! What a container needs before it is made: files, an image, volumes, ids.

use std::path::PathBuf;
use std::sync::Arc;

use chapada_network::Networks;
use chapada_shim::Launcher;

use crate::config::AgentConfig;
use crate::containers::ids::{IdRanges, REGISTRY};
use crate::disk_quota::{Figures, Projects};
use crate::disks::Disks;
use crate::error::AgentError;
use crate::executors::DomainSocket;
use crate::fetch::Fetcher;
use crate::gpus::Gpus;
use crate::images::LazyImages;
use crate::layout::Layout;
use crate::network_class::NetworkClasses;
use crate::networks::{self, NameFiles};
use crate::policy::Policy;
use crate::secrets::Secrets;
use crate::volumes::Volumes;

/// Where it comes from.
#[derive(Debug)]
pub(crate) struct Supplies {
    pub(crate) fetcher: Fetcher,
    pub(crate) images: Arc<LazyImages>,
    pub(crate) ids: IdRanges,
    pub(crate) policy: Arc<Policy>,
    /// Where executors reach the agent beside the network.
    pub(crate) socket: Option<DomainSocket>,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) volumes: Volumes,
    pub(crate) networks: Networks,
    pub(crate) names: NameFiles,
    pub(crate) gpus: Gpus,
    pub(crate) network_classes: NetworkClasses,
    /// The kernel's quota for sandboxes, where there is one.
    pub(crate) projects: Option<Projects>,
    /// What containers take of the disks.
    pub(crate) disk_figures: Figures,
}

impl Supplies {
    /// For an agent that listens on this port.
    pub(crate) fn new(
        config: &AgentConfig,
        port: u16,
        layout: &Layout,
        disks: Disks,
        launcher: Arc<Launcher>,
        runtime_dir: PathBuf,
    ) -> Result<Self, AgentError> {
        let ids = IdRanges::open(REGISTRY.into(), layout.work_dir(), config.userns_first_id);
        let images = Arc::new(LazyImages::new(config, layout)?);
        let mut protected =
            vec![layout.work_dir().to_owned(), runtime_dir.clone(), images.directory().to_owned()];
        protected.extend(disks.hidden());
        let socket = DomainSocket::of(config, layout, &protected)?;
        protected.extend(socket.iter().map(|socket| socket.directory().to_owned()));
        Ok(Self {
            fetcher: Fetcher::new(config, port, layout, launcher.clone(), runtime_dir, images.clone())?,
            images,
            ids: ids.map_err(|error| AgentError::flag("userns-first-id", error))?,
            policy: Arc::new(Policy::new(config, protected)?),
            socket,
            secrets: Arc::new(Secrets::default()),
            gpus: Gpus::discover(config, layout)?,
            network_classes: NetworkClasses::open(config, layout, launcher.cgroups())?,
            projects: Projects::open(config, layout)?,
            disk_figures: Figures::default(),
            networks: networks::open(config, layout)?,
            names: NameFiles::new(layout.networks().join("names")),
            volumes: Volumes::new(layout.work_dir(), disks),
        })
    }

    /// Takes back what belongs to none of these containers.
    pub(crate) fn retain(&self, known: &[String]) {
        self.gpus.leases().retain(known);
        self.network_classes.retain(known);
    }

    /// Takes back what a container had. Blocks.
    pub(super) fn release(&self, container: &str) {
        self.images.release(container);
        self.names.release(container);
        self.gpus.leases().release(container);
        self.network_classes.release(container);
        if let Err(error) = self.ids.release(container) {
            tracing::error!(container_id = container, %error, "cannot take back the ids of a container");
        }
    }
}
