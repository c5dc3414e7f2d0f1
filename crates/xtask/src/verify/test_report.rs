//! Counting tests from what the test programs print.

use std::fmt;

/// What ran, what failed, and what did not run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct TestReport {
    programs: u64,
    passed: u64,
    failed: u64,
    skipped: u64,
    not_run: Vec<String>,
}

impl TestReport {
    /// Learns from one line of a test program's output.
    pub(super) fn read_line(&mut self, line: &str) {
        let line = without_colour(line);
        if let Some(counts) = line.trim().strip_prefix("test result: ") {
            self.read_result(counts);
        } else if let Some(test) = line.trim().strip_prefix("test ") {
            self.not_run.extend(ignored_test(test));
        }
    }

    /// Adds what another step has run.
    pub(super) fn add(&mut self, other: Self) {
        self.programs += other.programs;
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.not_run.extend(other.not_run);
    }

    /// Whether any test program has come to its end.
    pub(super) fn has_run(&self) -> bool {
        self.programs > 0
    }

    /// How many tests did not run.
    pub(super) fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The tests that did not run, with the reason where one was given.
    pub(super) fn not_run(&self) -> &[String] {
        &self.not_run
    }

    /// `counts` is `ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s`.
    fn read_result(&mut self, counts: &str) {
        self.programs += 1;
        let words: Vec<&str> = counts.split([' ', ';']).filter(|word| !word.is_empty()).collect();
        for pair in words.windows(2) {
            let Ok(count) = pair[0].parse::<u64>() else { continue };
            match pair[1] {
                "passed" => self.passed += count,
                "failed" => self.failed += count,
                "ignored" => self.skipped += count,
                _ => (),
            }
        }
    }
}

/// `3 passed, 0 failed, 1 skipped`.
impl fmt::Display for TestReport {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(to, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

/// The name in `NAME ... ignored`, and the reason that may follow a comma.
fn ignored_test(test: &str) -> Option<String> {
    let (name, outcome) = test.split_once(" ... ")?;
    let reason = outcome.strip_prefix("ignored")?.trim_start_matches([',', ' ']);
    let name = name.trim();
    Some(if reason.is_empty() { name.to_owned() } else { format!("{name}: {reason}") })
}

/// The line without the escape sequences of terminals.
fn without_colour(line: &str) -> String {
    let mut pieces = line.split('\u{1b}');
    let beginning = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(beginning, |text, piece| text + piece.split_once('m').map_or("", |(_, rest)| rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(output: &str) -> TestReport {
        let mut report = TestReport::default();
        output.lines().for_each(|line| report.read_line(line));
        report
    }

    #[test]
    fn results_of_several_programs_are_summed() {
        let report = report(
            "running 3 tests\n\
             test a ... ok\n\
             test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s\n\
             test result: FAILED. 4 passed; 1 failed; 2 ignored; 0 measured; 9 filtered out; finished in 0.01s\n",
        );
        assert_eq!(report.to_string(), "7 passed, 1 failed, 2 skipped");
        assert!(report.has_run());
    }

    #[test]
    fn nothing_skipped_is_not_mentioned() {
        let report = report("test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
        assert_eq!(report.to_string(), "3 passed, 0 failed");
    }

    #[test]
    fn ignored_tests_are_named_with_their_reason() {
        let report = report(
            "test browser                ... ignored\n\
             test gauge ... ignored, the folder shared/data is absent\n\
             test fine ... ok\n\
             test src/lib.rs - publish (line 3) ... ignored\n",
        );
        let names = ["browser", "gauge: the folder shared/data is absent", "src/lib.rs - publish (line 3)"];
        assert_eq!(report.not_run(), names);
    }

    #[test]
    fn colours_do_not_hide_a_result() {
        let report = report(
            "test browser ... \u{1b}[33mignored\u{1b}[0m\n\
             test result: \u{1b}[32mok\u{1b}[0m. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n",
        );
        assert_eq!(report.to_string(), "3 passed, 0 failed, 1 skipped");
        assert_eq!(report.not_run(), ["browser"]);
    }

    #[test]
    fn a_program_that_printed_no_result_has_not_run() {
        assert!(!report("error: could not compile `tide-server`\n").has_run());
    }
}
