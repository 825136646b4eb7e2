//! The loop of a master that is alone, for tests.

use std::net::Ipv4Addr;

use chapada_coordination::{Coordination, LeaderInfo, Lease, MemoryStore};
use chapada_master_core::{RegistryState, Settings};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{Core, RECORD_QUEUE, Start, Writing, start};
use crate::clock::Clock;
use crate::registry::SCHEMA;

/// What it begins with.
pub(crate) struct Beginning {
    pub(crate) clock: Clock,
    pub(crate) settings: Settings,
    /// Its epoch is that of the term.
    pub(crate) registry: RegistryState,
    /// So many changes may wait to be written.
    pub(crate) room: usize,
    pub(crate) is_suspended: bool,
    /// That of the term when there is none, which holds for ever.
    pub(crate) lease: Option<Lease>,
}

impl Default for Beginning {
    fn default() -> Self {
        Self {
            clock: Clock::new(),
            settings: Settings::new("m1"),
            registry: RegistryState::default(),
            room: RECORD_QUEUE,
            is_suspended: false,
            lease: None,
        }
    }
}

/// The loop, and what a leadership has in its hands besides.
pub(crate) struct Alone {
    pub(crate) core: Core,
    pub(crate) epoch: u64,
    /// What the loop wants written.
    pub(crate) records: mpsc::Receiver<Writing>,
    pub(crate) suspend: watch::Sender<bool>,
    /// Ends the loop. That nobody holds it any more does not.
    pub(crate) ended: CancellationToken,
}

/// A master that stands for election.
pub(crate) fn candidate() -> LeaderInfo {
    let (id, hostname, version) = ("m".to_owned(), "localhost".to_owned(), "1.0".to_owned());
    LeaderInfo { id, hostname, ip: Ipv4Addr::LOCALHOST.into(), port: 5050, version, capabilities: Vec::new() }
}

/// Starts it.
pub(crate) async fn lead(beginning: Beginning) -> Alone {
    let Beginning { clock, settings, registry, room, is_suspended, lease } = beginning;
    let mut campaign = Coordination::Memory(MemoryStore::default()).campaign(candidate());
    let term = campaign.wait_until_leading().await.expect("alone");
    let epoch = term.open_registry(SCHEMA).await.expect("empty").epoch;
    let (writer, records) = mpsc::channel(room);
    let (suspend, suspended) = watch::channel(is_suspended);
    let ended = CancellationToken::new();
    let core = start(Start {
        clock,
        settings,
        registry: RegistryState { epoch, ..registry },
        writer,
        suspended,
        lease: lease.unwrap_or_else(|| term.lease()),
        ended: ended.clone(),
    });
    Alone { core: core.expect("a thread"), epoch, records, suspend, ended }
}
