//! A photo whose clock was not good when it was taken gets its time later, when the clock has become good in the same boot: from the
//! monotonic clock, which went on all the while.

use tide_photo::manifest::Repair;
use tide_photo::{CapturedAt, ClockQuality, Manifest};

use crate::clock_quality::drift_ms;

/// Both clocks at one moment, in one boot.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    /// What the wall clock shows.
    pub now: CapturedAt,
    /// What the monotonic clock shows, in microseconds since the boot.
    pub monotonic_us: u64,
    /// How good the wall clock is.
    pub clock: ClockQuality,
    /// The boot.
    pub boot_id: &'a str,
}

/// Whether this is the moment to repair what was taken before: the clock was no good, and now it is.
pub fn became_good(previous: ClockQuality, now: ClockQuality) -> bool {
    previous.uncertainty_ms().is_none() && now.uncertainty_ms().is_some()
}

/// The manifest with its time found; `None` if there is nothing to find: its time is known, was found already, or lies in another
/// boot or in none. A recording's time and a pretended one lie in no boot, so they are left as they are.
pub fn repaired(manifest: &Manifest, reading: &Reading) -> Option<Manifest> {
    let is_of_this_boot = !manifest.boot_id.is_empty() && manifest.boot_id == reading.boot_id;
    if !is_of_this_boot || manifest.clock.uncertainty_ms().is_some() {
        return None;
    }
    let now_ms = reading.clock.uncertainty_ms()?;
    let ago_us = reading.monotonic_us.checked_sub(manifest.monotonic_us)?;
    let captured_at = CapturedAt::from_micros(reading.now.as_micros().checked_sub_unsigned(ago_us)?)?;
    // How far the monotonic clock may have run wrong since, and how well the camera knew its moment.
    let uncertainty_ms = now_ms.saturating_add(drift_ms(ago_us)).saturating_add(manifest.moment_ms.unwrap_or(0));
    Some(Manifest {
        captured_at,
        clock: ClockQuality::synchronised(reading.clock.source(), uncertainty_ms)?,
        repaired: Some(Repair { clock_said: manifest.captured_at }),
        ..manifest.clone()
    })
}

#[cfg(test)]
mod tests {
    use tide_photo::ClockSource;

    use super::*;
    use crate::shot;

    /// Taken ten seconds after switching on, by a clock that began in 1970.
    fn taken_too_early() -> Manifest {
        Manifest { monotonic_us: 10_000_000, captured_at: at("1970-01-01T00:00:10Z"), ..shot::example(1, "a").manifest }
    }

    fn at(text: &str) -> CapturedAt {
        text.parse().unwrap()
    }

    /// An hour after that.
    fn reading() -> Reading<'static> {
        let clock = ClockQuality::synchronised(ClockSource::Gps, 12).unwrap();
        Reading { now: at("2026-05-31T18:00:00Z"), monotonic_us: 3_610_000_000, clock, boot_id: "boot" }
    }

    #[test]
    fn a_photos_time_is_found_from_the_clock_that_went_on() {
        let found = repaired(&taken_too_early(), &reading()).unwrap();
        assert_eq!(found.captured_at, at("2026-05-31T17:00:00Z"));
        assert_eq!(found.clock.to_string(), "gps ± 1812 ms", "12 ms, and 500 ppm of an hour");
        assert_eq!(found.repaired.map(|repair| repair.clock_said), Some(at("1970-01-01T00:00:10Z")));
        assert_eq!((found.digest, found.sequence), (taken_too_early().digest, 1));
        assert_eq!(repaired(&found, &reading()), None, "once");
    }

    #[test]
    fn what_the_camera_did_not_know_stays_unknown() {
        let by_hand = Manifest { moment_ms: Some(1_500), ..taken_too_early() };
        assert_eq!(repaired(&by_hand, &reading()).unwrap().clock.uncertainty_ms(), Some(3_312));
    }

    #[test]
    fn nothing_is_made_up() {
        let early = taken_too_early;
        let good = ClockQuality::synchronised(ClockSource::Rtc, 9).unwrap();
        for (what, manifest, reading) in [
            ("another boot", Manifest { boot_id: "another".into(), ..early() }, reading()),
            (
                "no boot: a recording",
                Manifest { boot_id: String::new(), ..early() },
                Reading { boot_id: "", ..reading() },
            ),
            ("a good clock", Manifest { clock: good, ..early() }, reading()),
            ("a bad clock now", early(), Reading { clock: ClockQuality::unsynchronised(), ..reading() }),
            ("later than now", Manifest { monotonic_us: u64::MAX, ..early() }, reading()),
            ("before 1970", early(), Reading { now: at("1970-01-01T00:30:00Z"), ..reading() }),
        ] {
            assert_eq!(repaired(&manifest, &reading), None, "{what}");
        }
    }

    #[test]
    fn a_clock_becomes_good_once() {
        let (bad, good) = (ClockQuality::unsynchronised(), reading().clock);
        assert_eq!([became_good(bad, good), became_good(good, good), became_good(good, bad)], [true, false, false]);
        assert!(!became_good(bad, bad));
    }
}
