//! `tide-provision`: see `tide-provision --help`.

use std::process::ExitCode;

use clap::Parser;
use tide_provision::apply::{self, Outcome};
use tide_provision::commands::{Command, CommandLine};
use tide_provision::{disk, machine_id};

fn main() -> ExitCode {
    let outcome = match CommandLine::parse().command {
        Command::Disk(options) => disk::prepare(&options),
        Command::Apply(folders) => match apply::apply(&folders) {
            Ok(Outcome::Ready) => Ok(()),
            // Said already, line by line.
            Ok(Outcome::NotReady) => return ExitCode::FAILURE,
            Err(error) => Err(error),
        },
        Command::MachineId(places) => machine_id::make(&places),
    };
    if let Err(error) = outcome {
        eprintln!("tide-provision: {error:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
