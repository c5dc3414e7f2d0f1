//! May this GPS time be trusted? A pure function from fixes to a verdict with its reason. One fix is never enough.

use std::ops::RangeInclusive;

use jiff::{SignedDuration, Timestamp};

use crate::receiver::Fix;

mod reason;

pub use reason::Reason;

/// What a receiver has to show before it is believed.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// The earliest time that can be: when this program was built.
    pub earliest: Timestamp,
    /// How many fixes in a row have to agree.
    pub fixes_needed: usize,
    /// Fewest satellites, where the receiver tells their number but not how exact its time is. Three give a time at sea level.
    pub min_satellites: u8,
    /// Largest bound that the receiver may give for its own time, in microseconds.
    pub max_accuracy_us: u64,
    /// Longest time from a moment until its first message has arrived, in microseconds.
    pub max_latency_us: u64,
}

/// 1,024 weeks, after which the week number that GPS satellites send begins again (IS-GPS-200, 20.3.3.3.1.1).
pub const ROLLOVER: SignedDuration = SignedDuration::from_hours(1_024 * 7 * 24);

/// GPS time less UTC, in seconds, when this was written (IERS Bulletin C 52). It has never become less.
const LEAP_SECONDS: i8 = 18;

/// How near another clock has to be to bear witness to a date: a day. A battery-backed clock goes wrong by minutes in a year.
const WITNESS_WITHIN: SignedDuration = SignedDuration::from_hours(24);

/// How far a fix may lie from where the one before it and the clock that is never set put it, in microseconds: 300 ms. Ours:
/// the longest sentence takes 170 ms at 4800 bits per second, and may have to wait for another.
const JUMP_US: u64 = 300_000;

/// How fast the clock that is never set may run wrong within the minute that is judged here, in parts per million: 100. Ours: no
/// board is built with a worse crystal. (The kernel's own 500 would hide how exact a pulse is.)
pub const SHORT_DRIFT_PPM: u64 = 100;

/// Fixes that follow each other more closely are one, in microseconds: 200 ms. Ours: five of a fast receiver, or of one that
/// repeats itself, would otherwise be no more than one.
const SHORTEST_GAP_US: u64 = 200_000;

/// Longest gap within which two fixes follow each other, in microseconds: 10 s. After that the count begins anew.
const LONGEST_GAP_US: u64 = 10_000_000;

impl Rules {
    /// The times that can be: from the build on, as far as 1,024 weeks can tell apart.
    pub fn plausible(&self) -> RangeInclusive<Timestamp> {
        self.earliest..=self.earliest.saturating_add(ROLLOVER).unwrap_or(Timestamp::MAX)
    }
}

/// What a receiver's fixes are worth.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// They may be trusted.
    Trusted(Trust),
    /// Not yet, or not at all.
    Wanting(Reason),
}

/// A time that may be trusted, as a relation to the clock that is never set.
#[derive(Debug, Clone, PartialEq)]
pub struct Trust {
    /// UTC less the time since the boot, in microseconds.
    pub gps_less_monotonic_us: i64,
    /// How far that may be off, in microseconds: the receiver's own bound, and what is not known of how long its messages took.
    pub uncertainty_us: u64,
    /// How many fixes agreed.
    pub fixes: usize,
    /// How many times 1,024 weeks were added to what the receiver says.
    pub rollovers: i32,
    /// Whether a pulse told where the second begins.
    pub by_pulse: bool,
    /// When it was so, in microseconds since the boot.
    pub at_us: u64,
    /// The last of the fixes.
    pub last: Fix,
}

impl Trust {
    /// How far it may be off by now, in microseconds.
    pub fn uncertainty_us_at(&self, monotonic_us: u64) -> u64 {
        self.uncertainty_us.saturating_add(short_drift_us(monotonic_us.saturating_sub(self.at_us)))
    }
}

/// Judges the fixes of one receiver, oldest first, each with the moment at which it was heard. `witnesses` are the times that other
/// clocks show, as far as they can be believed at all, at the moment of the last fix; `pulses` are the last pulses per second.
pub fn judge(fixes: &[Fix], rules: &Rules, witnesses: &[Timestamp], pulses: &[Pulse]) -> Verdict {
    let mut agreeing: Vec<Agreeing> = Vec::new();
    let mut reason = Reason::Silent;
    for fix in fixes {
        match examine(fix, agreeing.last(), rules, witnesses) {
            Ok(good) => {
                if good.begins_anew {
                    agreeing.clear();
                }
                if let Some(objection) = good.objection.clone() {
                    reason = objection;
                }
                agreeing.push(good);
            }
            // Says nothing against those before it.
            Err(Reason::LeapSecond) => reason = Reason::LeapSecond,
            Err(objection) => {
                agreeing.clear();
                reason = objection;
            }
        }
    }
    let (have, need) = (agreeing.len(), rules.fixes_needed);
    match agreeing.last() {
        // Once some agree, their number says more than what was wrong before.
        Some(_) if have >= need => trust(&agreeing[have - need..], rules, regular(pulses)),
        Some(_) if have > 1 || reason == Reason::Silent => Verdict::Wanting(Reason::TooFew { have, need }),
        _ => Verdict::Wanting(reason),
    }
}

/// Whether a good fix comes so soon after another good one that it adds nothing.
pub fn is_repeated_too_soon(before: &Fix, fix: &Fix) -> bool {
    let (Some(before_us), Some(heard_us)) = (before.heard_us, fix.heard_us) else { return false };
    before.mode >= 2 && fix.mode >= 2 && heard_us.saturating_sub(before_us) < SHORTEST_GAP_US
}

/// Puts the verdicts on several receivers together: all that are trusted have to agree, and the surest counts.
pub fn agree(verdicts: Vec<Verdict>) -> Verdict {
    let mut surest: Option<Trust> = None;
    let mut wanting = None;
    for verdict in verdicts {
        match (verdict, &surest) {
            (Verdict::Wanting(reason), _) => wanting = wanting.or(Some(reason)),
            (Verdict::Trusted(trust), None) => surest = Some(trust),
            (Verdict::Trusted(trust), Some(other)) => {
                let by_us = trust.gps_less_monotonic_us.abs_diff(other.gps_less_monotonic_us);
                if by_us > trust.uncertainty_us.saturating_add(other.uncertainty_us) {
                    return Verdict::Wanting(Reason::Disagree { by_us });
                }
                if trust.uncertainty_us < other.uncertainty_us {
                    surest = Some(trust);
                }
            }
        }
    }
    surest.map_or_else(|| Verdict::Wanting(wanting.unwrap_or(Reason::Silent)), Verdict::Trusted)
}

/// A pulse per second: it marks the beginning of a second, but does not say of which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulse {
    /// When it came, on the clock that is never set, in microseconds since the boot.
    pub monotonic_us: u64,
    /// How exactly that is known, in microseconds.
    pub uncertainty_us: u64,
}

impl Pulse {
    /// Whether both are within a tenth of a second, and so the same.
    pub fn is_about(&self, other: Self) -> bool {
        self.monotonic_us.abs_diff(other.monotonic_us) < 100_000
    }
}

/// How many pulses in a row have to be a second apart.
pub const PULSES_NEEDED: usize = 4;

/// How far two pulses may lie from being a second apart, in microseconds: a millisecond. Ours: a tenth of that is what the clock
/// that is never set may go wrong meanwhile.
const PULSE_JITTER_US: u64 = 1_000;

/// The last pulse, if it is one of a regular row: a line may pick up anything.
fn regular(pulses: &[Pulse]) -> Option<Pulse> {
    let last = pulses.get(pulses.len().checked_sub(PULSES_NEEDED)?..)?;
    let is_second = |pair: &[Pulse]| {
        let apart_us = pair[1].monotonic_us.saturating_sub(pair[0].monotonic_us);
        apart_us.abs_diff(1_000_000) <= PULSE_JITTER_US
    };
    last.windows(2).all(is_second).then(|| last.last().copied()).flatten()
}

/// A fix without fault.
#[derive(Debug, Clone)]
struct Agreeing {
    fix: Fix,
    heard_us: u64,
    /// Its time, with the rollovers added.
    time: Timestamp,
    rollovers: i32,
    /// It does not follow those before it.
    begins_anew: bool,
    objection: Option<Reason>,
}

fn examine(fix: &Fix, before: Option<&Agreeing>, rules: &Rules, witnesses: &[Timestamp]) -> Result<Agreeing, Reason> {
    let heard_us = fix.heard_us.ok_or(Reason::Silent)?;
    if fix.mode < 2 {
        return Err(Reason::Void);
    }
    if fix.estimated {
        return Err(Reason::Estimated);
    }
    match (fix.accuracy_us, fix.satellites) {
        (Some(accuracy_us), _) if accuracy_us > rules.max_accuracy_us => return Err(Reason::Inexact { accuracy_us }),
        (None, Some(few)) if few < rules.min_satellites => return Err(Reason::TooFewSatellites(few)),
        _ => (),
    }
    if fix.unresolved || fix.leap_seconds.is_some_and(|told| told < LEAP_SECONDS) {
        return Err(Reason::Unresolved);
    }
    if fix.leap_second {
        return Err(Reason::LeapSecond);
    }
    let (time, rollovers) = era(fix.time, rules, witnesses)?;
    let mut good = Agreeing { fix: fix.clone(), heard_us, time, rollovers, begins_anew: false, objection: None };
    let Some(before) = before else { return Ok(good) };
    let told_us = time.as_microsecond() - before.time.as_microsecond();
    let passed_us = i64::try_from(heard_us.saturating_sub(before.heard_us)).unwrap_or(i64::MAX);
    if told_us == 0 && passed_us.unsigned_abs() >= SHORTEST_GAP_US {
        return Err(Reason::Stale);
    }
    if told_us.abs_diff(passed_us) > JUMP_US {
        good.begins_anew = true;
        good.objection = Some(Reason::Jump { by_us: told_us - passed_us });
    } else if passed_us.unsigned_abs() > LONGEST_GAP_US {
        good.begins_anew = true;
    }
    Ok(good)
}

/// The time that a receiver means, and how many times 1,024 weeks that is from what it tells.
fn era(told: Timestamp, rules: &Rules, witnesses: &[Timestamp]) -> Result<(Timestamp, i32), Reason> {
    let is_witnessed = |time: Timestamp| {
        let near = |witness: &Timestamp| time.duration_since(*witness).abs() <= WITNESS_WITHIN;
        witnesses.iter().any(near)
    };
    let shifted = |rollovers: i32| Some((told.checked_add(ROLLOVER * rollovers).ok()?, rollovers));
    let plausible = rules.plausible();
    if plausible.contains(&told) {
        // A receiver may be 1,024 weeks ahead, too; only who else tells the time can say so.
        let other = [-1, 1].into_iter().filter_map(shifted).find(|(time, _)| is_witnessed(*time));
        return Ok(other.filter(|_| !is_witnessed(told)).unwrap_or((told, 0)));
    }
    let meant = (-2..=4).filter_map(shifted).find(|(time, _)| plausible.contains(time));
    match meant {
        Some((time, rollovers)) if is_witnessed(time) => Ok((time, rollovers)),
        Some((meant, _)) => Err(Reason::Rollover { told, meant }),
        None => Err(Reason::Implausible(told)),
    }
}

/// Each message arrived after its moment, and by `max_latency_us` at most. All of them together leave an interval for the relation
/// of the two clocks. (What the bytes take on the wire would narrow it, but adapters for USB do not keep the speed they are told.)
fn trust(agreeing: &[Agreeing], rules: &Rules, pulse: Option<Pulse>) -> Verdict {
    let Some(last) = agreeing.last() else { return Verdict::Wanting(Reason::Silent) };
    let first_us = agreeing.first().map_or(last.heard_us, |first| first.heard_us);
    let drift_us = short_drift_us(last.heard_us.saturating_sub(first_us));
    let relation = |one: &Agreeing| one.time.as_microsecond() - one.heard_us.cast_signed();
    let most = |one: &Agreeing| relation(one) + (rules.max_latency_us + one.fix.extra_delay_us).cast_signed();
    let (Some(least), Some(most)) = (agreeing.iter().map(relation).max(), agreeing.iter().map(most).min()) else {
        return Verdict::Wanting(Reason::Silent);
    };
    if most + drift_us.cast_signed() < least {
        return Verdict::Wanting(Reason::Scattered);
    }
    // Without a bound of the receiver's own, a microsecond is what none exceeds that has a fix.
    let own_us = agreeing.iter().filter_map(|one| one.fix.accuracy_us).max().unwrap_or(1);
    let middle = Trust {
        gps_less_monotonic_us: least.midpoint(most),
        uncertainty_us: (most - least).max(0).unsigned_abs().div_ceil(2) + drift_us + own_us,
        fixes: agreeing.len(),
        rollovers: last.rollovers,
        by_pulse: false,
        at_us: last.heard_us,
        last: Fix { time: last.time, ..last.fix.clone() },
    };
    // One from before the fixes may be of a receiver that had none.
    let pulse = pulse.filter(|pulse| pulse.monotonic_us.abs_diff(last.heard_us) <= PULSE_NEAR_US);
    pulse.map_or_else(|| Verdict::Trusted(middle.clone()), |pulse| sharpened(&middle, pulse, own_us))
}

/// How near to the last fix a pulse has to be, in microseconds: two seconds.
const PULSE_NEAR_US: u64 = 2_000_000;

/// What the clock that is never set may go wrong in so short a time, in microseconds.
fn short_drift_us(elapsed_us: u64) -> u64 {
    elapsed_us.saturating_mul(SHORT_DRIFT_PPM).div_ceil(1_000_000)
}

/// With a pulse the interval has to hold one beginning of a second only, and that is it.
fn sharpened(middle: &Trust, pulse: Pulse, own_us: u64) -> Verdict {
    const SECOND_US: i64 = 1_000_000;
    let doubt_us = middle.uncertainty_us + pulse.uncertainty_us;
    if doubt_us >= SECOND_US.unsigned_abs() / 2 {
        return Verdict::Trusted(middle.clone());
    }
    let at_us = middle.gps_less_monotonic_us + pulse.monotonic_us.cast_signed();
    let off_us = (at_us + SECOND_US / 2).rem_euclid(SECOND_US) - SECOND_US / 2;
    if off_us.unsigned_abs() > doubt_us {
        return Verdict::Wanting(Reason::PulseElsewhere { by_us: off_us.unsigned_abs() - doubt_us });
    }
    Verdict::Trusted(Trust {
        gps_less_monotonic_us: middle.gps_less_monotonic_us - off_us,
        uncertainty_us: pulse.uncertainty_us + own_us,
        by_pulse: true,
        at_us: pulse.monotonic_us,
        ..middle.clone()
    })
}
