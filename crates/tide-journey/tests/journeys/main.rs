//! The journeys: what users do, from outside, with the real programs.

mod acme;
mod bad_input;
mod browser;
mod cameras;
mod described;
mod faults;
mod first_start;
mod guest;
mod interruptions;
mod marsh;
mod old_devices;
mod operators;
mod resumed;
mod service;
mod statuses;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    // The first to ask decides; reqwest brings no cryptography of its own.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let journeys = [
        acme::journeys(),
        bad_input::journeys(),
        browser::journeys(),
        described::journeys(),
        cameras::journeys(),
        faults::journeys(),
        first_start::journeys(),
        guest::journeys(),
        interruptions::journeys(),
        marsh::journeys(),
        old_devices::journeys(),
        operators::journeys(),
        service::journeys(),
        resumed::journeys(),
        statuses::journeys(),
    ];
    libtest_mimic::run(&Arguments::from_args(), journeys.into_iter().flatten().collect()).exit_code()
}

/// Runs what waits for answers.
fn wait_for<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
