//! `tide-timesync`: see `tide-timesync --help`.

use std::process::ExitCode;

use clap::Parser;
use tide_timesync::commands::{self, Command, CommandLine};

/// It could not even begin; 0 to 3 are the prototype's.
const CANNOT_BEGIN: u8 = 4;

fn main() -> ExitCode {
    let outcome = match CommandLine::parse().command {
        Command::Sync(options) => commands::sync(&options),
        Command::Fixes(options) => commands::fixes(&options).map(|()| 0),
        Command::Status(options) => commands::status(&options).map(|()| 0),
    };
    match outcome {
        Ok(exit_code) => ExitCode::from(exit_code),
        Err(error) => {
            eprintln!("tide-timesync: {error:#}");
            ExitCode::from(CANNOT_BEGIN)
        }
    }
}
