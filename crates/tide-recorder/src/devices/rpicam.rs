//! A camera on the Pi's own connector, through rpicam-apps' `rpicam-still`.

use std::ffi::OsString;
use std::fs;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use tide_photo::CapturedAt;

use super::hurry::Hurry;
use super::program_photo::{Arguments, PhotoProgram, Scratch};
use crate::config::{self, Rotation};
use crate::devices::camera::{Camera, CameraError, Frame, Moment};

/// What Debian and Raspberry Pi OS call it.
const PROGRAM: &str = "rpicam-still";

/// What reads the clock that is never set, in microseconds.
pub type MonotonicUs = Box<dyn Fn() -> u64 + Send>;

/// A camera on the Pi's own connector.
pub struct RpicamCamera {
    program: PhotoProgram,
    settings: config::Camera,
    monotonic_us: MonotonicUs,
}

impl RpicamCamera {
    /// The camera that the settings describe. Nothing is opened before the first shot.
    pub fn new(settings: &config::Camera, monotonic_us: MonotonicUs, hurry: Hurry) -> Self {
        let program = PhotoProgram {
            path: settings.program.clone().unwrap_or_else(|| PathBuf::from(PROGRAM)),
            limit: settings.limit(),
            to_install: "install rpicam-apps",
            to_check: "check the camera's ribbon cable, and what `rpicam-still --list-cameras` prints".to_owned(),
            hurry,
        };
        Self { program, settings: settings.clone(), monotonic_us }
    }

    /// The long options only, as `rpicam-still --help` lists them. The first are the prototype's.
    fn arguments(&self, scratch: &Scratch) -> Vec<OsString> {
        let settings = &self.settings;
        let mut arguments = Arguments::default();
        arguments.option("--width", &settings.width_px());
        arguments.option("--height", &settings.height_px());
        // Without units, which versions before 2023 do not know: milliseconds here, microseconds for the shutter.
        arguments.option("--timeout", &settings.warm_up().as_millis());
        arguments.option("--output", &scratch.photo().display());
        arguments.option("--metadata", &scratch.metadata().display());
        arguments.option("--metadata-format", &"json");
        arguments.0.push("--nopreview".into());
        arguments.if_set("--quality", settings.quality.map(|quality| quality.0));
        arguments.if_set("--shutter", settings.shutter_us.map(|shutter_us| shutter_us.0));
        arguments.if_set("--gain", settings.gain.map(|gain| gain.0));
        arguments.if_set("--ev", settings.ev.map(|ev| ev.0));
        arguments.if_set("--autofocus-mode", settings.autofocus.map(config::Autofocus::word));
        arguments.if_set("--lens-position", settings.lens_position.map(|dioptres| dioptres.0));
        arguments.if_set("--rotation", (settings.rotation == Rotation::UpsideDown).then_some(180));
        let roi = |crop: config::Crop| format!("{},{},{},{}", crop.x, crop.y, crop.width, crop.height);
        arguments.if_set("--roi", settings.crop.map(roi));
        arguments.0.extend(settings.extra_arguments.iter().map(OsString::from));
        arguments.0
    }

    /// When the frame was exposed; what the metadata cannot tell is told by the call.
    fn moment(&self, scratch: &Scratch, call_us: &RangeInclusive<u64>) -> Moment {
        let text = fs::read_to_string(scratch.metadata()).map_err(|error| format!("it cannot be read ({error})"));
        match text.and_then(|text| exposed_at(&text, call_us)) {
            Ok(us) => Moment::OnMonotonic { us },
            Err(why) => {
                tracing::warn!(
                    "the time of exposure is known less exactly: what `{PROGRAM}` says of the frame is of no use, {why}"
                );
                Moment::DuringCall
            }
        }
    }
}

impl Camera for RpicamCamera {
    fn expose(&mut self, _now: CapturedAt) -> Result<Frame, CameraError> {
        let scratch = Scratch::new()?;
        let begun_us = (self.monotonic_us)();
        let jpeg = self.program.take(self.arguments(&scratch), &scratch)?;
        let call_us = begun_us..=(self.monotonic_us)();
        Ok(Frame { jpeg, moment: self.moment(&scratch, &call_us) })
    }

    fn kind(&self) -> &'static str {
        "rpicam"
    }
}

/// The middle of the first row's exposure, in microseconds of `CLOCK_BOOTTIME`, from the metadata of `rpicam-still`.
///
/// `SensorTimestamp` is in nanoseconds of `CLOCK_BOOTTIME` (libcamera, control_ids_core.yaml; the kernel's drivers stamp frames
/// with `CLOCK_MONOTONIC`, which is the same on a machine that never sleeps, and a Pi does not). The stamp is made when the frame
/// begins to arrive, which is when its first row has been exposed (the maintainers in raspberrypi/picamera2, issue 821). So the
/// middle is half of `ExposureTime` (microseconds) earlier. A rolling shutter exposes the rows below later, the last one by
/// `FrameDuration` at most: commonly 15 to 80 ms, and not counted.
fn exposed_at(metadata: &str, call_us: &RangeInclusive<u64>) -> Result<u64, String> {
    if !metadata.trim_end().ends_with('}') {
        return Err("it is cut off".to_owned());
    }
    let stamped_us = number(metadata, "SensorTimestamp").ok_or("it has no SensorTimestamp")? / 1_000;
    let exposure_us = number(metadata, "ExposureTime").ok_or("it has no ExposureTime")?;
    let exposed_us = stamped_us.saturating_sub(exposure_us / 2);
    if call_us.contains(&exposed_us) && call_us.contains(&stamped_us) {
        return Ok(exposed_us);
    }
    Err(format!(
        "its SensorTimestamp, {stamped_us} us, lies outside of the call ({} to {})",
        call_us.start(),
        call_us.end()
    ))
}

/// A whole number's value. By lines, as rpicam-apps writes them (output.cpp), and not as JSON: other values that libcamera prints,
/// `nan` for one, are none.
fn number(metadata: &str, name: &str) -> Option<u64> {
    let value = |line: &str| {
        let value = line.trim().strip_prefix('"')?.strip_prefix(name)?.strip_prefix("\":")?;
        value.trim().trim_end_matches(',').parse().ok()
    };
    metadata.lines().find_map(value)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::super::program_photo::testing::{FAILURES, JPEG, StandIn};
    use super::*;

    /// A Raspberry Pi HQ camera's, as rpicam-still wrote it (raspberrypi/rpicam-apps, issue 929, the matrices shortened).
    const METADATA: &str = r#"{
    "ExposureTime": 9976,
    "ColourGains": [ 1.000000, 1.000000 ],
    "SensorTimestamp": 6464448842000,
    "FrameWallClock": 1787679619905241088,
    "ColourTemperature": 5932,
    "ScalerCrop": "(0, 0)/4056x3040",
    "ControlListSequence": 0,
    "DigitalGain": 1.002399,
    "AeState": 0,
    "FocusFoM": 627,
    "SensorBlackLevels": [ 4096, 4096, 4096, 4096 ],
    "Lux": 5.880752,
    "FrameDuration": 85335,
    "AnalogueGain": 1.000000
}"#;

    /// 6464448842 us less half of 9976.
    const EXPOSED_US: u64 = 6_464_443_854;

    /// A call of 3 s about that moment.
    const CALL_US: RangeInclusive<u64> = 6_463_000_000..=6_466_000_000;

    fn now() -> CapturedAt {
        CapturedAt::EPOCH
    }

    fn camera(stand_in: &StandIn, more: &str) -> RpicamCamera {
        let settings = format!("kind = 'rpicam'\nprogram = '{}'\n{more}", stand_in.path().display());
        let begun = AtomicU64::new(*CALL_US.start());
        // The call begins, and ends 3 s later.
        let clock = move || begun.fetch_add(3_000_000, Ordering::Relaxed);
        RpicamCamera::new(&toml::from_str(&settings).unwrap(), Box::new(clock), Hurry::default())
    }

    fn taking(metadata: &str) -> String {
        format!("cp \"$jpeg\" \"$photo\"; cat > \"$metadata\" <<'END'\n{metadata}\nEND")
    }

    #[test]
    fn the_frames_own_stamp_says_when_it_was_exposed() {
        let stand_in = StandIn::new(&taking(METADATA));
        let frame = camera(&stand_in, "").expose(now()).unwrap();
        assert_eq!(frame, Frame { jpeg: JPEG.to_vec(), moment: Moment::OnMonotonic { us: EXPOSED_US } });
    }

    #[test]
    fn without_a_stamp_that_can_be_the_photo_counts_and_its_time_is_the_calls() {
        let stand_in = StandIn::new("cp \"$jpeg\" \"$photo\"");
        assert_eq!(camera(&stand_in, "").expose(now()).unwrap().moment, Moment::DuringCall);
        for metadata in ["{}", "", &METADATA[..METADATA.len() - 1]] {
            let stand_in = StandIn::new(&taking(metadata));
            assert_eq!(camera(&stand_in, "").expose(now()).unwrap().moment, Moment::DuringCall, "{metadata}");
        }
    }

    #[test]
    fn a_stamp_counts_only_within_the_call() {
        let exposed = |text: &str, call| exposed_at(text, &call);
        assert_eq!(exposed(METADATA, CALL_US), Ok(EXPOSED_US));
        assert_eq!(exposed(METADATA, EXPOSED_US..=6_464_448_842), Ok(EXPOSED_US));
        for call in [EXPOSED_US + 1..=6_466_000_000, 6_463_000_000..=6_464_448_841, 0..=1] {
            assert!(exposed(METADATA, call).unwrap_err().contains("outside of the call"));
        }
        assert!(
            exposed(&METADATA.replace("SensorTimestamp", "Stamp"), CALL_US).unwrap_err().contains("no SensorTimestamp")
        );
        assert!(exposed(&METADATA.replace("9976", "-1"), CALL_US).unwrap_err().contains("no ExposureTime"));
        assert_eq!(exposed(&METADATA.replace("5.880752", "nan"), CALL_US), Ok(EXPOSED_US), "no JSON, and yet of use");
    }

    #[test]
    fn the_prototypes_command_line_is_the_default() {
        let stand_in = StandIn::new("cp \"$jpeg\" \"$photo\"");
        drop(camera(&stand_in, "").expose(now()).unwrap());
        let arguments = stand_in.arguments();
        assert_eq!(arguments[..6], ["--width", "640", "--height", "480", "--timeout", "1000"]);
        assert_eq!((arguments[6].as_str(), arguments.last().map(String::as_str)), ("--output", Some("--nopreview")));
    }

    #[test]
    fn every_setting_becomes_one_argument() {
        let stand_in = StandIn::new("cp \"$jpeg\" \"$photo\"");
        let settings = "width = 4056\nheight = 3040\nquality = 90\nwarm_up_ms = 2500\nshutter_us = 20000\ngain = 2\nev = -0.5\n\
            autofocus = 'manual'\nlens_position = 0.25\nrotation = 180\n\
            crop = { x = 0.25, y = 0.125, width = 0.5, height = 0.5 }\nextra_arguments = ['--denoise', 'cdn_off; rm -rf /']";
        drop(camera(&stand_in, settings).expose(now()).unwrap());
        let expected = "--quality 90 --shutter 20000 --gain 2 --ev -0.5 --autofocus-mode manual --lens-position 0.25 \
            --rotation 180 --roi 0.25,0.125,0.5,0.5 --denoise";
        let arguments = stand_in.arguments();
        assert_eq!(arguments[13..arguments.len() - 1].join(" "), expected);
        assert_eq!(arguments.last().map(String::as_str), Some("cdn_off; rm -rf /"), "no shell reads it");
        assert_eq!(arguments[..6].join(" "), "--width 4056 --height 3040 --timeout 2500");
    }

    #[test]
    fn each_failure_has_its_sentence_and_the_next_shot_works() {
        let stand_in = StandIn::new("");
        let mut camera = camera(&stand_in, "limit_s = 2");
        for (script, why) in FAILURES {
            camera.program.limit = std::time::Duration::from_millis(400);
            stand_in.becomes(script);
            let sentence = camera.expose(now()).unwrap_err().to_string();
            assert!(sentence.contains(why) && sentence.contains("ribbon cable"), "{sentence}");
            assert_eq!(stand_in.survivors(), [""; 0], "{script}");
            camera.program.limit = std::time::Duration::from_secs(20);
            stand_in.becomes("cp \"$jpeg\" \"$photo\"");
            assert_eq!(camera.expose(now()).unwrap().jpeg, JPEG);
        }
    }

    #[test]
    fn what_the_program_wrote_is_gone_after_the_shot() {
        for script in ["cp \"$jpeg\" \"$photo\"", "echo x > \"$photo\"; exit 1"] {
            let stand_in = StandIn::new(script);
            drop(camera(&stand_in, "").expose(now()));
            let arguments = stand_in.arguments();
            let photo = std::path::Path::new(&arguments[7]);
            assert!(photo.is_absolute() && !photo.parent().unwrap().exists(), "{}", photo.display());
        }
    }

    #[test]
    fn a_program_that_is_not_installed_is_named() {
        let settings = toml::from_str("kind = 'rpicam'\nprogram = '/no/rpicam-still'").unwrap();
        let sentence =
            RpicamCamera::new(&settings, Box::new(|| 0), Hurry::default()).expose(now()).unwrap_err().to_string();
        assert!(sentence.contains("`/no/rpicam-still`") && sentence.contains("install rpicam-apps"), "{sentence}");
    }
}
