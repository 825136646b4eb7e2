//! The benches: `chapada-bench [NAME] [--quick] [--json]`.

#![forbid(unsafe_code)]

mod allocator;
mod figure;
mod peers;
mod tasks;

use anyhow::{Result, bail};
use clap::Parser;

use crate::figure::Figure;

#[derive(Parser)]
struct Args {
    /// `tasks`, `allocator`, `peers`; all when absent.
    name: Option<String>,
    /// A smaller shape in under a minute, under names of its own.
    #[arg(long)]
    quick: bool,
    /// A JSON array on stdout and nothing else there.
    #[arg(long)]
    json: bool,
}

type Bench = fn(bool) -> Result<Vec<Figure>>;
const BENCHES: &[(&str, Bench)] =
    &[("tasks", tasks::run), ("peers", peers::run), ("allocator", allocator::run)];

fn main() -> Result<()> {
    let args = Args::parse();
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
