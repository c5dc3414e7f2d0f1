//! A USB camera, through `fswebcam`.

use std::ffi::OsString;
use std::path::PathBuf;

use tide_photo::CapturedAt;

use super::hurry::Hurry;
use super::program_photo::{Arguments, PhotoProgram, Scratch};
use crate::config::{self, Rotation};
use crate::devices::camera::{Camera, CameraError, Frame, Moment};

/// What Debian and Raspberry Pi OS call it.
const PROGRAM: &str = "fswebcam";

/// The first camera, and the only one on most stations.
const DEVICE: &str = "/dev/video0";

/// Quality of the JPEG: the prototype's.
const QUALITY: u32 = 95;

/// A USB camera.
pub struct UsbCamera {
    program: PhotoProgram,
    settings: config::Camera,
}

/// The device that the settings name.
pub(super) fn device(settings: &config::Camera) -> &str {
    settings.device.as_deref().unwrap_or(DEVICE)
}

impl UsbCamera {
    /// The camera that the settings describe. Nothing is opened before the first shot.
    pub fn new(settings: &config::Camera, hurry: Hurry) -> Self {
        let program = PhotoProgram {
            path: settings.program.clone().unwrap_or_else(|| PathBuf::from(PROGRAM)),
            limit: settings.limit(),
            to_install: "install fswebcam",
            to_check: format!(
                "check the camera's plug, and whether {} is there (`device` in [camera])",
                device(settings)
            ),
            hurry,
        };
        Self { program, settings: settings.clone() }
    }

    /// fswebcam does what its options say in their order, and takes the photo when it meets the file's name.
    fn arguments(&self, scratch: &Scratch) -> Vec<OsString> {
        let settings = &self.settings;
        let mut arguments = Arguments::default();
        arguments.option("--device", &device(settings));
        arguments.option("--resolution", &format!("{}x{}", settings.width_px(), settings.height_px()));
        arguments.option("--jpeg", &settings.quality.map_or(QUALITY, |quality| quality.0));
        arguments.0.push("--no-banner".into());
        arguments.if_set("--skip", settings.skip_frames.map(|frames| frames.0));
        arguments.if_set("--rotate", (settings.rotation == Rotation::UpsideDown).then_some(180));
        for (name, value) in &settings.controls {
            arguments.option("--set", &format!("{name}={}", value.0));
        }
        arguments.0.extend(settings.extra_arguments.iter().map(OsString::from));
        arguments.0.push(scratch.photo().into());
        arguments.0
    }
}

impl Camera for UsbCamera {
    fn expose(&mut self, _now: CapturedAt) -> Result<Frame, CameraError> {
        let scratch = Scratch::new()?;
        let jpeg = self.program.take(self.arguments(&scratch), &scratch)?;
        // fswebcam says nothing of when the frame was taken.
        Ok(Frame { jpeg, moment: Moment::DuringCall })
    }

    fn kind(&self) -> &'static str {
        "usb"
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::program_photo::testing::{FAILURES, JPEG, StandIn};
    use super::*;

    fn camera(stand_in: &StandIn, more: &str) -> UsbCamera {
        let settings = format!("kind = 'usb'\nprogram = '{}'\n{more}", stand_in.path().display());
        UsbCamera::new(&toml::from_str(&settings).unwrap(), Hurry::default())
    }

    const TAKING: &str = "cp \"$jpeg\" \"$photo\"";

    #[test]
    fn a_photo_is_of_some_moment_during_the_call() {
        let frame = camera(&StandIn::new(TAKING), "").expose(CapturedAt::EPOCH).unwrap();
        assert_eq!(frame, Frame { jpeg: JPEG.to_vec(), moment: Moment::DuringCall });
    }

    #[test]
    fn the_command_line_is_the_prototypes_with_what_the_settings_add() {
        for (settings, expected) in [
            ("", "--device /dev/video0 --resolution 1280x640 --jpeg 95 --no-banner"),
            (
                "device = '/dev/video2'\nwidth = 640\nheight = 480\nquality = 80\nskip_frames = 5\nrotation = 180\n\
                 controls = { brightness = '50%', 'White Balance' = 4000 }\nextra_arguments = ['--greyscale']",
                "--device /dev/video2 --resolution 640x480 --jpeg 80 --no-banner --skip 5 --rotate 180 \
                 --set White Balance=4000 --set brightness=50% --greyscale",
            ),
        ] {
            let stand_in = StandIn::new(TAKING);
            drop(camera(&stand_in, settings).expose(CapturedAt::EPOCH).unwrap());
            let arguments = stand_in.arguments();
            assert_eq!(arguments[..arguments.len() - 1].join(" "), expected);
        }
    }

    #[test]
    fn each_failure_has_its_sentence_and_the_next_shot_works() {
        let stand_in = StandIn::new("");
        let mut camera = camera(&stand_in, "");
        for (script, why) in FAILURES {
            camera.program.limit = Duration::from_millis(400);
            stand_in.becomes(script);
            let sentence = camera.expose(CapturedAt::EPOCH).unwrap_err().to_string();
            assert!(sentence.contains(why) && sentence.contains("/dev/video0 is there"), "{sentence}");
            assert_eq!(stand_in.survivors(), [""; 0], "{script}");
            camera.program.limit = Duration::from_secs(20);
            stand_in.becomes(TAKING);
            assert_eq!(camera.expose(CapturedAt::EPOCH).unwrap().jpeg, JPEG);
        }
    }

    #[test]
    fn a_photo_beyond_all_bounds_is_refused() {
        let stand_in = StandIn::new("head -c 34000000 /dev/zero > \"$photo\"");
        let sentence = camera(&stand_in, "limit_s = 20").expose(CapturedAt::EPOCH).unwrap_err().to_string();
        assert!(sentence.contains("more than 32 MiB"), "{sentence}");
    }
}
