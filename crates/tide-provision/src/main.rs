//! `tide-provision`: see `tide-provision --help`.

use std::process::ExitCode;

use clap::Parser;
use tide_provision::commands::{Command, CommandLine};
use tide_provision::disk;

fn main() -> ExitCode {
    let outcome = match CommandLine::parse().command {
        Command::Disk(options) => disk::prepare(&options),
    };
    if let Err(error) = outcome {
        eprintln!("tide-provision: {error:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
