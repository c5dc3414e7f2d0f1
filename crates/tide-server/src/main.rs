//! `tide-server`: see `tide-server --help`.

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use mimalloc::MiMalloc;
use tide_server::commands::{Command, CommandLine};
use tide_server::config::Settings;
use tide_server::{check, commands, serve};
use tracing_subscriber::EnvFilter;

/// The system's allocator keeps for itself what password checks (19 MiB each) and decoded photos have freed.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

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
    let filter = EnvFilter::try_new(&settings.log).context("the setting `log` is no filter for tracing")?;
    let is_terminal = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(is_terminal).with_writer(std::io::stderr).init();
    match command_line.command.unwrap_or(Command::Serve) {
        Command::Serve => serve::serve(settings).await?,
        Command::Station(command) => commands::station(&settings, command).await?,
        Command::Operator(command) => commands::operator(&settings, command).await?,
        Command::Import(options) => commands::import(&settings, &options).await?,
        Command::Audit(options) => commands::audit(&settings, &options).await?,
        Command::Check(options) => return check::check(&settings, &options).await,
    }
    Ok(ExitCode::SUCCESS)
}
