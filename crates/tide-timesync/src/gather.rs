//! Listens to all receivers until their time can be trusted, or for as long as one is waited for.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::devices::receiver::{Event, Receiver};
use crate::journal::Journal;
use crate::receiver::Fix;
use crate::verdict::{self, Pulse, Reason, Rules, Verdict};

/// How long one receiver is listened to before the next has its turn.
const PATIENCE: Duration = Duration::from_millis(500);

/// Most fixes of one receiver that are remembered: more than can be needed.
const MOST_FIXES: usize = 64;

/// How long a second receiver that is being heard may still take once one can be trusted, in microseconds.
const OTHERS_US: u64 = 5_000_000;

/// How long a receiver is listened to before the log says what it lacks, in microseconds: three cycles of one that speaks once a
/// second. Its speed is found meanwhile, and the order of its messages.
const FIRST_WORDS_US: u64 = 3_000_000;

/// What was heard.
#[derive(Debug)]
pub struct Heard {
    /// Whether it can be trusted.
    pub verdict: Verdict,
    /// The last that any receiver said.
    pub last: Option<Fix>,
}

/// One receiver's words.
#[derive(Debug, Default)]
struct Words {
    fixes: Vec<Fix>,
    pulse: Option<Pulse>,
    /// It has said something, if not the time.
    has_spoken: bool,
}

impl Words {
    fn judge(&self, rules: &Rules, witnesses: &[Timestamp]) -> Verdict {
        match verdict::judge(&self.fixes, rules, witnesses, self.pulse) {
            Verdict::Wanting(Reason::Silent) if self.has_spoken => Verdict::Wanting(Reason::Void),
            verdict => verdict,
        }
    }
}

/// Listens for `wait_us` microseconds at most. `now_us` is the time since the boot, `witnesses` what other clocks show at such a time.
pub fn listen(
    receivers: &mut [Box<dyn Receiver>],
    rules: &Rules,
    wait_us: u64,
    now_us: impl Fn() -> u64,
    witnesses: impl Fn(u64) -> Vec<Timestamp>,
    journal: &mut Journal,
) -> Heard {
    let begun_us = now_us();
    let mut words: BTreeMap<String, Words> = BTreeMap::new();
    let mut last = None;
    let mut trusted_at_us = None;
    let mut said: Option<Reason> = None;
    loop {
        for event in receivers.iter_mut().flat_map(|receiver| receiver.listen(PATIENCE)) {
            match event {
                Event::Note(text) => journal.info(text),
                Event::NoTime { receiver } => words.entry(receiver).or_default().has_spoken = true,
                Event::Pulse { receiver, pulse } => words.entry(receiver).or_default().pulse = Some(pulse),
                Event::Fix { receiver, fix } => {
                    last = Some(fix.clone());
                    let fixes = &mut words.entry(receiver).or_default().fixes;
                    fixes.drain(..(fixes.len() + 1).saturating_sub(MOST_FIXES));
                    fixes.push(fix);
                }
            }
        }
        let now = now_us();
        let judged: Vec<Verdict> = words.values().map(|words| words.judge(rules, &witnesses(now))).collect();
        let is_another_near = judged.iter().any(|verdict| matches!(verdict, Verdict::Wanting(Reason::TooFew { .. })));
        let verdict = verdict::agree(judged);
        match &verdict {
            Verdict::Trusted(_) => {
                let since_us = *trusted_at_us.get_or_insert(now);
                if !is_another_near || now.saturating_sub(since_us) > OTHERS_US {
                    return Heard { verdict, last };
                }
            }
            Verdict::Wanting(reason) => {
                let is_news =
                    said.as_ref().is_none_or(|said| std::mem::discriminant(said) != std::mem::discriminant(reason));
                let has_had_time = now.saturating_sub(begun_us) >= FIRST_WORDS_US;
                if is_news && has_had_time && !matches!(reason, Reason::TooFew { .. } | Reason::LeapSecond) {
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
