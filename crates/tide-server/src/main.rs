//! `tide-server`: see `tide-server --help`.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use tide_server::commands::{Command, CommandLine};
use tide_server::config::Settings;
use tide_server::{check, commands, config, serve};
use tikv_jemallocator::Jemalloc;
use tracing_subscriber::EnvFilter;

/// Gives back to the system what password checks (19 MiB each) and photos have freed; glibc's own allocator keeps it.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Threads that wait for the disk. More at once make no disk faster, and each takes memory.
const DISK_THREADS: usize = 32;

/// How long work that waits for the disk or decodes a photo may hold up the end of the program; it loses nothing.
const LAST_WORK: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    match start() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("tide-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start() -> anyhow::Result<ExitCode> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.enable_all().max_blocking_threads(DISK_THREADS).build()?;
    let outcome = runtime.block_on(run());
    runtime.shutdown_timeout(LAST_WORK);
    outcome
}

async fn run() -> anyhow::Result<ExitCode> {
    let command = CommandLine::parse().command.unwrap_or(Command::Serve);
    if let Command::Init(options) = &command {
        // Where there is no server yet, there are no settings either.
        commands::init(options, config::released_image().as_deref());
        return Ok(ExitCode::SUCCESS);
    }
    let settings = Settings::load()?;
    let filter = EnvFilter::try_new(&settings.log).context("the setting `log` is no filter for tracing")?;
    let is_terminal = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(is_terminal).with_writer(std::io::stderr).init();
    match command {
        Command::Serve => serve::serve(settings).await?,
        Command::Station(command) => commands::station(&settings, command).await?,
        Command::Operator(command) => commands::operator(&settings, command).await?,
        Command::Import(options) => commands::import(&settings, &options).await?,
        Command::Audit(options) => commands::audit(&settings, &options).await?,
        Command::Check(options) => return check::check(&settings, &options).await,
        Command::Healthcheck => commands::healthcheck(&settings).await?,
        // Done above.
        Command::Init(_) => (),
    }
    Ok(ExitCode::SUCCESS)
}
