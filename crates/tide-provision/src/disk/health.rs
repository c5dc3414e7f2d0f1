//! Whether a file system can be used: what e2fsck and a trial mount say, and what follows from it.

use super::card::{Card, Contents, Trial};
use super::layout::{Partition, Verdict};
use super::programs::Ended;

/// What a check of a file system came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Health {
    /// Whether to use it.
    pub(super) verdict: Verdict,
    /// Whether it needed more than what every power cut needs.
    pub(super) was_repaired: bool,
    /// What the trial mount found in it.
    pub(super) contents: Contents,
    /// What went wrong, in sentences.
    pub(super) notes: Vec<String>,
}

/// How often e2fsck may repair. Once is not always enough, whatever it says: what it puts right can bring to light what was hidden
/// (seen in tests). So a run that corrected something is followed by another, until one finds nothing.
const MOST_REPAIRS: usize = 5;

/// How a run of e2fsck is judged, from its exit code in e2fsck(8).
#[derive(Debug, Clone, PartialEq, Eq)]
enum Check {
    /// There was no error.
    Good,
    /// There is none left, as far as it knows.
    Corrected(String),
    /// Some are left.
    ErrorsLeft(String),
    /// It could not do its work.
    Failed(String),
    /// It did not get to its end, which says nothing about the file system.
    Unfinished(String),
}

/// Checks a file system, repairs it if need be, and tries it.
pub(super) fn examine(card: &mut dyn Card, partition: Partition) -> Health {
    let number = partition.number;
    let mut notes = Vec::new();
    let mut check = judge(card.check(partition));
    let mut trial = match check {
        // Mounting what may be wrong could make it worse.
        Check::Corrected(_) | Check::ErrorsLeft(_) => Trial::Fails("it was not mounted".to_owned()),
        _ => card.trial(partition),
    };
    let was_repaired = !is_usable(&check, &trial);
    if was_repaired {
        for _ in 0..MOST_REPAIRS {
            notes.push(match &check {
                Check::Corrected(said) => format!("partition {number} was corrected, and is checked again: {said}"),
                _ => format!("partition {number} needs a repair: {}", complaint(&check, &trial)),
            });
            check = judge(card.repair(partition));
            if matches!(check, Check::Good | Check::Unfinished(_)) {
                break;
            }
        }
        trial = match check {
            Check::ErrorsLeft(_) => Trial::Fails("it was not mounted".to_owned()),
            _ => card.trial(partition),
        };
    }
    match trial {
        // Whatever can be mounted and is not known to be wrong is worth more than an empty spare.
        Trial::Works(contents) => {
            if !matches!(check, Check::Good) {
                notes.push(format!("partition {number} is used, but {}", complaint(&check, &trial)));
            }
            Health { verdict: Verdict::Sound, was_repaired, contents, notes }
        }
        Trial::Fails(_) => {
            notes.push(format!("partition {number} cannot be used: {}", complaint(&check, &trial)));
            let is_wrong = matches!(check, Check::ErrorsLeft(_) | Check::Failed(_));
            let verdict = if is_wrong { Verdict::BeyondRepair } else { Verdict::Unclear };
            Health { verdict, was_repaired, contents: Contents::default(), notes }
        }
    }
}

/// A check that takes too long says nothing against a file system that can be mounted: a repair would take longer still.
fn is_usable(check: &Check, trial: &Trial) -> bool {
    matches!((check, trial), (Check::Good | Check::Unfinished(_), Trial::Works(_)))
}

fn judge(ended: Ended) -> Check {
    const REPAIRED: i32 = 1;
    // It was not mounted, so there is nothing to start again for.
    const REBOOT: i32 = 2;
    const LEFT: i32 = 4;
    const OPERATIONAL: i32 = 8;
    match ended {
        Ended::Unfinished(why) => Check::Unfinished(why),
        Ended::WithCode { code, said, output } => {
            let words = format!("e2fsck ended with code {code}: {said}");
            match code {
                0 | REBOOT => Check::Good,
                REPAIRED if is_usual(&output) => Check::Good,
                _ if code & !(REPAIRED | REBOOT) == 0 => Check::Corrected(words),
                _ if code & LEFT != 0 => Check::ErrorsLeft(words),
                _ if code & OPERATIONAL != 0 => Check::Failed(words),
                // Cancelled, called wrongly, or a library of its is missing.
                _ => Check::Unfinished(words),
            }
        }
    }
}

/// Whether e2fsck did no more than what every power cut, and every clock that begins in the year 2000, calls for.
fn is_usual(output: &str) -> bool {
    const USUAL: [&str; 6] = [
        "recovering journal",
        "Clearing orphaned inode",
        "Truncating orphaned inode",
        "Superblock last mount time",
        "Superblock last write time",
        "is in the future.",
    ];
    let is_usual = |line: &str| line == "FIXED." || USUAL.iter().any(|usual| line.contains(usual));
    let is_summary = |line: &str| line.contains(" non-contiguous), ");
    let lines = output.lines().map(str::trim).filter(|line| !line.is_empty() && !is_summary(line));
    lines.clone().count() > 0 && lines.clone().all(is_usual)
}

fn complaint(check: &Check, trial: &Trial) -> String {
    let said = match check {
        Check::Good => None,
        Check::Corrected(said) | Check::ErrorsLeft(said) | Check::Failed(said) | Check::Unfinished(said) => {
            Some(said.as_str())
        }
    };
    let why = match trial {
        Trial::Works(_) => None,
        Trial::Fails(why) => Some(why.as_str()),
    };
    said.into_iter().chain(why).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::super::testing::{FakeCard, code, data};
    use super::*;

    fn check(checks: &[Ended], mounts: &[bool], expected: (Verdict, bool), expected_calls: &[&str]) {
        let mut card = FakeCard::with_data();
        card.checks = checks.iter().cloned().collect();
        card.mounts = mounts.iter().copied().collect();
        let health = examine(&mut card, data());
        assert_eq!((health.verdict, health.was_repaired), expected, "{health:?}");
        assert_eq!(card.calls, expected_calls);
        assert!(expected == FINE || !health.notes.is_empty(), "{health:?}");
    }

    const FINE: (Verdict, bool) = (Verdict::Sound, false);
    const REPAIRED: (Verdict, bool) = (Verdict::Sound, true);
    const GONE: (Verdict, bool) = (Verdict::BeyondRepair, true);

    const UNCLEAR: (Verdict, bool) = (Verdict::Unclear, true);

    #[test]
    fn what_is_corrected_is_told_and_checked_again() {
        for exit_code in [0, 2] {
            check(&[code(exit_code)], &[true], FINE, &["check 3", "trial 3"]);
        }
        for exit_code in [1, 3] {
            check(&[code(exit_code), code(0)], &[true], REPAIRED, &["check 3", "repair 3", "trial 3"]);
        }
    }

    #[test]
    fn what_every_power_cut_leaves_is_not_told() {
        let said = |output: &str| Ended::WithCode { code: 1, output: output.to_owned(), said: String::new() };
        let usual = "tide-data: recovering journal\n\
                     tide-data: Clearing orphaned inode 262 (uid=0, gid=0, mode=0100644, size=0)\n\
                     tide-data: Superblock last mount time (Thu Nov 26 02:22:40 2026,\n\
                     \tnow = Sat Jan  1 00:00:09 2000) is in the future.\n\
                     FIXED.\n\
                     tide-data: 303/38400 files (0.0% non-contiguous), 7230/153600 blocks\n";
        check(&[said(usual)], &[true], FINE, &["check 3", "trial 3"]);
        let wrong = "tide-data: recovering journal\ntide-data: Inode 12, i_size is 4096, should be 8192.  FIXED.\n";
        check(&[said(wrong), code(0)], &[true], REPAIRED, &["check 3", "repair 3", "trial 3"]);
    }

    #[test]
    fn errors_are_repaired_until_none_is_found_and_before_the_trial() {
        check(&[code(4), code(0)], &[true], REPAIRED, &["check 3", "repair 3", "trial 3"]);
        check(&[code(4), code(1), code(0)], &[true], REPAIRED, &["check 3", "repair 3", "repair 3", "trial 3"]);
        let all = ["check 3", "repair 3", "repair 3", "repair 3", "repair 3", "repair 3", "trial 3"];
        check(&[code(4), code(1), code(4), code(1), code(1), code(1)], &[true], REPAIRED, &all);
        check(&[code(12), code(1), code(1), code(1), code(1), code(4)], &[], GONE, &all[..6]);
    }

    #[test]
    fn what_cannot_be_mounted_is_beyond_repair() {
        let all = ["check 3", "trial 3", "repair 3", "repair 3", "repair 3", "repair 3", "repair 3", "trial 3"];
        check(&[code(0), code(0)], &[false, false], UNCLEAR, &["check 3", "trial 3", "repair 3", "trial 3"]);
        check(&[8; 6].map(code), &[false, false], GONE, &all);
        check(
            &[code(0), code(1), code(0)],
            &[false, true],
            REPAIRED,
            &["check 3", "trial 3", "repair 3", "repair 3", "trial 3"],
        );
        // e2fsck has no memory, for instance.
        check(&[8; 6].map(code), &[true, true], REPAIRED, &all);
    }

    #[test]
    fn a_check_without_an_end_says_nothing() {
        let slow = || Ended::Unfinished("e2fsck did not end".to_owned());
        check(&[slow()], &[true], FINE, &["check 3", "trial 3"]);
        check(&[code(32)], &[true], FINE, &["check 3", "trial 3"]);
        check(&[slow(), slow()], &[false, false], UNCLEAR, &["check 3", "trial 3", "repair 3", "trial 3"]);
        check(&[code(4), slow()], &[true], REPAIRED, &["check 3", "repair 3", "trial 3"]);
    }
}
