//! One photo: exposed, and described by when, how surely and by whom it was taken.

use tide_photo::{CapturedAt, ClockQuality, Digest, Manifest, StationName, manifest::MANIFEST_VERSION};

use crate::config::Position;
use crate::devices::camera::{Camera, CameraError, Frame, Moment};
use crate::devices::clock::Clock;
use crate::imprint::{self, Imprint, Place};
use crate::lighting::Lighting;

/// A photo with its manifest, not yet in the spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shot {
    /// Its description.
    pub manifest: Manifest,
    /// Its bytes.
    pub jpeg: Vec<u8>,
}

/// Whose photos these are, and where they are taken.
#[derive(Debug, Clone)]
pub struct Site {
    /// The station.
    pub station: StationName,
    /// Where it stands, as its settings say.
    pub position: Option<Position>,
}

/// In place of a boot id where the moment of exposure lies in no boot of this station: a recording's, or a pretended one. Nothing
/// that the station learns of its clock later says anything about such a moment.
const NO_BOOT: &str = "";

/// What the clock said around an exposure.
#[derive(Debug, Clone)]
struct Reading {
    before: CapturedAt,
    quality: ClockQuality,
    monotonic_us: u64,
    took_us: u64,
    boot_id: String,
    place: Option<Place>,
}

/// Takes a photo: flash on, settle, expose, flash off whatever happens.
///
/// # Errors
/// If the camera gives none.
pub fn take(
    camera: &mut dyn Camera,
    lighting: &mut Lighting,
    clock: &dyn Clock,
    site: &Site,
    sequence: u64,
) -> Result<Shot, CameraError> {
    let light = lighting.shine(clock.now());
    // Read once the light has settled: what it took is no part of the exposure, and no part of its uncertainty.
    // The quality first: should the clock be set between the two, the photo must not have the time before with the quality after.
    let quality = clock.quality();
    let (before, monotonic_us) = (clock.now(), clock.monotonic_us());
    let exposed = camera.expose(before);
    let took_us = clock.monotonic_us().saturating_sub(monotonic_us);
    let with_flash = light.is_on();
    drop(light);
    let frame = exposed.inspect_err(|_| camera.recover())?;
    lighting.saw(&frame.jpeg, with_flash);
    let boot_id = clock.boot_id().to_owned();
    let reading = Reading { before, quality, monotonic_us, took_us, boot_id, place: place(clock, site) };
    Ok(describe(frame, &reading, camera.kind(), &site.station, sequence))
}

/// Takes a photo of a simulated camera as if at `pretended`; nobody vouches for that moment.
///
/// # Errors
/// If the camera gives none.
pub fn pretend(
    camera: &mut dyn Camera,
    clock: &dyn Clock,
    site: &Site,
    sequence: u64,
    pretended: CapturedAt,
) -> Result<Shot, CameraError> {
    let frame = camera.expose(pretended)?;
    let reading = Reading {
        before: pretended,
        quality: ClockQuality::unsynchronised(),
        monotonic_us: 0,
        took_us: 0,
        boot_id: NO_BOOT.to_owned(),
        place: place(clock, site),
    };
    Ok(describe(frame, &reading, camera.kind(), &site.station, sequence))
}

/// A receiver's word counts more than the settings': a station may be moved.
fn place(clock: &dyn Clock, site: &Site) -> Option<Place> {
    clock.received_position().map(Place::Received).or(site.position.map(Place::Surveyed))
}

fn describe(frame: Frame, reading: &Reading, camera: &str, station: &StationName, sequence: u64) -> Shot {
    let Exposure { captured_at, clock, monotonic_us, boot_id, moment_ms } = exposure(frame.moment, reading);
    let imprint =
        Imprint { station, sequence, captured_at, clock, boot_id, monotonic_us, camera, place: reading.place };
    let jpeg = if is_recording(frame.moment) { frame.jpeg } else { imprinted(frame.jpeg, &imprint) };
    let manifest = Manifest {
        version: MANIFEST_VERSION,
        station: station.clone(),
        sequence,
        captured_at,
        clock,
        digest: Digest::of(&jpeg),
        size_bytes: jpeg.len() as u64,
        boot_id: boot_id.to_owned(),
        monotonic_us,
        camera: camera.to_owned(),
        moment_ms,
        repaired: None,
    };
    Shot { manifest, jpeg }
}

/// When a photo was exposed, by both clocks.
struct Exposure<'a> {
    captured_at: CapturedAt,
    clock: ClockQuality,
    monotonic_us: u64,
    boot_id: &'a str,
    moment_ms: Option<u32>,
}

fn exposure(moment: Moment, reading: &Reading) -> Exposure<'_> {
    let Reading { before, quality: clock, monotonic_us, boot_id, .. } = reading;
    let exact = Exposure { captured_at: *before, clock: *clock, monotonic_us: *monotonic_us, boot_id, moment_ms: None };
    match moment {
        Moment::ByStationClock(moment) => Exposure { captured_at: moment, ..exact },
        Moment::OnMonotonic { us } => {
            Exposure { captured_at: moved(*before, *monotonic_us, us), monotonic_us: us, ..exact }
        }
        Moment::Told(moment) => Exposure {
            captured_at: moment,
            clock: ClockQuality::unsynchronised(),
            monotonic_us: 0,
            boot_id: NO_BOOT,
            moment_ms: None,
        },
        // Somewhere during the call: its middle, give or take half of it.
        Moment::DuringCall => {
            let half_us = reading.took_us / 2;
            let half_ms = u32::try_from(half_us.div_ceil(1_000)).unwrap_or(u32::MAX);
            Exposure {
                captured_at: later(*before, half_us),
                clock: clock.widened_by(half_ms),
                monotonic_us: monotonic_us + half_us,
                boot_id,
                moment_ms: Some(half_ms),
            }
        }
    }
}

/// A recording stays as it was recorded, byte for byte, and was not exposed in this boot.
fn is_recording(moment: Moment) -> bool {
    matches!(moment, Moment::Told(_))
}

/// With EXIF and XMP where that can be done; a photo is never lost for want of them.
fn imprinted(jpeg: Vec<u8>, imprint: &Imprint) -> Vec<u8> {
    imprint::write(&jpeg, imprint).unwrap_or_else(|error| {
        tracing::warn!(sequence = imprint.sequence, "{error}; it is kept as the camera gave it");
        jpeg
    })
}

/// The wall clock's moment when the monotonic clock showed `us`, if it showed `at` when the monotonic one showed `at_us`.
fn moved(at: CapturedAt, at_us: u64, us: u64) -> CapturedAt {
    let by_us = i64::try_from(i128::from(us) - i128::from(at_us)).unwrap_or_default();
    CapturedAt::from_micros(at.as_micros().saturating_add(by_us)).unwrap_or(at)
}

fn later(moment: CapturedAt, by_us: u64) -> CapturedAt {
    let by_us = i64::try_from(by_us).unwrap_or_default();
    CapturedAt::from_micros(moment.as_micros().saturating_add(by_us)).unwrap_or(moment)
}

/// A photo of nothing, for tests of what is done with photos.
#[cfg(test)]
pub(crate) fn example(sequence: u64, text: &str) -> Shot {
    let jpeg = text.as_bytes().to_vec();
    let manifest = Manifest {
        version: 1,
        station: "pier-3".parse().unwrap(),
        sequence,
        captured_at: CapturedAt::EPOCH,
        clock: ClockQuality::unsynchronised(),
        digest: Digest::of(&jpeg),
        size_bytes: jpeg.len() as u64,
        boot_id: "boot".to_owned(),
        monotonic_us: 0,
        camera: "synthetic".to_owned(),
        moment_ms: None,
        repaired: None,
    };
    Shot { manifest, jpeg }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use tide_photo::ClockSource;

    use super::*;
    use crate::devices::flash::testing::Record;
    use crate::devices::synthetic::SyntheticCamera;
    use crate::lighting;
    use crate::vitals::Vitals;

    fn pier() -> Site {
        Site { station: "pier-3".parse().unwrap(), position: None }
    }

    fn now() -> CapturedAt {
        "2026-05-31T18:00:00Z".parse().unwrap()
    }

    fn described(moment: Moment) -> Manifest {
        let reading = Reading {
            before: "2026-05-31T18:00:00Z".parse().unwrap(),
            quality: ClockQuality::synchronised(ClockSource::Ntp, 5).unwrap(),
            monotonic_us: 1_000_000,
            took_us: 3_000_000,
            boot_id: "boot".to_owned(),
            place: None,
        };
        let frame = Frame { jpeg: b"abc".to_vec(), moment };
        describe(frame, &reading, "synthetic", &"pier-3".parse().unwrap(), 7).manifest
    }

    #[test]
    fn without_a_moment_of_its_own_the_middle_of_the_call_counts_and_half_of_it_is_uncertain() {
        let manifest = described(Moment::DuringCall);
        assert_eq!(manifest.captured_at.to_string(), "2026-05-31T18:00:01.500Z");
        assert_eq!(manifest.clock.uncertainty_ms(), Some(1_505));
        assert_eq!((manifest.monotonic_us, manifest.moment_ms), (2_500_000, Some(1_500)));
    }

    #[test]
    fn a_camera_that_reads_the_stations_clock_is_as_sure_as_the_clock() {
        let moment = "2026-05-31T18:00:00.033Z".parse().unwrap();
        let manifest = described(Moment::ByStationClock(moment));
        assert_eq!((manifest.captured_at, manifest.clock.uncertainty_ms()), (moment, Some(5)));
    }

    #[test]
    fn a_moment_from_elsewhere_is_nobodys_to_vouch_for() {
        let moment = "2012-05-31T18:00:00Z".parse().unwrap();
        let manifest = described(Moment::Told(moment));
        assert_eq!((manifest.captured_at, manifest.clock), (moment, ClockQuality::unsynchronised()));
        assert_eq!((manifest.digest, manifest.size_bytes), (Digest::of(b"abc"), 3));
        assert_eq!((manifest.boot_id.as_str(), manifest.monotonic_us), (NO_BOOT, 0), "no boot of ours had that moment");
    }

    /// A clock that goes on by a second with every look, and notes when it is looked at.
    struct NotedClock(Record, AtomicU64);

    fn a_clock() -> NotedClock {
        NotedClock(Record::default(), AtomicU64::new(1_000_000))
    }

    impl Clock for NotedClock {
        fn now(&self) -> CapturedAt {
            now()
        }

        fn quality(&self) -> ClockQuality {
            ClockQuality::synchronised(ClockSource::Ntp, 5).unwrap()
        }

        fn monotonic_us(&self) -> u64 {
            self.0.note("clock");
            self.1.fetch_add(1_000_000, Ordering::Relaxed)
        }

        fn boot_id(&self) -> &str {
            "boot"
        }
    }

    /// A camera that notes its exposures, which end as it is told.
    struct NotedCamera(Record, Outcome);

    #[derive(Clone, Copy)]
    enum Outcome {
        Photo,
        Failure,
        Panic,
    }

    impl Camera for NotedCamera {
        fn expose(&mut self, _now: CapturedAt) -> Result<Frame, CameraError> {
            self.0.note("expose");
            match self.1 {
                Outcome::Photo => Ok(Frame { jpeg: b"abc".to_vec(), moment: Moment::DuringCall }),
                Outcome::Failure => Err(CameraError::Failed { reason: "told so".to_owned() }),
                Outcome::Panic => panic!("told so"),
            }
        }

        fn recover(&mut self) {
            self.0.note("recover");
        }

        fn kind(&self) -> &'static str {
            "usb"
        }
    }

    /// What happened around a shot, and the photo.
    fn shot(outcome: Outcome, flash_is_broken: bool, vitals: &Arc<Vitals>) -> (Vec<String>, Option<Shot>) {
        let record = Record::default();
        let (clock, mut camera) = (NotedClock(record.clone(), AtomicU64::new(0)), NotedCamera(record.clone(), outcome));
        let mut lighting = lighting::testing::noted(&record, flash_is_broken, vitals);
        let shot = catch_unwind(AssertUnwindSafe(|| take(&mut camera, &mut lighting, &clock, &pier(), 7)));
        (record.take(), shot.ok().and_then(Result::ok))
    }

    #[test]
    fn the_flash_shines_before_the_clock_is_read_and_is_off_after_the_exposure() {
        let (happened, shot) = shot(Outcome::Photo, false, &Arc::default());
        assert_eq!(happened, ["on", "settle", "clock", "expose", "clock", "off"]);
        assert_eq!(
            shot.unwrap().manifest.clock.uncertainty_ms(),
            Some(505),
            "half of the exposure's second, nothing of the flash's"
        );
    }

    #[test]
    fn the_flash_is_off_whatever_the_camera_does() {
        let (happened, shot) = shot(Outcome::Failure, false, &Arc::default());
        assert_eq!((happened.last().map(String::as_str), shot), (Some("recover"), None));
        assert_eq!(happened[happened.len() - 2], "off", "before there is time to look after the camera");
        let (happened, _) = self::shot(Outcome::Panic, false, &Arc::default());
        assert_eq!(happened, ["on", "settle", "clock", "expose", "off"]);
    }

    #[test]
    fn a_flash_that_cannot_be_switched_costs_no_photo() {
        let vitals = Arc::<Vitals>::default();
        let (happened, shot) = shot(Outcome::Photo, true, &vitals);
        assert_eq!(happened, ["on", "clock", "expose", "clock", "off"], "nothing to wait for, and off all the same");
        assert!(shot.is_some());
        assert!(vitals.known().last_error.unwrap().what.contains("it is broken"));
    }

    /// A camera that always gives the same JPEG, of which it knows this.
    struct Same(Vec<u8>, Moment);

    impl Camera for Same {
        fn expose(&mut self, _now: CapturedAt) -> Result<Frame, CameraError> {
            Ok(Frame { jpeg: self.0.clone(), moment: self.1 })
        }

        fn kind(&self) -> &'static str {
            "same"
        }
    }

    #[test]
    fn a_photo_is_described_and_a_recording_left_alone() {
        let picture = SyntheticCamera::new(320, 240).expose(now()).unwrap().jpeg;
        let shot = |moment| {
            let record = Record::default();
            let mut lighting = lighting::testing::noted(&record, false, &Arc::default());
            take(&mut Same(picture.clone(), moment), &mut lighting, &a_clock(), &pier(), 7).unwrap()
        };
        assert_eq!(shot(Moment::Told(now())).jpeg, picture);
        for moment in [Moment::DuringCall, Moment::OnMonotonic { us: 5 }, Moment::ByStationClock(now())] {
            let Shot { manifest, jpeg } = shot(moment);
            assert!(jpeg.windows(4).any(|window| window == b"Exif"), "{moment:?}");
            assert_eq!((manifest.digest, manifest.size_bytes), (Digest::of(&jpeg), jpeg.len() as u64));
        }
    }

    #[test]
    fn a_pretended_moment_lies_in_no_boot() {
        let mut camera = Same(b"abc".to_vec(), Moment::ByStationClock(CapturedAt::EPOCH));
        let shot = pretend(&mut camera, &a_clock(), &pier(), 7, CapturedAt::EPOCH).unwrap();
        assert_eq!((shot.manifest.boot_id.as_str(), shot.manifest.monotonic_us), (NO_BOOT, 0));
        assert_eq!(shot.jpeg, b"abc", "what cannot be described is kept");
    }
}
