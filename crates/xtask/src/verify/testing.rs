//! Running the tests of the crates, and the journeys that drive the real programs.
//!
//! Every command selects the whole workspace and picks test programs by name: if it selected some packages, cargo would
//! enable fewer features of the crates that they share, and compile those crates once more.

use std::process::Command;

use anyhow::{Result, bail};

use super::Session;
use super::guest;
use super::test_report::TestReport;
use crate::process::{cargo, run, run_watched};
use crate::workspace::Package;

/// Crates whose tests need the programs built, and perhaps data and programs that a machine may lack.
const JOURNEYS: &[&str] = &["tide-journey"];

/// The tests of every crate but the journeys: in the sources, beside them, and in the documentation.
pub(super) fn run_tests(session: &mut Session) -> Result<()> {
    let (journeys, others) = test_names(&session.workspace.packages);
    if let Some(name) = others.iter().find(|name| journeys.contains(name)) {
        bail!("two crates have an integration test of the name `{name}`, one of them a journey; rename one");
    }
    let mut in_code = cargo(&["test", "--workspace", "--locked", "--no-fail-fast", "--lib", "--bins"]);
    let mut in_docs = cargo(&["test", "--workspace", "--locked", "--no-fail-fast", "--doc"]);
    count(session, &mut [pick(&mut in_code, &others), &mut in_docs])
}

/// The journeys, after building the programs.
pub(super) fn run_journeys(session: &mut Session) -> Result<()> {
    let (journeys, _) = test_names(&session.workspace.packages);
    if journeys.is_empty() {
        bail!("there is no journey: {} has no integration test", JOURNEYS.join(", "));
    }
    build_programs()?;
    count(session, &mut [pick(&mut cargo(&["test", "--workspace", "--locked", "--no-fail-fast"]), &journeys)])
}

/// Builds every program of the workspace.
pub(super) fn build_programs() -> Result<()> {
    run(&mut cargo(&["build", "--workspace", "--bins", "--locked"]))
}

/// The names of the integration tests, journeys first.
fn test_names(packages: &[Package]) -> (Vec<&str>, Vec<&str>) {
    let names_in = |journeys: bool| {
        let chosen = packages.iter().filter(move |package| JOURNEYS.contains(&package.name.as_str()) == journeys);
        chosen.flat_map(|package| &package.tests).map(String::as_str).collect()
    };
    (names_in(true), names_in(false))
}

fn pick<'a>(command: &'a mut Command, names: &[&str]) -> &'a mut Command {
    names.iter().fold(command, |command, name| command.args(["--test", name]))
}

/// Runs the test commands, all of them even if one fails, and adds their tests to the session's.
fn count(session: &mut Session, commands: &mut [&mut Command]) -> Result<()> {
    let mut report = TestReport::default();
    let mut outcome = Ok(());
    let guest = guest::folder(session)?;
    for command in commands {
        command.envs(session.config.variables_for_tests()).env("TIDE_TEST_GUEST", &guest);
        outcome = outcome.and(run_watched(command, |line| report.read_line(line)));
    }
    println!("    {report}");
    let outcome = outcome.and_then(|()| judge(&report, session.config.test_all));
    session.tests.add(report);
    outcome
}

/// Whether programs that all succeeded have shown enough.
fn judge(report: &TestReport, test_all: bool) -> Result<()> {
    if !report.has_run() {
        bail!("no test program has printed a result");
    }
    if test_all && report.skipped() > 0 {
        bail!(
            "TIDE_TEST_ALL=1 demands every test, and {} did not run: {}",
            report.skipped(),
            report.not_run().join(", ")
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn package(name: &str, test: &str) -> Package {
        Package { name: name.to_owned(), uses: BTreeSet::new(), tests: vec![test.to_owned()] }
    }

    fn report(result: &str) -> TestReport {
        let mut report = TestReport::default();
        report.read_line(result);
        report
    }

    #[test]
    fn journeys_are_kept_apart() {
        let packages = [package("tide-durable", "power_cut"), package("tide-journey", "gallery")];
        assert_eq!(test_names(&packages), (vec!["gallery"], vec!["power_cut"]));
    }

    #[test]
    fn a_skipped_test_fails_only_where_all_are_demanded() {
        let skipped = report("test result: ok. 3 passed; 0 failed; 1 ignored");
        assert!(judge(&skipped, false).is_ok());
        assert!(judge(&skipped, true).is_err());
        assert!(judge(&report("test result: ok. 3 passed; 0 failed; 0 ignored"), true).is_ok());
    }

    #[test]
    fn silence_is_not_success() {
        assert!(judge(&report("running 0 tests"), false).is_err());
    }
}
