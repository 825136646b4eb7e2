//! The benches: `chapada-bench [NAME] [--quick] [--json]`.

#![forbid(unsafe_code)]

mod allocator;
mod containers;
mod detection;
mod failover;
mod figure;
mod launch;
mod loopback;
mod memory;
mod million;
mod networks;
mod nsdi;
mod offers;
mod peers;
mod reregister;
mod services;
mod sim;
mod tasks;
mod updates;
mod why;

use anyhow::{Result, bail};
use clap::Parser;

use crate::figure::Figure;

/// As in the daemons.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
struct Args {
    /// One of them, or a part such as `services:scale`; all when absent.
    name: Option<String>,
    /// A smaller shape in under a minute, under names of its own.
    #[arg(long)]
    quick: bool,
    /// A JSON array on stdout and nothing else there.
    #[arg(long)]
    json: bool,
    /// Only holds the books of so many agents with so many tasks each, for `memory`.
    #[arg(long, hide = true, num_args = 2, value_names = ["AGENTS", "TASKS"])]
    books: Option<Vec<usize>>,
}

/// A part of a bench; those of one name are run one after the other.
type Bench = fn(bool) -> Result<Vec<Figure>>;
const BENCHES: &[(&str, Bench)] = &[
    ("tasks", tasks::run),
    ("containers", containers::run),
    ("networks", networks::run),
    ("containers", containers::through_an_agent),
    ("updates", updates::run),
    ("peers", peers::run),
    ("allocator", allocator::run),
    ("offers", offers::run),
    ("nsdi", nsdi::run),
    ("launch", launch::run),
    ("launch", loopback::launch::run),
    ("events", loopback::events::many_readers),
    ("events", loopback::events::many_events),
    ("events", loopback::events::stalled_readers),
    ("state", loopback::state::largest),
    ("state", loopback::state::large),
    ("state", loopback::state::health_meanwhile),
    ("services:containers", services::containers::run),
    ("services:scale", services::scale_up),
    ("services:many", services::in_a_file),
    ("services:many-zookeeper", services::in_zookeeper),
    ("services:events", services::many_events),
    ("services:subscribers", services::many_subscribers),
    ("services:health", services::health_checks),
    ("links", loopback::links::run),
    ("failover:crash", failover::crash),
    ("failover:handover", failover::hand_over),
    ("failover:large", failover::large),
    ("reregister", reregister::run),
    ("herd", reregister::herd),
    ("detection", detection::run),
    ("million", million::run),
    ("memory", memory::run),
    ("why", why::run),
];

/// Whether the part is what is wanted, or belongs to it.
fn is_of(part: &str, wanted: &str) -> bool {
    part.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}

fn main() -> Result<()> {
    let args = Args::parse();
    if let Some([agents, each]) = args.books.as_deref() {
        return memory::be_the_books(*agents, *each);
    }
    let chosen: Vec<_> = BENCHES
        .iter()
        .filter(|(name, _)| args.name.as_deref().is_none_or(|wanted| is_of(name, wanted)))
        .collect();
    if chosen.is_empty() {
        let names: Vec<_> = BENCHES.iter().map(|(name, _)| *name).collect();
        bail!("no bench has this name; there are: {}", names.join(", "));
    }
    let (mut figures, mut failed) = (Vec::new(), 0);
    for (name, bench) in chosen {
        // What one part has measured stands, whatever becomes of the others.
        match bench(args.quick) {
            Ok(found) => {
                if !args.json {
                    found.iter().for_each(|figure| println!("{figure}"));
                }
                figures.extend(found);
            }
            Err(error) => {
                failed += 1;
                eprintln!("{name}: {error:?}");
            }
        }
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&figures)?);
    }
    match failed {
        0 => Ok(()),
        parts => bail!("{parts} of the parts failed"),
    }
}
