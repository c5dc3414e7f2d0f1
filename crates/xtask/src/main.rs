//! The developer's verbs, one file or folder each. `cargo xtask --help` lists them.

mod boot;
mod config;
mod container;
mod cross;
mod deb;
mod debian;
mod demo;
mod image;
mod process;
mod release;
mod release_run;
mod scan;
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
    Bench(release_run::Bench),
    Faults(release_run::Faults),
    Scan(scan::Arguments),
    Cross(cross::Arguments),
    Deb(deb::Arguments),
    Image(image::Arguments),
    Boot(boot::Arguments),
    Container(container::Arguments),
    Release(release::Arguments),
    Demo(demo::Arguments),
    Verify(verify::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Xtask::parse().verb {
        Verb::Bench(arguments) => release_run::bench(&arguments),
        Verb::Faults(arguments) => release_run::faults(&arguments),
        Verb::Scan(arguments) => scan::run(&arguments),
        Verb::Cross(arguments) => cross::run_verb(&arguments),
        Verb::Deb(arguments) => deb::run_verb(&arguments),
        Verb::Image(arguments) => image::run_verb(&arguments),
        Verb::Boot(arguments) => boot::run(&arguments),
        Verb::Container(arguments) => container::run(&arguments),
        Verb::Release(arguments) => release::run(&arguments),
        Verb::Demo(arguments) => demo::run(&arguments),
        Verb::Verify(arguments) => verify::run(&arguments),
    };
    if let Err(error) = outcome {
        eprintln!("{error:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
