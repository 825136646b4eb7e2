//! The benches: `chapada-bench [NAME] [--quick] [--json]`.

#![forbid(unsafe_code)]

mod allocator;
mod figure;
mod launch;
mod loopback;
mod memory;
mod million;
mod nsdi;
mod offers;
mod peers;
mod sim;
mod tasks;

use anyhow::{Result, bail};
use clap::Parser;

use crate::figure::Figure;

#[derive(Parser)]
struct Args {
    /// One of them; all when absent.
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

type Bench = fn(bool) -> Result<Vec<Figure>>;
const BENCHES: &[(&str, Bench)] = &[
    ("tasks", tasks::run),
    ("peers", peers::run),
    ("allocator", allocator::run),
    ("offers", offers::run),
    ("nsdi", nsdi::run),
    ("launch", launch::run),
    ("launch", loopback::launch::run),
    ("events", loopback::events::run),
    ("state", loopback::state::run),
    ("million", million::run),
    ("memory", memory::run),
];

fn main() -> Result<()> {
    let args = Args::parse();
    if let Some([agents, each]) = args.books.as_deref() {
        return memory::be_the_books(*agents, *each);
    }
    let chosen: Vec<_> = BENCHES
        .iter()
        .filter(|(name, _)| args.name.as_deref().is_none_or(|wanted| wanted == *name))
        .collect();
    if chosen.is_empty() {
        let names: Vec<_> = BENCHES.iter().map(|(name, _)| *name).collect();
        bail!("no bench has this name; there are: {}", names.join(", "));
    }
    let mut figures = Vec::new();
    for (_, bench) in chosen {
        let found = bench(args.quick)?;
        if !args.json {
            found.iter().for_each(|figure| println!("{figure}"));
        }
        figures.extend(found);
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&figures)?);
    }
    Ok(())
}
