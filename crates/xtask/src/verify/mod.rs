//! `cargo verify`: one command to trust a change. The same steps run on every machine.

mod arrows;
mod clean_tree;
mod dependencies;
mod guest;
mod invariants;
mod packages;
mod rust_paths;
mod steps;
mod summary;
mod test_report;
mod testing;
mod top_level;
mod workflow_rules;
mod workflows;

use std::time::Instant;

use anyhow::{Result, anyhow};
use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::config::Config;
use crate::workspace::Workspace;
use steps::{STEPS, Step};
use summary::{Seconds, Summary};
use test_report::TestReport;

/// Check everything that a change must satisfy, step by step
#[derive(Args)]
pub(crate) struct Arguments {
    /// Run only these steps, for example `--only lints,tests`
    #[arg(long, value_name = "STEPS", value_delimiter = ',', value_parser = step_names())]
    only: Vec<String>,

    /// Name the steps without running any
    #[arg(long)]
    list: bool,
}

/// What the steps share.
struct Session {
    config: Config,
    workspace: Workspace,
    /// `git status` before the first step; of a machine that had no git yet, the tree is taken to be clean.
    status_before: String,
    /// All tests so far.
    tests: TestReport,
}

/// Runs the chosen steps up to the first that fails.
///
/// # Errors
/// The failure of that step, with the command that repeats it.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.list {
        STEPS.iter().for_each(|step| println!("{:<14}{}", step.name, step.promise));
        return Ok(());
    }
    let is_chosen = |step: &&Step| arguments.only.is_empty() || arguments.only.iter().any(|name| name == step.name);
    let steps: Vec<&Step> = STEPS.iter().filter(is_chosen).collect();
    let mut session = Session::open()?;
    let mut summary = Summary::of(&steps);
    let outcome = steps.iter().try_for_each(|step| run_step(step, &mut session, &mut summary));
    summary.print(&session.tests);
    outcome?;
    if session.tests.has_run() {
        println!("{}", session.tests);
    }
    Ok(())
}

fn step_names() -> PossibleValuesParser {
    STEPS.iter().map(|step| step.name).into()
}

fn run_step(step: &Step, session: &mut Session, summary: &mut Summary) -> Result<()> {
    println!("==> {}: {}", step.name, step.promise);
    let begin = Instant::now();
    let outcome = (step.run)(session);
    let took = begin.elapsed();
    println!("    {} {} after {}\n", step.name, if outcome.is_ok() { "done" } else { "FAILED" }, Seconds(took));
    summary.add(took, outcome.is_ok());
    outcome.map_err(|error| anyhow!("{error:#}\n\nStep {0} failed. To repeat it: cargo verify --only {0}", step.name))
}

impl Session {
    fn open() -> Result<Self> {
        let config = Config::from_environment();
        let workspace = Workspace::load()?;
        let status_before = clean_tree::status(&workspace).unwrap_or_default();
        Ok(Self { config, workspace, status_before, tests: TestReport::default() })
    }
}
