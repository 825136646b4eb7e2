//! A container as the agent's launcher makes it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use chapada_shim::{
    Command, ContainerSpec, Event, IdRange, Limits, Outcome, RootFileSystem, RootSource, ShimClient, cleanup,
};

use super::Maker;
use super::place::{IDS, Place, Signal};

pub(super) const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Ours<'a> {
    place: &'a Place,
    signal: Signal,
    sandbox: PathBuf,
}

impl<'a> Ours<'a> {
    pub(super) fn new(place: &'a Place) -> Result<Self> {
        let sandbox = place.directory("ours", None)?;
        Ok(Self { place, signal: Signal::new(&sandbox)?, sandbox })
    }
}

/// Confined in every way that `runc` is in this bench.
pub(super) fn spec(
    place: &Place,
    id: &str,
    sandbox: PathBuf,
    command: &[&str],
    ids: IdRange,
) -> Result<ContainerSpec> {
    let argv: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
    let command = Command::Program { file: argv[0].clone(), argv };
    let mut spec = ContainerSpec::new(id, &place.run(), sandbox, command);
    let upper = place.directory(&format!("upper-{id}"), None)?;
    let work = place.directory(&format!("work-{id}"), None)?;
    let layers = RootSource::Overlay { lower: vec![place.path("layer")], upper, work };
    spec.root = Some(RootFileSystem::new(layers));
    spec.user_namespace = Some(ids);
    spec.namespaces.network = true;
    spec.hostname = Some("bench".to_owned());
    spec.environment = vec![("PATH".to_owned(), "/bin".to_owned())];
    spec.resources = Limits { memory_bytes: Some(64 << 20), processes: Some(100), ..Limits::default() };
    spec.resources.cpu.quota_milli = Some(1000);
    spec.resources.cpu.share_milli = Some(1000);
    Ok(spec)
}

/// Waits for the end, which is a good one.
pub(super) fn finished(client: &mut ShimClient) -> Result<()> {
    loop {
        if let Event::Exited { report } = client.wait_event(PATIENCE)? {
            ensure!(report.outcome == Outcome::Exited { code: 0 }, "the container ended so: {report:?}");
            return Ok(());
        }
    }
}

impl Maker for Ours<'_> {
    fn start(&mut self, number: usize) -> Result<f64> {
        let id = format!("ours-{number}");
        let begun = Instant::now();
        let command = ["/bin/first", &Signal::inside()];
        let spec = spec(self.place, &id, self.sandbox.clone(), &command, IDS)?;
        let mut client = self.place.launcher.launch(&spec)?.client;
        let taken = self.signal.wait(begun)?;
        finished(&mut client)?;
        cleanup(self.place.launcher.cgroups(), &self.place.run(), &id)?;
        Ok(taken)
    }
}
