//! What containers may take of the disks: measured every so often, apart from the loop, and ended when it is too much.

mod charges;
mod figures;
mod projects;
mod walker;

pub(crate) use charges::plain_quota;
pub(crate) use figures::{Figures, OfContainer, OfVolume};

pub(crate) use projects::Projects;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chapada_agent_core::{Event, Limitation, View};
use chapada_model::{ContainerId, Reason};
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use crate::bytes::Bytes;
use crate::containers::Means;
use crate::shell::Input;
use charges::{Charge, Ground, Key, OfNoTask};
use walker::{Measured, Task, Walker};

/// Results that may wait for the next look at them; a full queue makes the threads wait.
const RESULTS: usize = 64;

/// How disks are watched. Source: Mesos' flags of these names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watching {
    /// How often.
    pub(crate) interval: Duration,
    /// Whether too much ends a container.
    pub(crate) enforce: bool,
    /// How many names of files a sandbox may have however small its quota is.
    pub(crate) least_names: u64,
}

/// Watches the disks until `stop`.
pub(crate) async fn run(
    means: Arc<Means>,
    watching: Watching,
    inputs: mpsc::Sender<Input>,
    stop: CancellationToken,
) {
    let (results, mut measured) = mpsc::channel(RESULTS);
    let mut watch = Watch { means, watching, results, walkers: HashMap::new(), charges: Vec::new() };
    let mut ticks = interval(watching.interval.max(Duration::from_millis(100)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            Some(one) = measured.recv() => watch.take(one).await,
            _ = ticks.tick() => {
                let (reply, answer) = oneshot::channel();
                if inputs.send(Input::View(reply)).await.is_err() {
                    return;
                }
                let Ok(view) = answer.await else { return };
                watch.look(view).await;
            }
        }
    }
}

struct Watch {
    means: Arc<Means>,
    watching: Watching,
    results: mpsc::Sender<Measured>,
    /// By the disk.
    walkers: HashMap<PathBuf, Walker>,
    charges: Vec<Charge>,
}

impl Watch {
    /// Has everything measured that runs now.
    async fn look(&mut self, view: View) {
        let means = self.means.clone();
        let charges = spawn_blocking(move || {
            let upper = |container: &str| means.supplies.images.opened()?.upper(container);
            let ground = Ground { layout: &means.layout, volumes: &means.supplies.volumes, upper: &upper };
            let launched = means.nested.running().into_iter().filter_map(|one| {
                let container = one.record.shim.parse().ok()?;
                Some(OfNoTask { container, sandbox: one.record.sandbox.clone(), resources: one.asked() })
            });
            ground.charges(&view, &launched.collect::<Vec<_>>())
        });
        match charges.await {
            Ok(charges) => self.charges = charges,
            Err(error) => return tracing::error!(%error, "finding out what to measure failed"),
        }
        self.means.supplies.disk_figures.keep(&self.charges);
        for counted in self.ask_kernel().await {
            self.take(counted).await;
        }
        let mut by_disk: HashMap<PathBuf, Vec<Task>> = HashMap::new();
        for charge in self.charges.iter().filter(|charge| !charge.counted) {
            // Where nobody ends for it, all of it is to be shown.
            let most_names = self.watching.enforce.then(|| charge.most_names(self.watching.least_names));
            let task = Task {
                key: charge.key.clone(),
                measure: charge.measure.clone(),
                most_names: most_names.flatten(),
            };
            by_disk.entry(charge.disk.clone()).or_default().push(task);
        }
        self.walkers.retain(|disk, _| by_disk.contains_key(disk));
        for (disk, tasks) in by_disk {
            if !self.walkers.contains_key(&disk) {
                match Walker::start(self.results.clone()) {
                    Ok(walker) => drop(self.walkers.insert(disk.clone(), walker)),
                    Err(error) => tracing::error!(%error, "cannot measure what disks hold"),
                }
            }
            if let Some(walker) = self.walkers.get(&disk) {
                walker.measure(tasks);
            }
        }
    }

    /// What the kernel has counted already. What it cannot tell is measured.
    async fn ask_kernel(&mut self) -> Vec<Measured> {
        if self.means.supplies.projects.is_none() {
            return Vec::new();
        }
        let (means, mut charges) = (self.means.clone(), std::mem::take(&mut self.charges));
        let asked = spawn_blocking(move || {
            let projects = means.supplies.projects.as_ref();
            let found = charges.iter_mut().filter_map(|charge| charge.count(projects?));
            let found: Vec<Measured> = found.collect();
            (charges, found)
        });
        match asked.await {
            Ok((charges, found)) => {
                self.charges = charges;
                found
            }
            Err(error) => {
                tracing::error!(%error, "asking the kernel what is on the disks failed");
                Vec::new()
            }
        }
    }

    async fn take(&mut self, measured: Measured) {
        let figures = &self.means.supplies.disk_figures;
        figures.note(&measured.key, measured.used);
        if !self.watching.enforce {
            return;
        }
        for (container, limitation) in
            exceeded(&self.charges, &measured.key, figures, self.watching.least_names)
        {
            tracing::info!(container_id = %container, message = limitation.message, "over its disk quota");
            if let Some(launched) = self.means.nested.of_shim(container.as_str()) {
                launched.limit(limitation);
                continue;
            }
            let limitation = Box::new(limitation);
            // The loop is gone only when the agent stops.
            drop(self.means.events.send(Event::ContainerLimited { container, limitation }).await);
        }
    }
}

/// Containers that have to end for what was measured of this charge.
fn exceeded(
    charges: &[Charge],
    key: &Key,
    figures: &Figures,
    least_names: u64,
) -> Vec<(ContainerId, Limitation)> {
    let is_concerned = |charge: &&Charge| match key {
        Key::Sandbox(container) => charge.key == *key || charge.members.contains(container),
        Key::Volume(_) => charge.key == *key,
    };
    let over = |charge: &Charge| {
        let quota = charge.quota_bytes().filter(|_| charge.bounded)?;
        let names = charge.quota_names(least_names)?;
        let used = figures.of(charge)?;
        let message = if used.bytes > quota {
            format!("Disk usage ({}) exceeds quota ({})", Bytes(used.bytes), Bytes(quota))
        } else if used.names > names {
            format!("Disk usage ({} files and directories) exceeds quota ({names})", used.names)
        } else {
            return None;
        };
        let (reason, resources) = (Reason::ContainerLimitationDisk, charge.quota.clone());
        Some(Limitation { reason, message: of_what(charge, message), resources })
    };
    let concerned = charges.iter().filter(is_concerned);
    let limited = concerned.filter_map(|charge| Some((charge, over(charge)?)));
    limited
        .flat_map(|(charge, limitation)| {
            charge.payers.iter().map(move |payer| (payer.clone(), limitation.clone()))
        })
        .collect()
}

/// As Mesos says it, and of which volume.
fn of_what(charge: &Charge, message: String) -> String {
    let id = charge.quota.iter().find_map(|resource| resource.disk.as_ref()?.persistence.as_ref());
    match (&charge.key, id) {
        (Key::Volume(_), Some(volume)) => format!("{message} of the persistent volume '{}'", volume.id),
        _ => message,
    }
}

#[cfg(test)]
mod tests;
