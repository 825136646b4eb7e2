//! Backing up a master's registry, and restoring it. It is read and written where it is kept, not through a master.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use chapada_coordination::{Backup, RegistryPlace, ZkOptions};
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum RegistryCommand {
    /// Writes everything that outlives the masters as text, a record a line. Masters on ZooKeeper may run meanwhile; one that
    /// keeps its records in a file must be stopped.
    Export {
        #[command(flatten)]
        place: Place,
        /// The file to write; standard output when absent.
        #[arg(long, short, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Puts a backup in place of what is there. All masters must be stopped; agents and frameworks may run on.
    ///
    /// Agents and frameworks that the backup does not know are admitted again when they come back, with all that they run. What
    /// was being drained or was down when it was taken is not ended for it.
    Import {
        #[command(flatten)]
        place: Place,
        /// What `export` wrote.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Also when that loses what the place holds now.
        #[arg(long)]
        force: bool,
    },
}

/// Where the registry is kept.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Place {
    /// ZooKeeper ensemble and path, as the masters have it.
    #[arg(long, value_name = "ADDRESS")]
    zk: Option<String>,
    /// Folder of a master without ZooKeeper.
    #[arg(long, value_name = "FOLDER")]
    work_dir: Option<PathBuf>,
}

pub(crate) async fn run(command: RegistryCommand) -> Result<()> {
    match command {
        RegistryCommand::Export { place, file } => export(&place.read()?, file.as_deref()).await,
        RegistryCommand::Import { place, file, force } => import(&place.read()?, &file, force).await,
    }
}

async fn export(place: &RegistryPlace, file: Option<&Path>) -> Result<()> {
    let backup = place.export(&now()).await?;
    let text = backup.to_text();
    match file {
        Some(file) => {
            // Under its name it is whole or not at all.
            let part = file.with_extension("part");
            let shown = file.display();
            std::fs::write(&part, text).with_context(|| format!("cannot write {}", part.display()))?;
            std::fs::rename(&part, file).with_context(|| format!("cannot write {shown}"))?;
        }
        None => print!("{text}"),
    }
    eprintln!("{} records of epoch {} from {place}", backup.records.len(), backup.epoch);
    Ok(())
}

async fn import(place: &RegistryPlace, file: &Path, force: bool) -> Result<()> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {shown}"))?;
    let mut backup = Backup::from_text(&text).with_context(|| format!("{shown} is not taken"))?;
    let changed =
        chapada_master::prepare_restored(&mut backup).with_context(|| format!("{shown} is not taken"))?;
    let note = format!("on {}, from a backup of {}, epoch {}", now(), backup.taken, backup.epoch);
    let imported = place.import(&backup, &note, force).await?;
    changed.iter().for_each(|sentence| eprintln!("{sentence}"));
    if let Some(lost) = &imported.lost {
        eprintln!("lost: {lost}");
    }
    println!("{} holds {} records, epoch {}", imported.place, imported.records, imported.epoch);
    Ok(())
}

/// In words for people; a clock before 1970 says so.
fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now().max(SystemTime::UNIX_EPOCH + Duration::from_secs(1)))
        .to_string()
}

impl Place {
    fn read(&self) -> Result<RegistryPlace> {
        if let Some(address) = &self.zk {
            let address = address.parse().with_context(|| format!("--zk {address:?} is not usable"))?;
            return Ok(RegistryPlace::ZooKeeper { address, options: ZkOptions::default() });
        }
        let folder = self.work_dir.as_deref().context("--zk or --work-dir is needed")?;
        Ok(RegistryPlace::File(folder.join("registry.redb")))
    }
}
