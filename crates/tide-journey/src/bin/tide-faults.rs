//! The fault tests in their long forms. Run them by `cargo xtask faults`, which builds for release.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::bail;
use clap::Parser;
use tide_journey::faults::{self, FAULTS, Fault, Plan};

/// Does to the server what a pier, a disk and a hostile stranger do.
#[derive(Parser)]
struct Arguments {
    /// One fault, by number or name (`F1`, `kill-loop`); all of them if none is named. `list` lists them.
    name: Option<String>,
    /// Instead of the fault's own number of rounds.
    #[arg(long)]
    rounds: Option<u32>,
    /// To make the same random choices as an earlier run.
    #[arg(long)]
    seed: Option<u64>,
}

fn main() -> ExitCode {
    let _ = rustls::crypto::ring::default_provider().install_default();
    faults::exit_code(run(&Arguments::parse()))
}

/// The number of faults that did harm.
fn run(arguments: &Arguments) -> anyhow::Result<usize> {
    if arguments.name.as_deref() == Some("list") {
        for fault in &FAULTS {
            println!("{:<4} {:<16} {}", fault.number, fault.name, fault.about);
        }
        return Ok(0);
    }
    let chosen = chosen(arguments.name.as_deref())?;
    let seed = arguments.seed.map_or_else(faults::seed_of_now, Ok)?;
    let mut harmful = 0;
    for fault in chosen {
        let rounds = arguments.rounds.unwrap_or(fault.long_rounds);
        println!("{} {}: {} (rounds {rounds}, seed {seed})", fault.number, fault.name, fault.about);
        let began = Instant::now();
        let outcome = (fault.run)(Plan { rounds, seed });
        let seconds = began.elapsed().as_secs_f64();
        match outcome {
            Ok(seen) => println!("{} passed in {seconds:.1} s: {seen}", fault.number),
            Err(error) => {
                harmful += 1;
                println!("{} FAILED after {seconds:.1} s: {error:?}", fault.number);
            }
        }
    }
    Ok(harmful)
}

fn chosen(name: Option<&str>) -> anyhow::Result<Vec<&'static Fault>> {
    let Some(name) = name else { return Ok(FAULTS.iter().collect()) };
    let found = FAULTS.iter().find(|fault| fault.name == name || fault.number.eq_ignore_ascii_case(name));
    match found {
        Some(fault) => Ok(vec![fault]),
        None => bail!("there is no fault `{name}`; `cargo xtask faults list` lists them"),
    }
}
