//! `tide-recorder`: see `tide-recorder --help`.

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use tide_recorder::commands::{self, Command, CommandLine};
use tide_recorder::config::Settings;
use tide_recorder::station::Station;
use tracing_subscriber::EnvFilter;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tide-recorder: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<()> {
    let command_line = CommandLine::parse();
    let settings = Settings::load()?;
    let filter = EnvFilter::try_new(&settings.log).context("the setting `log` is no filter for tracing")?;
    let is_terminal = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(is_terminal).with_writer(std::io::stderr).init();
    // The first to ask decides; reqwest brings no cryptography of its own.
    drop(rustls::crypto::ring::default_provider().install_default());
    match command_line.command {
        Command::Run => Station::open(&settings)?.run(&settings).await,
        Command::Status(options) => commands::status(&settings, &options),
        Command::Settings => commands::settings(&settings),
        Command::Shoot(options) => commands::shoot(&settings, &options),
    }
}
