//! The images of this machine: opened when the first task wants one, or at the start if an earlier process had some.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chapada_images::{Credentials, ImageConfig, ImageError, Images, Settings, stop_signal_of};
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use crate::config::AgentConfig;
use crate::error::AgentError;
use crate::layout::Layout;

/// How often the disk is looked at. Source: Mesos' `--image_gc_config` says 15 s and looks only then; a pull may be faster.
const EVERY: Duration = Duration::from_secs(15);

/// Between the name of a container and the number of its volume, in the name of that one's root.
const VOLUME: &str = "+volume";

/// Images, once somebody wants them.
#[derive(Debug)]
pub(crate) struct LazyImages {
    settings: Settings,
    opened: OnceCell<Images>,
}

impl LazyImages {
    /// # Errors
    /// When a flag names a file that cannot be used, or what is kept cannot be opened.
    pub(crate) fn new(config: &AgentConfig, layout: &Layout) -> Result<Self, AgentError> {
        let settings = settings(config, layout)?;
        let opened = OnceCell::new();
        if settings.directory.exists() {
            let images = Images::open(&settings).map_err(|error| AgentError::Images(Arc::new(error)))?;
            opened.set(images).map_err(|_| AgentError::Ended("images"))?;
        }
        Ok(Self { settings, opened })
    }

    /// Where they are kept.
    pub(crate) fn directory(&self) -> &Path {
        &self.settings.directory
    }

    /// # Errors
    /// When they cannot be opened; asked for again, it is tried again.
    pub(crate) async fn get(&self) -> Result<&Images, Arc<ImageError>> {
        let open = || async {
            let settings = self.settings.clone();
            let opened = spawn_blocking(move || Images::open(&settings)).await;
            opened.unwrap_or(Err(ImageError::Stopped)).map_err(Arc::new)
        };
        self.opened.get_or_try_init(open).await
    }

    /// Nobody has wanted one yet: nothing is kept either.
    pub(crate) fn opened(&self) -> Option<&Images> {
        self.opened.get()
    }

    /// Containers of before that have a root and are not among `known`. To be asked before the first launch.
    pub(crate) fn orphans(&self, known: &[String]) -> Vec<String> {
        let found = self.opened().map_or(Ok(Vec::new()), Images::containers);
        let found = found.unwrap_or_else(|error| {
            tracing::error!(error = error.chain(), "cannot list the roots of before");
            Vec::new()
        });
        let is_known = |root: &String| {
            let owner = root.split_once(VOLUME).map_or(root.as_str(), |(container, _)| container);
            known.iter().any(|known| known == root || known == owner)
        };
        found.into_iter().filter(|root| !is_known(root)).collect()
    }

    /// How the image of a container wants to be run; `None` without an image. Blocks for a look at a small file.
    pub(crate) fn config_of(&self, container: &str) -> Option<ImageConfig> {
        self.opened()?.config_of(container)
    }

    /// What ends a container first, if its image says so. Blocks for a look at a small file.
    pub(crate) fn stop_signal(&self, container: &str) -> Option<i32> {
        stop_signal_of(&self.config_of(container)?)
    }

    /// Removes the root of a container, if it has one, and those of its volumes. Blocks.
    pub(crate) fn release(&self, container: &str) {
        self.release_one(container);
        let volumes = (0..).map(|number| root_of_volume(container, number));
        volumes.take_while(|name| self.config_of(name).is_some()).for_each(|name| self.release_one(&name));
    }

    fn release_one(&self, container: &str) {
        let released = self.opened().map_or(Ok(()), |images| images.release(container));
        if let Err(error) = released {
            tracing::error!(
                container_id = container,
                error = error.chain(),
                "cannot remove the root of a container"
            );
        }
    }

    /// Makes room where images fill the disk, until `stop`.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = interval(EVERY);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let Some(images) = self.opened().cloned() else { continue };
            match spawn_blocking(move || images.collect()).await {
                Ok(Ok(collected)) if collected.images + collected.layers > 0 => {
                    tracing::info!(
                        images = collected.images,
                        layers = collected.layers,
                        "removed unused images"
                    );
                }
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::error!(error = error.chain(), "cannot make room"),
                Err(error) => tracing::error!(%error, "making room failed"),
            }
        }
    }
}

/// The name of the root that a volume of a container has.
pub(crate) fn root_of_volume(container: &str, number: usize) -> String {
    format!("{container}{VOLUME}{number}")
}

fn settings(config: &AgentConfig, layout: &Layout) -> Result<Settings, AgentError> {
    let own = || layout.work_dir().join("images");
    let mut settings = Settings::new(config.docker_store_dir.clone().unwrap_or_else(own));
    if let Some(path) = &config.docker_config {
        let credentials = Credentials::parse(&file("docker-config", path)?);
        settings.credentials = credentials.map_err(|error| AgentError::flag("docker-config", error))?;
    }
    settings.authorities = config.registry_ca.as_ref().map(|path| file("registry-ca", path)).transpose()?;
    // Mesos writes it as an address.
    let registry = config.docker_registry.as_deref();
    let registry =
        registry.map(|text| text.strip_prefix("https://").map_or(text, |host| host.trim_end_matches('/')));
    match registry {
        Some(directory) if directory.starts_with('/') => {
            settings.local_directory = Some(PathBuf::from(directory))
        }
        Some(host) if host.contains('/') => {
            return Err(AgentError::flag(
                "docker-registry",
                "name HOST or HOST:PORT, or an absolute directory",
            ));
        }
        host => settings.default_registry = host.map(str::to_owned),
    }
    settings.plain_http.clone_from(&config.insecure_registries);
    settings.patience.pull = config.image_pull_timeout;
    (settings.marks.high, settings.marks.low) = (config.image_disk_high, config.image_disk_low);
    if config.image_disk_low > config.image_disk_high || config.image_disk_high > 100 {
        return Err(AgentError::flag("image-disk-high", "name a percentage not below --image-disk-low"));
    }
    Ok(settings)
}

fn file(flag: &'static str, path: &Path) -> Result<Vec<u8>, AgentError> {
    fs::read(path).map_err(|error| AgentError::flag(flag, format!("cannot read {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut AgentConfig)) -> String {
        let mut config = AgentConfig::default();
        change(&mut config);
        let layout = Layout::new(PathBuf::from("/nowhere"));
        settings(&config, &layout).map(|_| ()).map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn a_registry_is_a_host_or_a_directory() {
        let layout = Layout::new(PathBuf::from("/nowhere"));
        let of = |text: &str| {
            let config = AgentConfig { docker_registry: Some(text.to_owned()), ..AgentConfig::default() };
            let settings = settings(&config, &layout).unwrap();
            (settings.default_registry, settings.local_directory)
        };
        assert_eq!(of("r.example:5000"), (Some("r.example:5000".to_owned()), None));
        assert_eq!(of("https://registry-1.docker.io/"), (Some("registry-1.docker.io".to_owned()), None));
        assert_eq!(of("/srv/images"), (None, Some(PathBuf::from("/srv/images"))));
    }

    #[test]
    fn flags_that_cannot_be_are_named_and_show_no_secret() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, "canary").unwrap();
        let path = file.path().to_owned();
        for (said, flag) in [
            (
                refused(|config| config.docker_registry = Some("r.example/team".to_owned())),
                "--docker-registry",
            ),
            (refused(|config| config.docker_config = Some("/nowhere/config.json".into())), "--docker-config"),
            (refused(|config| config.docker_config = Some(path)), "--docker-config"),
            (refused(|config| config.registry_ca = Some("/nowhere/ca.pem".into())), "--registry-ca"),
            (refused(|config| config.image_disk_low = 90), "--image-disk-high"),
        ] {
            assert!(said.starts_with(flag) && !said.contains("canary"), "{said}");
        }
    }
}
