//! `tide-server`: see `tide-server --help`.

use std::process::ExitCode;

use clap::Parser;
use tide_server::commands::{Command, CommandLine};
use tide_server::config::Settings;
use tide_server::{check, commands, serve};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("tide-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<ExitCode> {
    let command_line = CommandLine::parse();
    let settings = Settings::load()?;
    tracing_subscriber::fmt().with_env_filter(EnvFilter::try_new(&settings.log)?).with_writer(std::io::stderr).init();
    match command_line.command.unwrap_or(Command::Serve) {
        Command::Serve => serve::serve(settings).await?,
        Command::Station(command) => commands::station(&settings, command).await?,
        Command::Check(options) => return check::check(&settings, &options).await,
    }
    Ok(ExitCode::SUCCESS)
}
