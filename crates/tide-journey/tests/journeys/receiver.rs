//! A station's clocks and a receiver that is late, noisy, silent, unplugged, or 1,024 weeks behind. Cases that do nothing but wait
//! run side by side.

use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use tide_journey::needs::{Need, journey};
use tide_journey::programs::until;
use tide_journey::receiver::{Language, Manner, TrueTime};
use tide_journey::rehearsal::{BESIDE_GPS, Synced};
use tide_journey::spoken::State;
use tide_journey::{Rehearsal, TestReceiver};

use crate::side_by_side;

pub(crate) fn journeys() -> Vec<Trial> {
    vec![
        journey("a_receiver_sets_both_clocks", Need::Nothing, || {
            side_by_side(&[
                ("a clock that is wrong, twice", wrong_clock),
                ("packets", || set_by(&Manner { language: Language::Ubx, ..Manner::default() })),
                ("noise", || set_by(&Manner { is_noisy: true, ..Manner::default() })),
                ("unplugged half way", unplugged),
            ])
        }),
        journey("without_a_fix_the_time_comes_from_the_rtc", Need::Nothing, || {
            side_by_side(&[
                ("silent", || no_fix(None, "no time from GPS: the receiver says nothing")),
                ("without a fix", || no_fix(Some(State::Void), "no time from GPS: the receiver has no fix")),
                ("no receiver", no_receiver),
                ("neither GPS nor RTC", neither),
            ])
        }),
        journey("a_receiver_1024_weeks_behind_needs_a_witness", Need::Nothing, || {
            side_by_side(&[
                ("the clock bears witness", clock_is_witness),
                ("the RTC bears witness", rtc_is_witness),
                ("nobody bears witness", no_witness),
            ])
        }),
    ]
}

/// How far the machine's clock is behind, in microseconds: 3,000 s, and a part of a second that is not round.
const BEHIND_US: i64 = 3_000_317_000;

/// For how long a fix is waited for that comes, in seconds.
const LONG_WAIT_S: u32 = 40;

/// For how long one is that does not come. The least that may be set is 5.
const SHORT_WAIT_S: u32 = 6;

/// The week number of GPS begins again after so many seconds.
const ROLLOVER_S: i64 = 1_024 * 7 * 86_400;

/// 2000-01-01T00:00:00Z: where many a clock begins that has lost its time.
const YEAR_2000_US: i64 = 946_684_800_000_000;

/// How exactly the start of a second can be seen in an RTC on a busy machine.
const RTC_WITHIN_US: u64 = 300_000;

/// How far the clock may be off at most: half of what a message may take, as much again for what it is off by and left alone, and
/// what rounds that up.
const WORST_US: u64 = 520_000;

fn settings(receiver: &TestReceiver, wait_s: u32) -> String {
    let device = receiver.device().display().to_string();
    format!("[gps]\nsource = 'serial'\ndevice = '{device}'\nwait_s = {wait_s}\npulse = '/nowhere'\n")
}

fn within(wait_s: u32) -> Duration {
    Duration::from_secs(wait_s.into()) + BESIDE_GPS
}

fn wrong_clock() -> anyhow::Result<()> {
    let time = TrueTime::ahead_of_machine_us(BEHIND_US);
    let receiver = TestReceiver::new(time, Manner::default())?;
    let rehearsal = Rehearsal::new(&settings(&receiver, LONG_WAIT_S))?;
    let first = rehearsal.sync(within(LONG_WAIT_S))?;
    first.expect(0, "gps")?;
    ensure!(!first.log.contains("no time from GPS"), "it complains of a receiver that is well: {first:?}");
    first.expect_said("has no time")?;
    first.expect_said("was written on the second, and reads back")?;
    expect_right(&rehearsal, &first, time)?;
    let error_us = rehearsal.clock_error_us(time)?;

    let second = rehearsal.sync(within(LONG_WAIT_S))?;
    second.expect(0, "gps")?;
    ensure!(rehearsal.clock_error_us(time)? == error_us, "a clock that was right was set: {second:?}");
    expect_right(&rehearsal, &second, time)?;

    let history = rehearsal.history()?;
    ensure!(history.len() == 2, "{history:?}");
    let offsets: Vec<i64> = history.iter().filter_map(|run| run["offset_us"].as_i64()).collect();
    let uncertain_us = |run: usize| history[run]["uncertainty_us"].as_u64().unwrap_or_default();
    ensure!(offsets.len() == 2 && offsets[0].abs_diff(BEHIND_US) <= uncertain_us(0), "{history:?}");
    ensure!(offsets[1].unsigned_abs() <= uncertain_us(1), "{history:?}");
    let rtc_offset_us = history[1]["rtc_offset_us"].as_i64().context("the RTC was compared")?;
    ensure!(rtc_offset_us.unsigned_abs() <= uncertain_us(1) + RTC_WITHIN_US, "{history:?}");
    Ok(())
}

/// Clock and RTC are as right as the report says.
fn expect_right(rehearsal: &Rehearsal, run: &Synced, time: TrueTime) -> anyhow::Result<()> {
    let (error_us, told_us) = (rehearsal.clock_error_us(time)?, run.uncertainty_us()?);
    ensure!(error_us.unsigned_abs() <= told_us, "{error_us} us off, and it says {told_us}: {run:?}");
    ensure!(told_us <= WORST_US, "not good enough: {run:?}");
    let rtc_error_us = rehearsal.rtc_error_us(time)?;
    ensure!(rtc_error_us.unsigned_abs() <= told_us + RTC_WITHIN_US, "the RTC is {rtc_error_us} us off: {run:?}");
    println!("the clock is {error_us} us off, and may be {told_us}; the RTC {rtc_error_us}; it took {:.1?}", run.took);
    Ok(())
}

fn set_by(manner: &Manner) -> anyhow::Result<()> {
    let time = TrueTime::ahead_of_machine_us(BEHIND_US);
    let receiver = TestReceiver::new(time, manner.clone())?;
    let rehearsal = Rehearsal::new(&settings(&receiver, LONG_WAIT_S))?;
    let run = rehearsal.sync(within(LONG_WAIT_S))?;
    run.expect(0, "gps")?;
    expect_right(&rehearsal, &run, time)
}

fn unplugged() -> anyhow::Result<()> {
    let time = TrueTime::ahead_of_machine_us(BEHIND_US);
    let receiver = TestReceiver::new(time, Manner::default())?;
    // More than it says before it is unplugged.
    let rehearsal = Rehearsal::new(&format!("{}fixes = 8\n", settings(&receiver, LONG_WAIT_S)))?;
    let spoken = |seconds| until("the receiver has spoken", || Ok(receiver.seconds() >= seconds));
    let run = std::thread::scope(|scope| {
        let run = scope.spawn(|| rehearsal.sync(within(LONG_WAIT_S)));
        spoken(4)?;
        receiver.unplug()?;
        spoken(7)?;
        receiver.plug_in()?;
        run.join().map_err(|_| anyhow::anyhow!("the run panicked"))?
    })?;
    run.expect(0, "gps")?;
    ensure!(run.log.matches("is understood, at").count() == 2, "it was not found again: {run:?}");
    ensure!(run.log.matches("it is looked for again").count() == 1, "it was not missed once: {run:?}");
    expect_right(&rehearsal, &run, time)
}

/// A receiver that gives no fix, and an RTC that is right.
fn no_fix(state: Option<State>, said: &str) -> anyhow::Result<()> {
    let time = TrueTime::ahead_of_machine_us(BEHIND_US);
    let receiver = TestReceiver::new(time, Manner { state, ..Manner::default() })?;
    let rehearsal = Rehearsal::new(&settings(&receiver, SHORT_WAIT_S))?.with_rtc_at(time)?;
    let run = rehearsal.sync(within(SHORT_WAIT_S))?;
    run.expect_said(said)?;
    expect_time_from_rtc(&rehearsal, &run, time)
}

fn no_receiver() -> anyhow::Result<()> {
    let time = TrueTime::ahead_of_machine_us(BEHIND_US);
    let settings = format!("[gps]\nsource = 'serial'\ndevice = '/nowhere/tide-gps'\nwait_s = {SHORT_WAIT_S}\n");
    let rehearsal = Rehearsal::new(&settings)?.with_rtc_at(time)?;
    let run = rehearsal.sync(within(SHORT_WAIT_S))?;
    run.expect_said("the GPS receiver /nowhere/tide-gps cannot be read")?;
    expect_time_from_rtc(&rehearsal, &run, time)
}

fn expect_time_from_rtc(rehearsal: &Rehearsal, run: &Synced, time: TrueTime) -> anyhow::Result<()> {
    run.expect(0, "rtc")?;
    run.expect_said("the system clock has its time from ds3231")?;
    let (error_us, told_us) = (rehearsal.clock_error_us(time)?, run.uncertainty_us()?);
    ensure!(error_us.unsigned_abs() <= told_us, "{error_us} us off, and it says {told_us}: {run:?}");
    let waited = Duration::from_secs(SHORT_WAIT_S.into());
    ensure!(run.took >= waited, "it did not wait for GPS: {run:?}");
    println!("the clock is {error_us} us off, and may be {told_us}; it took {:.1?}", run.took);
    Ok(())
}

/// The RTC has never had a time.
fn neither() -> anyhow::Result<()> {
    let time = TrueTime::ahead_of_machine_us(BEHIND_US);
    let receiver = TestReceiver::new(time, Manner { state: None, ..Manner::default() })?;
    let rehearsal = Rehearsal::new(&settings(&receiver, SHORT_WAIT_S))?;
    let run = rehearsal.sync(within(SHORT_WAIT_S))?;
    run.expect(1, "unsynchronised")?;
    run.expect_said("nobody knows the time: no GPS, and no battery-backed clock")
}

/// Its date is that of 1,024 weeks ago.
fn behind() -> Manner {
    Manner { told_less_true_s: -ROLLOVER_S, ..Manner::default() }
}

fn clock_is_witness() -> anyhow::Result<()> {
    let time = TrueTime::ahead_of_machine_us(BEHIND_US);
    let receiver = TestReceiver::new(time, behind())?;
    let rehearsal = Rehearsal::new(&format!("{}[rtc]\nkind = 'none'\n", settings(&receiver, LONG_WAIT_S)))?;
    let run = rehearsal.sync(within(LONG_WAIT_S))?;
    run.expect(0, "gps")?;
    expect_corrected(&rehearsal, &run, time)
}

fn rtc_is_witness() -> anyhow::Result<()> {
    let time = TrueTime::ahead_of_machine_us(BEHIND_US);
    let receiver = TestReceiver::new(time, behind())?;
    let rehearsal =
        Rehearsal::new(&settings(&receiver, LONG_WAIT_S))?.with_clock_at(YEAR_2000_US)?.with_rtc_at(time)?;
    let run = rehearsal.sync(within(LONG_WAIT_S))?;
    run.expect(0, "gps")?;
    expect_corrected(&rehearsal, &run, time)?;
    expect_right(&rehearsal, &run, time)
}

fn expect_corrected(rehearsal: &Rehearsal, run: &Synced, time: TrueTime) -> anyhow::Result<()> {
    run.expect_said("1024 weeks off, which was put right")?;
    let (error_us, told_us) = (rehearsal.clock_error_us(time)?, run.uncertainty_us()?);
    ensure!(error_us.unsigned_abs() <= told_us, "{error_us} us off, and it says {told_us}: {run:?}");
    Ok(())
}

fn no_witness() -> anyhow::Result<()> {
    let time = TrueTime::ahead_of_machine_us(BEHIND_US);
    let receiver = TestReceiver::new(time, behind())?;
    let settings = format!("{}[rtc]\nkind = 'none'\n", settings(&receiver, SHORT_WAIT_S + 2));
    let rehearsal = Rehearsal::new(&settings)?.with_clock_at(YEAR_2000_US)?;
    let before_us = rehearsal.clock_error_us(time)?;
    let run = rehearsal.sync(within(SHORT_WAIT_S + 2))?;
    run.expect(3, "unsynchronised")?;
    run.expect_said("no time from GPS: the receiver says 20")?;
    run.expect_said("(1024 weeks between them), but no other clock says so")?;
    ensure!(rehearsal.clock_error_us(time)? == before_us, "the clock was set: {run:?}");
    Ok(())
}
