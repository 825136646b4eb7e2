//! What a container needs before it is made: files, an image, volumes, ids.

use std::path::PathBuf;
use std::sync::Arc;

use chapada_network::Networks;
use chapada_shim::Launcher;

use crate::config::AgentConfig;
use crate::containers::ids::IdRanges;
use crate::disk_quota::Figures;
use crate::disks::Disks;
use crate::error::AgentError;
use crate::fetch::Fetcher;
use crate::images::LazyImages;
use crate::layout::Layout;
use crate::networks::{self, NameFiles};
use crate::volumes::Volumes;

/// Where it comes from.
#[derive(Debug)]
pub(crate) struct Supplies {
    pub(crate) fetcher: Fetcher,
    pub(crate) images: Arc<LazyImages>,
    pub(crate) ids: IdRanges,
    pub(crate) volumes: Volumes,
    /// What containers take of the disks.
    pub(crate) disk_figures: Figures,
    pub(crate) networks: Networks,
    pub(crate) names: NameFiles,
}

impl Supplies {
    pub(crate) fn new(
        config: &AgentConfig,
        layout: &Layout,
        disks: Disks,
        launcher: Arc<Launcher>,
        runtime_dir: PathBuf,
    ) -> Result<Self, AgentError> {
        let ids = IdRanges::open(layout.ids(), config.userns_first_id);
        Ok(Self {
            fetcher: Fetcher::new(config, layout, launcher, runtime_dir, images.clone())?,
            images,
        let images = Arc::new(LazyImages::new(config, layout)?);
            ids: ids.map_err(AgentError::directory("read", layout.ids()))?,
            networks: networks::open(config, layout)?,
            names: NameFiles::new(layout.networks().join("names")),
            disk_figures: Figures::default(),
            volumes: Volumes::new(layout.work_dir(), disks),
        })
    }

    /// Takes back what a container had. Blocks.
    pub(super) fn release(&self, container: &str) {
        self.images.release(container);
        self.names.release(container);
        if let Err(error) = self.ids.release(container) {
            tracing::error!(container_id = container, %error, "cannot take back the ids of a container");
        }
    }
}
