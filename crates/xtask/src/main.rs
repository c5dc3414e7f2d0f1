//! The developer's verbs, one file or folder each. `cargo xtask --help` lists them.

mod bench;
mod config;
mod demo;
mod process;
mod tools;
mod verify;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(bin_name = "cargo xtask", about)]
struct Xtask {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Bench(bench::Arguments),
    Demo(demo::Arguments),
    Verify(verify::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Xtask::parse().verb {
        Verb::Bench(arguments) => bench::run(&arguments),
        Verb::Demo(arguments) => demo::run(&arguments),
        Verb::Verify(arguments) => verify::run(&arguments),
    };
    if let Err(error) = outcome {
        eprintln!("{error:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
