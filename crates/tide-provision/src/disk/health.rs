//! Whether a file system can be used: what e2fsck and a trial mount say, and what follows from it.

use super::card::{Card, Contents, Trial};
use super::layout::{Partition, Verdict};
use super::programs::Ended;

/// What a check of a file system came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Whether to use it.
    pub verdict: Verdict,
    /// Whether it needed more than what every power cut needs.
    pub was_repaired: bool,
    /// What the trial mount found in it.
    pub contents: Contents,
    /// What went wrong, in sentences.
    pub notes: Vec<String>,
}

/// How a run of e2fsck is judged, from its exit code in e2fsck(8).
#[derive(Debug, Clone, PartialEq, Eq)]
enum Check {
    /// No error is left.
    Good,
    /// Some are left.
    ErrorsLeft(String),
    /// It could not do its work.
    Failed(String),
    /// It did not get to its end, which says nothing about the file system.
    Unfinished(String),
}

/// Checks a file system, repairs it if need be, and tries it.
pub fn examine(card: &mut dyn Card, partition: Partition) -> Health {
    let mut notes = Vec::new();
    let mut was_repaired = false;
    let mut check = judge(card.check(partition));
    let mut trial = trial(card, partition, &check);
    // Twice: what the first run puts elsewhere, the second may have to count again.
    for _ in 0..2 {
        let is_stuck = was_repaired && matches!(check, Check::Unfinished(_));
        if is_stuck || is_usable(&check, &trial) {
            break;
        }
        notes.push(format!("partition {} needs a repair: {}", partition.number, complaint(&check, &trial)));
        check = judge(card.repair(partition));
        was_repaired = true;
        trial = self::trial(card, partition, &check);
    }
    match trial {
        // Whatever can be mounted and is not known to be wrong is worth more than an empty spare.
        Trial::Works(contents) => {
            if check != Check::Good {
                notes.push(format!("partition {} is used, but {}", partition.number, complaint(&check, &trial)));
            }
            Health { verdict: Verdict::Sound, was_repaired, contents, notes }
        }
        Trial::Fails(_) => {
            notes.push(format!("partition {} is beyond repair: {}", partition.number, complaint(&check, &trial)));
            Health { verdict: Verdict::BeyondRepair, was_repaired, contents: Contents::default(), notes }
        }
    }
}

/// Mounting what is known to be wrong could make it worse.
fn trial(card: &mut dyn Card, partition: Partition, check: &Check) -> Trial {
    match check {
        Check::ErrorsLeft(_) => Trial::Fails("it was not mounted".to_owned()),
        _ => card.trial(partition),
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
        Ended::WithCode { code, said, .. } => {
            let words = format!("e2fsck ended with code {code}: {said}");
            match code {
                _ if code & !(REPAIRED | REBOOT) == 0 => Check::Good,
                _ if code & LEFT != 0 => Check::ErrorsLeft(words),
                _ if code & OPERATIONAL != 0 => Check::Failed(words),
                // Cancelled, called wrongly, or a library of its is missing.
                _ => Check::Unfinished(words),
            }
        }
    }
}

fn complaint(check: &Check, trial: &Trial) -> String {
    let said = match check {
        Check::Good => None,
        Check::ErrorsLeft(said) | Check::Failed(said) | Check::Unfinished(said) => Some(said.as_str()),
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
        let is_quiet = matches!(checks[0], Ended::WithCode { code: 0..=3, .. }) && mounts[0];
        assert_eq!(health.notes.is_empty(), is_quiet, "{health:?}");
    }

    const FINE: (Verdict, bool) = (Verdict::Sound, false);
    const REPAIRED: (Verdict, bool) = (Verdict::Sound, true);
    const GONE: (Verdict, bool) = (Verdict::BeyondRepair, true);

    #[test]
    fn what_a_power_cut_leaves_is_fine() {
        for fine in 0..=3 {
            check(&[code(fine)], &[true], FINE, &["check 3", "trial 3"]);
        }
    }

    #[test]
    fn errors_are_repaired_before_the_trial() {
        check(&[code(4), code(1)], &[true], REPAIRED, &["check 3", "repair 3", "trial 3"]);
        check(&[code(4), code(4), code(1)], &[true], REPAIRED, &["check 3", "repair 3", "repair 3", "trial 3"]);
        check(&[code(12), code(4), code(4)], &[], GONE, &["check 3", "repair 3", "repair 3"]);
    }

    #[test]
    fn what_cannot_be_mounted_is_beyond_repair() {
        let all = ["check 3", "trial 3", "repair 3", "trial 3", "repair 3", "trial 3"];
        check(&[code(0), code(0), code(0)], &[false, false, false], GONE, &all);
        check(&[code(8), code(8), code(8)], &[false, false, false], GONE, &all);
        check(&[code(0), code(1)], &[false, true], REPAIRED, &all[..4]);
        // e2fsck has no memory, for instance.
        check(&[code(8), code(8), code(8)], &[true, true, true], REPAIRED, &all);
    }

    #[test]
    fn a_check_without_an_end_says_nothing() {
        let slow = || Ended::Unfinished("e2fsck did not end".to_owned());
        check(&[slow()], &[true], FINE, &["check 3", "trial 3"]);
        check(&[code(32)], &[true], FINE, &["check 3", "trial 3"]);
        check(&[slow(), slow()], &[false, false], GONE, &["check 3", "trial 3", "repair 3", "trial 3"]);
        check(&[code(4), slow()], &[true], REPAIRED, &["check 3", "repair 3", "trial 3"]);
    }
}
