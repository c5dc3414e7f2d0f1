//! Listens to all receivers until their time can be trusted, or for as long as one is waited for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use crate::devices::receiver::{Event, Receiver};
use crate::journal::Journal;
use crate::receiver::Fix;
use crate::verdict::{self, PULSES_NEEDED, Pulse, Reason, Rules, Verdict};

/// How long one receiver is listened to before the next has its turn.
const PATIENCE: Duration = Duration::from_millis(500);

/// Most fixes of one receiver that are remembered: more than can be needed.
const MOST_FIXES: usize = 64;

/// How long a second receiver that is being heard may still take once one can be trusted, in microseconds.
const OTHERS_US: u64 = 5_000_000;

/// How long silence is nothing to speak of, in microseconds: a receiver's speed is being found out, or gpsd connected.
const SOON_US: u64 = 20_000_000;

/// What was heard.
#[derive(Debug)]
pub struct Heard {
    /// Whether it can be trusted.
    pub verdict: Verdict,
    /// The last that any receiver said.
    pub last: Option<Fix>,
}

/// Listens for `wait_us` microseconds at most. `now_us` is the time since the boot, `witnesses` what other clocks show at such a time.
pub fn listen(
    receivers: &mut [Box<dyn Receiver>],
    rules: &Rules,
    wait_us: u64,
    now_us: impl Fn() -> u64,
    witnesses: &dyn Fn(u64) -> Vec<Timestamp>,
    journal: &mut Journal,
) -> Heard {
    let begun_us = now_us();
    let mut words: BTreeMap<String, Vec<Fix>> = BTreeMap::new();
    let mut silent_but_there: BTreeSet<String> = BTreeSet::new();
    // Whoever gives them, pulses mark the same seconds; gpsd names them after their own device.
    let mut pulses: Vec<Pulse> = Vec::new();
    let mut last = None;
    let mut trusted_at_us = None;
    let mut said: Option<Reason> = None;
    loop {
        for event in receivers.iter_mut().flat_map(|receiver| receiver.listen(PATIENCE)) {
            match event {
                Event::Note(text) => journal.info(text),
                Event::NoTime { receiver } => drop(silent_but_there.insert(receiver)),
                // One pulse may be told twice, of two devices.
                Event::Pulse { pulse, .. } if pulses.last().is_some_and(|last| last.is_about(pulse)) => (),
                Event::Pulse { pulse, .. } => remember(&mut pulses, pulse, PULSES_NEEDED),
                Event::Fix { receiver, fix } => {
                    last = Some(fix.clone());
                    let fixes = words.entry(receiver).or_default();
                    if !fixes.last().is_some_and(|before| verdict::is_repeated_too_soon(before, &fix)) {
                        remember(fixes, fix, MOST_FIXES);
                    }
                }
            }
        }
        let now = now_us();
        let judge = |fixes: &Vec<Fix>| verdict::judge(fixes, rules, &witnesses(now), &pulses);
        let mut judged: Vec<Verdict> = words.values().map(judge).collect();
        judged.extend(silent_but_there.iter().map(|_| Verdict::Wanting(Reason::Void)));
        let is_another_near = judged.iter().any(|verdict| matches!(verdict, Verdict::Wanting(Reason::TooFew { .. })));
        let verdict = verdict::agree(judged);
        match &verdict {
            Verdict::Trusted(trust) => {
                let since_us = *trusted_at_us.get_or_insert(now);
                // A pulse needs some in a row, too.
                let is_pulse_near = !trust.by_pulse && !pulses.is_empty();
                if !(is_another_near || is_pulse_near) || now.saturating_sub(since_us) > OTHERS_US {
                    return Heard { verdict, last };
                }
            }
            Verdict::Wanting(reason) => {
                let is_news =
                    said.as_ref().is_none_or(|said| std::mem::discriminant(said) != std::mem::discriminant(reason));
                let is_soon = *reason == Reason::Silent && now.saturating_sub(begun_us) < SOON_US;
                if is_news && !is_soon && !matches!(reason, Reason::TooFew { .. } | Reason::LeapSecond) {
                    journal.info(format_args!("no time from GPS yet: {reason}"));
                    said = Some(reason.clone());
                }
            }
        }
        if receivers.is_empty() || now.saturating_sub(begun_us) >= wait_us {
            return Heard { verdict, last };
        }
    }
}

/// Puts one more at the end, and lets the oldest go.
fn remember<T>(all: &mut Vec<T>, one: T, most: usize) {
    all.drain(..(all.len() + 1).saturating_sub(most));
    all.push(one);
}
