//! `tide-timesync`: see `tide-timesync --help`.

use std::process::ExitCode;

use clap::Parser;
use tide_timesync::commands::{self, Command, CommandLine};

/// It could not even begin; 0 to 3 are the prototype's.
const CANNOT_BEGIN: u8 = 4;

fn main() -> ExitCode {
    let command_line = match CommandLine::try_parse() {
        Ok(command_line) => command_line,
        Err(said) => {
            // Help and version are no mistake; if nobody reads them, that is none either.
            drop(said.print());
            return if said.use_stderr() { ExitCode::from(CANNOT_BEGIN) } else { ExitCode::SUCCESS };
        }
    };
    let outcome = match command_line.command {
        Command::Sync(options) => commands::sync(&options),
        Command::Fixes(options) => commands::fixes(&options).map(|()| 0),
        Command::Status(options) => commands::status(&options).map(|()| 0),
        Command::Settings => commands::settings().map(|()| 0),
    };
    match outcome {
        Ok(exit_code) => ExitCode::from(exit_code),
        Err(error) => {
            eprintln!("tide-timesync: {error:#}");
            ExitCode::from(CANNOT_BEGIN)
        }
    }
}
