//! F9: receivers that are wrong about the date. In virtual time: what they say goes through the program's own reading, verdict and
//! decision, and no clock is touched.

use anyhow::{Context, ensure};
use jiff::{SignedDuration, Timestamp};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tide_timesync::receiver::{Epochs, Fix, Framer};
use tide_timesync::steering::{Decision, Facts, Limit, Limits, decide};
use tide_timesync::verdict::{ROLLOVER, Reason, Rules, Trust, Verdict, agree, judge};

use super::{Fault, Plan, Seen};
use crate::needs::Need;
use crate::spoken::{self, State};

pub(super) const FAULT: Fault = Fault {
    number: "F9",
    name: "gps-dates",
    need: Need::Nothing,
    about: "receivers 1,024 weeks behind, at the next rollover, in a leap second, without a date, or contradicting each other: \
            no wrong time is ever trusted",
    long_rounds: 20_000,
    short_rounds: 200,
    run,
};

/// When the program of this test was built: no time is before that.
const BUILT: Timestamp = Timestamp::constant(1_795_564_800, 0);

/// When the week number of GPS is 0 again: 2038-11-21T00:00:00 by GPS, which is 18 s ahead of UTC.
const NEXT_ROLLOVER: Timestamp = Timestamp::constant(2_173_910_382, 0);

/// Ends of months in which a leap second may come, in UTC: the second after it.
const AFTER_LEAP_SECONDS: [Timestamp; 2] =
    [Timestamp::constant(1_861_920_000, 0), Timestamp::constant(1_877_558_400, 0)];

/// As in the settings.
const FIXES_NEEDED: usize = 5;

const SECOND_US: i64 = 1_000_000;

const DAY: SignedDuration = SignedDuration::from_hours(24);

type Case = fn(&mut StdRng) -> anyhow::Result<()>;

const CASES: [(&str, Case); 8] = [
    ("the week number has begun again", weeks_off),
    ("it begins again while it is listened to", crossing),
    ("a leap second", leap_second),
    ("no fix", void),
    ("no date", no_date),
    ("any date", any_date),
    ("two receivers", two_receivers),
    ("beyond the limits", limits),
];

fn run(plan: Plan) -> anyhow::Result<Seen> {
    let mut random = StdRng::seed_from_u64(plan.seed);
    for round in 0..plan.rounds {
        for (name, case) in CASES {
            case(&mut random).with_context(|| format!("{name}, round {round}, seed {}", plan.seed))?;
        }
    }
    Ok(Seen(format!(
        "{} rounds of {} cases with seed {}; no wrong time was trusted",
        plan.rounds,
        CASES.len(),
        plan.seed
    )))
}

/// A receiver that is listened to, in virtual time.
#[derive(Default)]
struct Listening {
    framer: Framer,
    epochs: Epochs,
    fixes: Vec<Fix>,
}

impl Listening {
    /// Hears sentences at a moment, in microseconds since the boot.
    fn hear(&mut self, sentences: &[String], heard_us: u64) {
        for text in sentences {
            let take = |frame: tide_timesync::receiver::Frame<'_>| {
                self.fixes.extend(self.epochs.take(frame, Some(heard_us)));
            };
            self.framer.push(text.as_bytes(), take);
        }
    }

    fn verdict(&self, witnesses: &[Timestamp]) -> Verdict {
        judge(&self.fixes, &rules(), witnesses, &[])
    }
}

fn rules() -> Rules {
    Rules {
        earliest: BUILT,
        fixes_needed: FIXES_NEEDED,
        min_satellites: 3,
        max_accuracy_us: 100_000,
        max_latency_us: 500_000,
    }
}

/// The true time, as a relation to the time since the boot.
#[derive(Clone, Copy)]
struct True {
    utc_less_boot_us: i64,
}

/// When a test begins to listen, in microseconds since the boot.
const BEGUN_US: i64 = 120 * SECOND_US;

impl True {
    /// It is this time when a test begins to listen.
    fn at(time: Timestamp) -> Self {
        Self { utc_less_boot_us: time.as_microsecond() - BEGUN_US }
    }

    /// Any time that can be, to the second, and not within a week of its ends.
    fn random(random: &mut StdRng) -> Self {
        let (first, last) = (BUILT.as_second() + 604_800, (BUILT + ROLLOVER).as_second() - 604_800);
        Self::at(Timestamp::from_second(random.random_range(first..last)).unwrap_or(BUILT))
    }

    fn second(self, number: i64) -> Timestamp {
        Timestamp::from_microsecond(self.utc_less_boot_us + BEGUN_US + number * SECOND_US).unwrap_or(BUILT)
    }

    /// When what a receiver says of a second is heard.
    fn heard_us(number: i64, random: &mut StdRng) -> u64 {
        (BEGUN_US + number * SECOND_US).unsigned_abs() + random.random_range(60_000..150_000)
    }

    /// Fails if a time that is trusted is not right.
    fn expect(self, trust: &Trust) -> anyhow::Result<()> {
        let off_us = trust.gps_less_monotonic_us.abs_diff(self.utc_less_boot_us);
        ensure!(off_us <= trust.uncertainty_us, "a time that is {off_us} us off is trusted: {trust:?}");
        Ok(())
    }
}

/// A receiver that says so, for as many seconds as are needed and two more.
fn listen_to(time: True, random: &mut StdRng, says: impl Fn(Timestamp) -> Vec<String>) -> Listening {
    let mut listening = Listening::default();
    for number in 0..FIXES_NEEDED.cast_signed() as i64 + 2 {
        listening.hear(&says(time.second(number)), True::heard_us(number, random));
    }
    listening
}

fn says(told: Timestamp) -> Vec<String> {
    vec![spoken::rmc(told, State::Fix), spoken::gga(told, State::Fix)]
}

fn weeks_off(random: &mut StdRng) -> anyhow::Result<()> {
    let time = True::random(random);
    for rollovers in [-1, 1, 2] {
        let listening = listen_to(time, random, |now| says(now - ROLLOVER * rollovers));
        match listening.verdict(&[]) {
            Verdict::Wanting(Reason::Rollover { told, meant }) => {
                ensure!(meant.duration_since(time.second(0)).as_secs().abs() < 60, "{told} means {meant}");
                let words = Reason::Rollover { told, meant }.to_string();
                ensure!(words.contains("1024 weeks") && words.contains("no other clock says so"), "{words}");
            }
            verdict => anyhow::bail!("without a witness: {verdict:?}"),
        }
        let near = time.second(0) + SignedDuration::from_secs(random.random_range(-80_000..80_000));
        match listening.verdict(&[near]) {
            Verdict::Trusted(trust) if trust.rollovers == rollovers => time.expect(&trust)?,
            verdict => anyhow::bail!("with a witness: {verdict:?}"),
        }
        let sign = if random.random() { 1 } else { -1 };
        let far = time.second(0) + DAY * (sign * random.random_range(2..3_000));
        let verdict = listening.verdict(&[far]);
        ensure!(matches!(verdict, Verdict::Wanting(Reason::Rollover { .. })), "with a false witness: {verdict:?}");
    }
    Ok(())
}

/// Some receivers go on, some fall back by 1,024 weeks: after each of their seconds no wrong time may be trusted.
fn crossing(random: &mut StdRng) -> anyhow::Result<()> {
    let before_s = random.random_range(1..10);
    let time = True::at(NEXT_ROLLOVER - SignedDuration::from_secs(before_s));
    for falls_back in [false, true] {
        for witnesses in [&[][..], &[NEXT_ROLLOVER]] {
            let mut listening = Listening::default();
            for number in 0..20 {
                let now = time.second(number);
                let told = if falls_back && now >= NEXT_ROLLOVER { now - ROLLOVER } else { now };
                listening.hear(&says(told), True::heard_us(number, random));
                if let Verdict::Trusted(trust) = listening.verdict(witnesses) {
                    time.expect(&trust)?;
                }
            }
            let verdict = listening.verdict(witnesses);
            let is_trusted = matches!(verdict, Verdict::Trusted(_));
            ensure!(is_trusted == (!falls_back || !witnesses.is_empty()), "falls back: {falls_back}: {verdict:?}");
        }
    }
    Ok(())
}

fn leap_second(random: &mut StdRng) -> anyhow::Result<()> {
    let after = AFTER_LEAP_SECONDS[random.random_range(0..AFTER_LEAP_SECONDS.len())];
    let before_s = random.random_range(0..12);
    // Before it, and once it is over: UTC has then fallen back by a second.
    let time = True::at(after - SignedDuration::from_secs(before_s));
    let later = True { utc_less_boot_us: time.utc_less_boot_us - SECOND_US };
    let mut listening = Listening::default();
    for number in 0..before_s + 1 + FIXES_NEEDED.cast_signed() as i64 {
        let is_leap = number == before_s;
        let said = match number.cmp(&before_s) {
            std::cmp::Ordering::Less => says(time.second(number)),
            std::cmp::Ordering::Equal => spoken::leap_second(after - SignedDuration::from_secs(1)).to_vec(),
            std::cmp::Ordering::Greater => says(later.second(number)),
        };
        listening.hear(&said, True::heard_us(number, random));
        if let Verdict::Trusted(trust) = listening.verdict(&[]) {
            // Within it nobody can say which of the two it is.
            let is_right = if number > before_s { later.expect(&trust) } else { time.expect(&trust) };
            if is_leap { is_right.or_else(|_| later.expect(&trust))? } else { is_right? }
        }
    }
    ensure!(listening.fixes.iter().filter(|fix| fix.leap_second).count() == 1, "{:?}", listening.fixes);
    let verdict = listening.verdict(&[]);
    ensure!(matches!(verdict, Verdict::Trusted(_)), "after the leap second: {verdict:?}");
    Ok(())
}

/// A receiver that has never had a fix, and one that has lost it.
fn void(random: &mut StdRng) -> anyhow::Result<()> {
    let time = True::random(random);
    for good in [0, 1, FIXES_NEEDED.cast_signed() as i64] {
        let mut listening = Listening::default();
        for number in 0..good + FIXES_NEEDED.cast_signed() as i64 {
            let state = if number < good { State::Fix } else { State::Void };
            let now = time.second(number);
            listening.hear(&[spoken::rmc(now, state), spoken::gga(now, state)], True::heard_us(number, random));
        }
        let verdict = listening.verdict(&[time.second(0)]);
        let is_void = matches!(verdict, Verdict::Wanting(Reason::Void)) || (good == 0 && listening.fixes.is_empty());
        ensure!(is_void, "after {good} fixes: {verdict:?}");
    }
    Ok(())
}

/// What receivers have for the date before a satellite has told it.
fn no_date(random: &mut StdRng) -> anyhow::Result<()> {
    let time = True::random(random);
    for date in ["000000", "060180", "010170", "220899", "", "320127", "999999"] {
        let undated = |now| vec![spoken::rmc_dated(now, date, State::Fix), spoken::gga(now, State::Fix)];
        let listening = listen_to(time, random, undated);
        for witnesses in [&[][..], &[time.second(0)]] {
            match listening.verdict(witnesses) {
                // Some times 1,024 weeks from such a date may be what a witness says. Then that is as right as a witness has to be.
                Verdict::Trusted(trust) if !witnesses.is_empty() && trust.rollovers != 0 => {
                    let off_us = trust.gps_less_monotonic_us.abs_diff(time.utc_less_boot_us);
                    ensure!(
                        u128::from(off_us) <= DAY.as_micros().unsigned_abs() + 10_000_000,
                        "date {date}: {trust:?}"
                    );
                }
                Verdict::Trusted(trust) => anyhow::bail!("date {date}: {trust:?}"),
                Verdict::Wanting(_) => (),
            }
        }
    }
    Ok(())
}

/// Whatever date is told, no clock is ever set to a time before the build, or too long after.
fn any_date(random: &mut StdRng) -> anyhow::Result<()> {
    const FIRST_S: i64 = 315_964_800;
    const LAST_S: i64 = 3_471_292_800;
    let told_at = True::at(Timestamp::from_second(random.random_range(FIRST_S..LAST_S))?);
    let listening = listen_to(told_at, random, says);
    let (first, last) = (told_at.second(0), told_at.second(FIXES_NEEDED.cast_signed() as i64 + 2));
    let can_be = |time: &Timestamp| (BUILT..=BUILT + ROLLOVER).contains(time);
    match listening.verdict(&[]) {
        Verdict::Trusted(trust) => {
            ensure!(can_be(&first) || can_be(&last), "{first} is trusted: {trust:?}");
            told_at.expect(&trust)?;
        }
        verdict => ensure!(!can_be(&first) || !can_be(&last), "{first} is not trusted: {verdict:?}"),
    }
    let clock = Timestamp::from_second(random.random_range(0..LAST_S))?;
    let offset_us = first.as_microsecond() - clock.as_microsecond();
    let decision = decide(offset_us, 200_000, &facts(clock, random.random(), 0), &Limits::default());
    let is_set = matches!(decision, Decision::Step { .. } | Decision::Slew { .. });
    ensure!(!is_set || can_be(&first), "{clock} would be set to {first}: {decision:?}");
    Ok(())
}

fn two_receivers(random: &mut StdRng) -> anyhow::Result<()> {
    let time = True::random(random);
    // Half of what a message may take is 250 ms for each.
    for (apart_us, agrees) in
        [(random.random_range(0..100_000), true), (random.random_range(700_000..5_000_000), false)]
    {
        let other = True { utc_less_boot_us: time.utc_less_boot_us + apart_us };
        let verdicts = vec![listen_to(time, random, says).verdict(&[]), apart(other, apart_us, random).verdict(&[])];
        ensure!(verdicts.iter().all(|verdict| matches!(verdict, Verdict::Trusted(_))), "{verdicts:?}");
        let verdict = agree(verdicts);
        match &verdict {
            Verdict::Trusted(trust) if agrees => time.expect(trust).or_else(|_| other.expect(trust))?,
            Verdict::Wanting(Reason::Disagree { .. }) if !agrees => (),
            _ => anyhow::bail!("{apart_us} us apart: {verdict:?}"),
        }
    }
    Ok(())
}

/// A receiver that tells whole seconds so much earlier.
fn apart(time: True, apart_us: i64, random: &mut StdRng) -> Listening {
    let mut listening = Listening::default();
    // Its own whole seconds are those of the other one.
    let whole = True { utc_less_boot_us: time.utc_less_boot_us - apart_us };
    for number in 10..12 + FIXES_NEEDED.cast_signed() as i64 {
        let heard_us = True::heard_us(number, random).saturating_add_signed(-apart_us);
        listening.hear(&says(whole.second(number)), heard_us);
    }
    listening
}

fn facts(clock: Timestamp, is_first_of_boot: bool, stepped_us: u64) -> Facts {
    Facts {
        is_believed: false,
        clock_us: clock.as_microsecond(),
        earliest_us: BUILT.as_microsecond(),
        latest_us: (BUILT + ROLLOVER).as_microsecond(),
        keeper: None,
        is_first_of_boot,
        stepped_us,
        drift_us: 0,
    }
}

/// The limits of ntpd-rs: a day back at the first setting of a boot, 1,000 s later on; and ours for all steps together.
fn limits(random: &mut StdRng) -> anyhow::Result<()> {
    let limits = Limits::default();
    let clock = Timestamp::from_second(BUILT.as_second() + random.random_range(200_000_000..400_000_000))?;
    let check = |by_s: i64, is_first: bool, stepped_s: u64, expected: Option<Limit>| {
        let facts = facts(clock, is_first, stepped_s * SECOND_US.unsigned_abs());
        let decision = decide(by_s * SECOND_US, 200_000, &facts, &limits);
        let is_right = match (decision, expected) {
            (Decision::Refuse { limit, .. }, Some(expected)) => limit == expected,
            (Decision::Step { by_us, .. }, None) => by_us == by_s * SECOND_US,
            _ => false,
        };
        ensure!(is_right, "{by_s} s, first {is_first}, {stepped_s} s before: {decision:?}, not {expected:?}");
        Ok(())
    };
    let near_s = random.random_range(1..=1_000);
    let far_s = random.random_range(1_001..86_400);
    let a_day_s = random.random_range(86_401..100_000_000);
    check(a_day_s, true, 0, None)?;
    check(-far_s, true, 0, None)?;
    check(-a_day_s, true, 0, Some(Limit::StartupBackward { limit_s: 86_400 }))?;
    for sign in [-1, 1] {
        check(sign * near_s, false, 0, None)?;
        check(sign * far_s, false, 0, Some(Limit::Single { limit_s: 1_000 }))?;
        let stepped_s = 3_600 - near_s.unsigned_abs();
        check(sign * near_s, false, stepped_s, None)?;
        check(sign * near_s, false, stepped_s + 1, Some(Limit::Total { limit_s: 3_600 }))?;
    }
    check(-400_000_001, true, 0, Some(Limit::Implausible))
}
