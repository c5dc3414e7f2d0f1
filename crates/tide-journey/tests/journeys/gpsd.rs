//! Debian's own gpsd between the receiver and us: what it tells arrives, and when it hangs or dies the run ends in time.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use rustix::process::Signal;
use tempfile::NamedTempFile;
use tide_journey::gpsd::Gpsd;
use tide_journey::needs::{self, Need, journey};
use tide_journey::programs::{Running, until};
use tide_journey::receiver::{Manner, TrueTime};
use tide_journey::recordings::{gpsds_times, printed_times, times_in};
use tide_journey::rehearsal::{BESIDE_GPS, Synced};
use tide_journey::{Rehearsal, TestReceiver};

use crate::side_by_side;

pub(crate) fn journeys() -> Vec<Trial> {
    vec![
        journey("gpsd_passes_on_what_recordings_tell", Need::GpsdWithRecordings, recordings),
        journey("a_gpsd_that_hangs_or_dies_holds_up_nobody", Need::Gpsd, || {
            side_by_side(&[
                ("well", well),
                ("stopped", stopped),
                ("killed, and the RTC is right", || killed(true)),
                ("killed, and the RTC has no time", || killed(false)),
                ("stopped, and the device is read beside it", read_beside),
            ])
        }),
    ]
}

/// How far the machine's clock is behind, in microseconds.
const BEHIND_US: i64 = 3_000_317_000;

/// How long a recording is played: fast, and long enough for the program to be there at its beginning, or nearly.
const PLAYED_IN_S: f64 = 12.0;

/// Fewest times that come through. The shortest recording has 22.
const FEWEST_TIMES: usize = 12;

/// More fixes than come before gpsd is stopped or killed.
const MANY_FIXES: u8 = 60;

fn recordings() -> anyhow::Result<()> {
    let recordings = needs::gps_recordings()?;
    thread::scope(|scope| {
        let threads: Vec<_> = recordings.iter().map(|recording| scope.spawn(|| replay(recording))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow::anyhow!("it panicked"))?)
    })
}

fn replay(recording: &Path) -> anyhow::Result<()> {
    let name = recording.file_name().context("a recording has a name")?.display();
    let mut gpsd = Gpsd::play(recording, PLAYED_IN_S)?;
    let rehearsal = Rehearsal::new(&format!("[gps]\nsource = 'gpsd'\ngpsd = '{}'\n", gpsd.address()))?;
    let (printed, notes) = (NamedTempFile::new()?, NamedTempFile::new()?);
    let mut command = rehearsal.command()?;
    let mut program = Running::start(command.arg("fixes").stdout(printed.reopen()?).stderr(notes.reopen()?))?;
    let noted = |text: &str| Ok(fs::read_to_string(notes.path())?.contains(text));
    until("gpsd answers", || noted("answers"))?;
    let beside = gpsd.listen()?;
    until("the recording ends", || Ok(!gpsd.is_running()))?;
    until("all of it has been read", || noted("cannot be heard"))?;
    program.kill()?;

    let ours = printed_times(&fs::read_to_string(printed.path())?)?;
    let beside = times_in(&beside.join().map_err(|_| anyhow::anyhow!("the listener panicked"))??)?;
    let theirs = gpsds_times(recording)?;
    println!("{name}: {} of {} times came through gpsd, which told {}", ours.len(), theirs.len(), beside.len());
    let mut rest = theirs.iter();
    // The gpsd whose words lie beside the recording let go of a last moment that was cut off; Debian's tells it.
    let stray = ours.iter().filter(|time| Some(*time) <= theirs.last()).find(|time| !rest.any(|told| told == *time));
    ensure!(stray.is_none(), "{name}: {stray:?} is not in the recording, or out of its order");
    // This gpsd does not pass on all that the one did whose words lie beside the recording.
    ensure!(ours.ends_with(&beside), "{name}: another listener was told {beside:?}, and we {ours:?}");
    ensure!(ours.len() >= FEWEST_TIMES, "{name}: only {} of {} times came through gpsd", ours.len(), theirs.len());
    Ok(())
}

/// A gpsd with a receiver, and a machine with so many seconds of patience.
fn station(time: TrueTime, fixes: u8, wait_s: u32) -> anyhow::Result<(TestReceiver, Gpsd, Rehearsal)> {
    let receiver = TestReceiver::new(time, Manner::default())?;
    let gpsd = Gpsd::start(&receiver.device())?;
    let address = gpsd.address();
    let settings = format!("[gps]\nsource = 'gpsd'\ngpsd = '{address}'\nfixes = {fixes}\nwait_s = {wait_s}\n");
    Ok((receiver, gpsd, Rehearsal::new(&settings)?))
}

/// A run during which this is done to gpsd after some fixes.
fn sync_and(
    rehearsal: &Rehearsal,
    receiver: &TestReceiver,
    wait_s: u32,
    act: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<Synced> {
    let wait = Duration::from_secs(wait_s.into());
    let run = thread::scope(|scope| {
        let run = scope.spawn(|| rehearsal.sync(wait + BESIDE_GPS));
        let begun = receiver.seconds();
        until("gpsd has told some fixes", || Ok(receiver.seconds() >= begun + 4))?;
        act()?;
        run.join().map_err(|_| anyhow::anyhow!("the run panicked"))?
    })?;
    ensure!(run.took >= wait, "it did not wait for GPS: {run:?}");
    run.expect_said("answers")?;
    run.expect_said("no time from GPS: ")?;
    Ok(run)
}

fn well() -> anyhow::Result<()> {
    let time = TrueTime::ahead_of_machine_us(BEHIND_US);
    let (_receiver, gpsd, rehearsal) = station(time, 5, 30)?;
    let run = rehearsal.sync(Duration::from_secs(30) + BESIDE_GPS)?;
    run.expect(0, "gps")?;
    run.expect_said(&format!("at {} answers", gpsd.address()))?;
    let (error_us, told_us) = (rehearsal.clock_error_us(time)?, run.uncertainty_us()?);
    println!("through gpsd the clock is {error_us} us off, and may be {told_us}; it took {:.1?}", run.took);
    ensure!(error_us.unsigned_abs() <= told_us, "{error_us} us off, and it says {told_us}: {run:?}");
    Ok(())
}

fn stopped() -> anyhow::Result<()> {
    // Silence is said after 15 s.
    let (wait_s, time) = (24, TrueTime::ahead_of_machine_us(BEHIND_US));
    let (receiver, gpsd, rehearsal) = station(time, MANY_FIXES, wait_s)?;
    let rehearsal = rehearsal.with_rtc_at(time)?;
    let run = sync_and(&rehearsal, &receiver, wait_s, || gpsd.signal(Signal::STOP))?;
    run.expect_said("cannot be heard (it has said nothing for 15 s)")?;
    run.expect(0, "rtc")
}

fn killed(is_rtc_right: bool) -> anyhow::Result<()> {
    let (wait_s, time) = (10, TrueTime::ahead_of_machine_us(BEHIND_US));
    let (receiver, gpsd, rehearsal) = station(time, MANY_FIXES, wait_s)?;
    let rehearsal = if is_rtc_right { rehearsal.with_rtc_at(time)? } else { rehearsal };
    let run = sync_and(&rehearsal, &receiver, wait_s, || gpsd.signal(Signal::KILL))?;
    run.expect_said("cannot be heard (it has closed the connection)")
        .or_else(|_| run.expect_said("cannot be heard (Connection reset by peer"))?;
    if is_rtc_right {
        run.expect(0, "rtc")
    } else {
        run.expect(1, "unsynchronised")?;
        run.expect_said("nobody knows the time")
    }
}

fn read_beside() -> anyhow::Result<()> {
    // gpsd has 30 s, and five fixes take as many seconds.
    let (wait_s, time) = (50, TrueTime::ahead_of_machine_us(BEHIND_US));
    let silent = TestReceiver::new(time, Manner { state: None, ..Manner::default() })?;
    let gpsd = Gpsd::start(&silent.device())?;
    gpsd.signal(Signal::STOP)?;
    let receiver = TestReceiver::new(time, Manner::default())?;
    let (address, device) = (gpsd.address(), receiver.device());
    let settings =
        format!("[gps]\nsource = 'auto'\ngpsd = '{address}'\ndevice = '{}'\nwait_s = {wait_s}\n", device.display());
    let rehearsal = Rehearsal::new(&settings)?;
    let run = rehearsal.sync(Duration::from_secs(wait_s) + BESIDE_GPS)?;
    run.expect(0, "gps")?;
    run.expect_said("tells no time; ")?;
    run.expect_said("is read beside it")?;
    let (error_us, told_us) = (rehearsal.clock_error_us(time)?, run.uncertainty_us()?);
    ensure!(error_us.unsigned_abs() <= told_us, "{error_us} us off, and it says {told_us}: {run:?}");
    println!("beside a gpsd that hangs the device was read within {:.1?}", run.took);
    Ok(())
}
