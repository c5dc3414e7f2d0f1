//! The table at the end.

use std::fmt;
use std::time::Duration;

use super::steps::Step;
use super::test_report::TestReport;

/// How each chosen step went.
pub(super) struct Summary {
    names: Vec<&'static str>,
    outcomes: Vec<(Duration, bool)>,
}

impl Summary {
    /// Of these steps, none of which has run.
    pub(super) fn of(steps: &[&Step]) -> Self {
        Self { names: steps.iter().map(|step| step.name).collect(), outcomes: Vec::new() }
    }

    /// The next step has run.
    pub(super) fn add(&mut self, took: Duration, passed: bool) {
        self.outcomes.push((took, passed));
    }

    /// Prints the table, and the tests that did not run.
    pub(super) fn print(&self, tests: &TestReport) {
        print!("{self}");
        if !tests.not_run().is_empty() {
            println!("Tests not run, for want of their data or program:");
            tests.not_run().iter().for_each(|test| println!("  {test}"));
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(to, "Summary")?;
        for (number, name) in self.names.iter().enumerate() {
            match self.outcomes.get(number) {
                Some((took, true)) => writeln!(to, "  {name:<14}ok      {:>10}", Seconds(*took).to_string())?,
                Some((took, false)) => writeln!(to, "  {name:<14}FAILED  {:>10}", Seconds(*took).to_string())?,
                None => writeln!(to, "  {name:<14}not run")?,
            }
        }
        let total = self.outcomes.iter().map(|(took, _)| took).sum();
        writeln!(to, "  {:<22}{:>10}", "together", Seconds(total).to_string())
    }
}

/// A duration for people.
pub(super) struct Seconds(pub(super) Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{:.1} s", self.0.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_every_step() {
        let names = vec!["format", "lints", "tests"];
        let outcomes = vec![(Duration::from_millis(440), true), (Duration::from_secs(12), false)];
        let expected = "\
Summary
  format        ok           0.4 s
  lints         FAILED      12.0 s
  tests         not run
  together                  12.4 s
";
        assert_eq!(Summary { names, outcomes }.to_string(), expected);
    }
}
