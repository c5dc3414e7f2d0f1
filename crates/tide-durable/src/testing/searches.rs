//! Power cuts at every step of some work, with every way that the disk may have dealt with what was on its way.

use super::{CrashDisk, Outcome};

/// Has `work` done on a new disk, again and again, with the power cut before each of its steps in turn and every [`Outcome`], and
/// has `judge` look at what the next program finds. `work` stops at the cut and notes in the ledger what it was promised; `judge`
/// says which promises are broken. Returns those, each with where.
pub fn search_cuts<Ledger: Default>(
    new_disk: impl Fn() -> CrashDisk,
    work: impl Fn(&CrashDisk, &mut Ledger),
    judge: impl Fn(&CrashDisk, &Ledger) -> Vec<String>,
) -> Vec<String> {
    let whole = new_disk();
    work(&whole, &mut Ledger::default());
    let mut found = Vec::new();
    for cut in 0..=whole.steps() {
        let (disk, mut ledger) = (new_disk().cut_before(cut), Ledger::default());
        work(&disk, &mut ledger);
        found.extend(judge_outcomes(&disk, &ledger, &judge, &format!("cut before step {cut}")));
    }
    found
}

/// The same with two programs: the first is killed before each of its steps in turn, the second does its work on the disk as it
/// then is, and the power is cut before each of its steps. The ledger holds the promises made to both.
pub fn search_cuts_after_kill<Ledger: Default>(
    new_disk: impl Fn() -> CrashDisk,
    work: impl Fn(&CrashDisk, &mut Ledger),
    judge: impl Fn(&CrashDisk, &Ledger) -> Vec<String>,
) -> Vec<String> {
    let first = |kill: Option<usize>| {
        let (disk, mut ledger) = (new_disk(), Ledger::default());
        let disk = kill.map_or(disk.clone(), |kill| disk.cut_before(kill));
        work(&disk, &mut ledger);
        (disk, ledger)
    };
    let mut found = Vec::new();
    for kill in 0..=first(None).0.steps() {
        let (killed, mut ledger) = first(Some(kill));
        let restarted = killed.after_kill();
        work(&restarted, &mut ledger);
        for cut in 0..=restarted.steps() {
            // The same first program again: each second one adds to its own ledger.
            let (disk, mut ledger) = (killed.after_kill().cut_before(cut), first(Some(kill)).1);
            work(&disk, &mut ledger);
            let place = format!("killed before step {kill}, cut before step {cut}");
            found.extend(judge_outcomes(&disk, &ledger, &judge, &place));
        }
    }
    found
}

fn judge_outcomes<Ledger>(
    disk: &CrashDisk,
    ledger: &Ledger,
    judge: impl Fn(&CrashDisk, &Ledger) -> Vec<String>,
    place: &str,
) -> Vec<String> {
    let found =
        |outcome| judge(&disk.after_power_cut(outcome), ledger).into_iter().map(move |broken| (outcome, broken));
    Outcome::all().flat_map(found).map(|(outcome, broken)| format!("{place}, {outcome:?}: {broken}")).collect()
}
