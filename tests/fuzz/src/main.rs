//! Runs targets on stable: `chapada-fuzz [TARGET] [--seconds N] [--from N]`. Without coverage to guide it, but anywhere.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use chapada_fuzz::round::{Length, run};
use chapada_fuzz::{TARGETS, target};
use clap::Parser;

#[derive(Parser)]
#[command(about = "Feeds the decoders and the cores what is made of real messages")]
struct Args {
    /// One target; all of them, one after the other, when absent.
    target: Option<String>,
    /// How long each target is fed.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The number that what is made of the seeds depends on.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Feeds one file instead, and lets the panic through.
    #[arg(long)]
    input: Option<PathBuf>,
    /// Prints the names of the targets.
    #[arg(long)]
    list: bool,
    /// Writes the seeds of each target into a folder of its name below this one, for other fuzzers.
    #[arg(long)]
    write_seeds: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let chosen = match &args.target {
        None => TARGETS.to_vec(),
        Some(name) => match target(name) {
            Some(target) => vec![*target],
            None => {
                eprintln!("there is no target '{name}'; --list names them");
                return ExitCode::FAILURE;
            }
        },
    };
    if args.list {
        TARGETS.iter().for_each(|target| println!("{}", target.name));
        return ExitCode::SUCCESS;
    }
    if let Some(folder) = &args.write_seeds {
        return write_seeds(folder, &chosen);
    }
    if let Some(input) = &args.input {
        return feed(input, &chosen);
    }
    let mut broken = false;
    for target in chosen {
        match run(&target, args.from, Length::Time(Duration::from_secs(args.seconds))) {
            Ok(done) => println!("{}: {} inputs, slowest {:?}", target.name, done.inputs, done.slowest),
            Err(found) => {
                broken = true;
                let kept = found.keep(&target, &PathBuf::from("target/fuzz-failures"));
                eprintln!("{}: {}\n  input: {kept:?}", target.name, found.why);
            }
        }
    }
    if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn feed(input: &PathBuf, chosen: &[chapada_fuzz::Target]) -> ExitCode {
    match std::fs::read(input) {
        Ok(bytes) => {
            chosen.iter().for_each(|target| (target.body)(&bytes));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}: {error}", input.display());
            ExitCode::FAILURE
        }
    }
}

fn write_seeds(folder: &std::path::Path, chosen: &[chapada_fuzz::Target]) -> ExitCode {
    for target in chosen {
        let folder = folder.join(target.name);
        let seeds = target.seeds();
        let written = std::fs::create_dir_all(&folder).and_then(|()| {
            (0..).zip(&seeds).try_for_each(|(number, seed): (u32, _)| {
                std::fs::write(folder.join(format!("seed-{number:04}")), seed)
            })
        });
        if let Err(error) = written {
            eprintln!("{}: {error}", folder.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
