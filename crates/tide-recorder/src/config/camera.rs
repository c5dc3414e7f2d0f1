//! Settings of the camera.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::within::{Real, Whole};

/// For sentences.
pub(super) const CAMERA_KINDS: &str = "`rpicam`, `usb`, `replay` or `synthetic`";

/// The camera. A key that the chosen kind has no use for is refused, except width and height: a file's camera may be replaced
/// by another for a day, from the environment.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Camera {
    /// Which kind.
    pub kind: CameraKind,
    /// Folder of JPEGs to play, for `replay`.
    pub folder: Option<PathBuf>,
    /// Width of the picture in pixels; see [`Camera::width_px`].
    pub width: Option<Whole<16, 16_384>>,
    /// Height of the picture in pixels; see [`Camera::height_px`].
    pub height: Option<Whole<16, 16_384>>,
    /// Quality of the JPEG, 1 to 100.
    pub quality: Option<Whole<1, 100>>,
    /// 180 for a camera that hangs upside down.
    #[serde(default)]
    pub rotation: Rotation,
    /// The program that takes the photo; without a folder it is looked for on the PATH.
    pub program: Option<PathBuf>,
    /// Longest time that the program may take, in seconds; see [`Camera::limit`].
    pub limit_s: Option<Whole<1, 600>>,
    /// Arguments for the program, after ours.
    #[serde(default)]
    pub extra_arguments: Vec<String>,
    /// `rpicam`: how long exposure, white balance and focus may settle before the photo, in milliseconds.
    pub warm_up_ms: Option<Whole<1, 600_000>>,
    /// `rpicam`: a fixed exposure time in microseconds. The longest is that of the HQ camera (IMX477), 670.74 s, but the limit
    /// of the program's time comes before it.
    pub shutter_us: Option<Whole<1, 600_000_000>>,
    /// `rpicam`: a fixed gain; 1 is none.
    pub gain: Option<Real<1, 64>>,
    /// `rpicam`: exposure compensation in stops.
    pub ev: Option<Real<-10, 10>>,
    /// `rpicam`: what focuses.
    pub autofocus: Option<Autofocus>,
    /// `rpicam`: a fixed focus in dioptres, that is 1 over the distance in metres; 0 is infinity.
    pub lens_position: Option<Real<0, 32>>,
    /// `rpicam`: the part of the sensor that becomes the picture.
    pub crop: Option<Crop>,
    /// `usb`: the camera's device.
    pub device: Option<String>,
    /// `usb`: frames to let pass before the one that is kept.
    pub skip_frames: Option<Whole<0, 1_000>>,
    /// `usb`: the camera's own controls by name (`fswebcam --list-controls` lists them), each with its value.
    #[serde(default)]
    pub controls: BTreeMap<String, ControlValue>,
    /// What is tried when the camera fails several times in a row.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// Program and arguments, for `on_failure = "command"`.
    #[serde(default)]
    pub failure_command: Vec<String>,
}

/// Kinds of camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum CameraKind {
    /// A camera on the Pi's own connector, through `rpicam-still`.
    Rpicam,
    /// A USB camera, through `fswebcam`.
    Usb,
    /// Plays a folder of JPEGs.
    Replay,
    /// Renders a tide scene with a known level.
    Synthetic,
}

impl CameraKind {
    /// The word by which the settings name it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Rpicam => "rpicam",
            Self::Usb => "usb",
            Self::Replay => "replay",
            Self::Synthetic => "synthetic",
        }
    }
}

impl TryFrom<String> for CameraKind {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        let kinds = [Self::Rpicam, Self::Usb, Self::Replay, Self::Synthetic];
        let kind = kinds.into_iter().find(|kind| kind.word() == word);
        kind.ok_or_else(|| format!("a camera is {CAMERA_KINDS}, not `{word}`"))
    }
}

/// How the picture is turned: 0 or 180 degrees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub enum Rotation {
    /// Not at all.
    #[default]
    Upright,
    /// By 180 degrees.
    UpsideDown,
}

impl TryFrom<u32> for Rotation {
    type Error = String;

    fn try_from(degrees: u32) -> Result<Self, String> {
        match degrees {
            0 => Ok(Self::Upright),
            180 => Ok(Self::UpsideDown),
            // The sensor can be read backwards, but not by columns.
            _ => Err(format!("the rotation is 0 or 180 degrees, not {degrees}")),
        }
    }
}

/// What focuses a camera that can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Autofocus {
    /// Nothing: the lens stays where it was told.
    Manual,
    /// Once, before the photo.
    Auto,
    /// All the time.
    Continuous,
}

impl Autofocus {
    /// rpicam-apps' word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Auto => "auto",
            Self::Continuous => "continuous",
        }
    }
}

/// A part of the picture, in fractions of its width and height from the upper left corner.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "UncheckedCrop")]
pub struct Crop {
    /// Where it begins, from the left.
    pub x: f64,
    /// Where it begins, from above.
    pub y: f64,
    /// Its width.
    pub width: f64,
    /// Its height.
    pub height: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UncheckedCrop {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

impl TryFrom<UncheckedCrop> for Crop {
    type Error = &'static str;

    fn try_from(UncheckedCrop { x, y, width, height }: UncheckedCrop) -> Result<Self, Self::Error> {
        let is_within = |from: f64, size: f64| from >= 0.0 && size > 0.0 && from + size <= 1.0;
        let crop = Self { x, y, width, height };
        let sentence = "a crop lies within the picture: x, y, width and height are fractions of it, 0 to 1";
        (is_within(x, width) && is_within(y, height)).then_some(crop).ok_or(sentence)
    }
}

/// The value of a USB camera's control, as fswebcam reads it: a number, a percentage, a menu's entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlValue(pub String);

impl<'de> Deserialize<'de> for ControlValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a control's value is a number or a text (\"50%\")")]
        enum Unchecked {
            Number(i64),
            Text(String),
        }
        Ok(Self(match Unchecked::deserialize(deserializer)? {
            Unchecked::Number(number) => number.to_string(),
            Unchecked::Text(text) => text,
        }))
    }
}

/// What is tried when the camera fails several times in a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// Nothing but an error in the log.
    #[default]
    None,
    /// The kernel is told to give up the USB camera and to greet it anew.
    UsbReset,
    /// `failure_command` is run.
    Command,
}

impl Camera {
    /// Width of the picture in pixels: the prototype's for the cameras that it had, 1280 for a synthetic one.
    pub fn width_px(&self) -> u32 {
        let default = if self.kind == CameraKind::Rpicam { 640 } else { 1_280 };
        self.width.map_or(default, |width| width.0)
    }

    /// Height of the picture in pixels, as [`Camera::width_px`].
    pub fn height_px(&self) -> u32 {
        let default = match self.kind {
            CameraKind::Rpicam => 480,
            CameraKind::Usb => 640,
            CameraKind::Replay | CameraKind::Synthetic => 720,
        };
        self.height.map_or(default, |height| height.0)
    }

    /// How long the program may take: the prototype's 10 s for `rpicam`, 5 s for `usb`.
    pub fn limit(&self) -> Duration {
        let default = if self.kind == CameraKind::Rpicam { 10 } else { 5 };
        Duration::from_secs(self.limit_s.map_or(default, |limit_s| limit_s.0).into())
    }

    /// How long `rpicam` settles: the prototype's second.
    pub fn warm_up(&self) -> Duration {
        Duration::from_millis(self.warm_up_ms.map_or(1_000, |warm_up_ms| warm_up_ms.0).into())
    }

    /// Whether these settings go together.
    ///
    /// # Errors
    /// A sentence with the key that does not fit.
    pub(super) fn check(&self) -> Result<(), String> {
        let useless =
            self.keys_for_some().into_iter().find(|(_, is_set, kinds)| *is_set && !kinds.contains(&self.kind));
        if let Some((key, _, kinds)) = useless {
            let words: Vec<String> = kinds.iter().map(|kind| format!("`{}`", kind.word())).collect();
            let (words, kind) = (words.join(" and "), self.kind.word());
            return Err(format!("`{key}` in [camera] is for {words}, and the camera is `{kind}`; take it out"));
        }
        if self.kind == CameraKind::Replay && self.folder.is_none() {
            let reason = "the camera `replay` needs `folder` in [camera], a folder of JPEGs (or TIDE_CAMERA_FOLDER)";
            return Err(reason.to_owned());
        }
        if (self.on_failure == OnFailure::Command) == self.failure_command.is_empty() {
            return Err(
                "`on_failure = \"command\"` in [camera] and `failure_command`, a list of a program and its arguments, \
                 belong together"
                    .to_owned(),
            );
        }
        self.check_times()
    }

    /// A limit that the exposure itself exceeds would let no photo be taken, ever.
    fn check_times(&self) -> Result<(), String> {
        let shutter = Duration::from_micros(self.shutter_us.map_or(0, |shutter_us| shutter_us.0).into());
        if self.kind == CameraKind::Rpicam && self.warm_up() + shutter >= self.limit() {
            return Err(format!(
                "`limit_s` in [camera] is {} s, which `warm_up_ms` and `shutter_us` use up; raise it",
                self.limit().as_secs()
            ));
        }
        Ok(())
    }

    /// Keys that only some kinds have a use for, whether they are set, and those kinds.
    fn keys_for_some(&self) -> [(&'static str, bool, &'static [CameraKind]); 18] {
        const REPLAY: &[CameraKind] = &[CameraKind::Replay];
        const PROGRAMS: &[CameraKind] = &[CameraKind::Rpicam, CameraKind::Usb];
        const RPICAM: &[CameraKind] = &[CameraKind::Rpicam];
        const USB: &[CameraKind] = &[CameraKind::Usb];
        [
            ("folder", self.folder.is_some(), REPLAY),
            ("quality", self.quality.is_some(), PROGRAMS),
            ("rotation", self.rotation != Rotation::Upright, PROGRAMS),
            ("program", self.program.is_some(), PROGRAMS),
            ("limit_s", self.limit_s.is_some(), PROGRAMS),
            ("extra_arguments", !self.extra_arguments.is_empty(), PROGRAMS),
            ("warm_up_ms", self.warm_up_ms.is_some(), RPICAM),
            ("shutter_us", self.shutter_us.is_some(), RPICAM),
            ("gain", self.gain.is_some(), RPICAM),
            ("ev", self.ev.is_some(), RPICAM),
            ("autofocus", self.autofocus.is_some(), RPICAM),
            ("lens_position", self.lens_position.is_some(), RPICAM),
            ("crop", self.crop.is_some(), RPICAM),
            ("device", self.device.is_some(), USB),
            ("skip_frames", self.skip_frames.is_some(), USB),
            ("controls", !self.controls.is_empty(), USB),
            ("on_failure = \"usb-reset\"", self.on_failure == OnFailure::UsbReset, USB),
            ("on_failure", self.on_failure != OnFailure::None, PROGRAMS),
        ]
    }
}
