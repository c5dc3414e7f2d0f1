//! The journeys: what users do, from outside, with the real programs.

mod acme;
mod bad_input;
mod browser;
mod cameras;
mod cards;
mod clock;
mod described;
mod faults;
mod first_start;
mod gpsd;
mod guest;
mod interruptions;
mod marsh;
mod old_devices;
mod operators;
mod receiver;
mod recordings;
mod resumed;
mod service;
mod statuses;

use std::process::ExitCode;
use std::thread;

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
        cards::journeys(),
        clock::journeys(),
        faults::journeys(),
        first_start::journeys(),
        gpsd::journeys(),
        guest::journeys(),
        interruptions::journeys(),
        marsh::journeys(),
        old_devices::journeys(),
        operators::journeys(),
        receiver::journeys(),
        recordings::journeys(),
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

/// One of several things to show.
type Case = (&'static str, fn() -> anyhow::Result<()>);

/// Runs what mostly waits at the same time; fails with the name of each that does.
fn side_by_side(cases: &[Case]) -> anyhow::Result<()> {
    let failed: Vec<String> = thread::scope(|scope| {
        let cases: Vec<_> = cases.iter().map(|(name, case)| (name, scope.spawn(case))).collect();
        let outcomes = cases.into_iter().map(|(name, case)| (name, case.join()));
        outcomes
            .filter_map(|(name, outcome)| match outcome {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(format!("{name}: {error:?}")),
                Err(_) => Some(format!("{name}: it panicked")),
            })
            .collect()
    });
    anyhow::ensure!(failed.is_empty(), "{}", failed.join("\n\n"));
    Ok(())
}
