//! The light around an exposure: whether this shot needs the flash, on before it, settled, and off after it whatever happens.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tide_photo::CapturedAt;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::config::{self, FlashWhen, Position};
use crate::devices::flash::{self, Flash, FlashError};
use crate::sun;
use crate::vitals::Vitals;

/// Bright photos with the flash after which one is taken without it, to see whether it has become day. Ours: at the prototype's
/// interval that is one in five minutes.
const BRIGHT_WITH_FLASH: u32 = 10;

/// The flash, and when it is used.
pub struct Lighting {
    flash: Box<dyn Flash>,
    settle: Duration,
    rule: Rule,
    wait: Box<dyn Fn(Duration) + Send>,
    vitals: Arc<Vitals>,
}

/// When the flash is used.
#[derive(Debug, Clone, PartialEq)]
enum Rule {
    Always,
    /// While the sun is lower than this many degrees above the horizon.
    Sun {
        position: Position,
        below_deg: f64,
    },
    /// While photos are dark.
    Photos(LastPhotos),
}

/// What the last photos tell of the daylight, for a station that does not know where the sun is.
#[derive(Debug, Clone, PartialEq)]
struct LastPhotos {
    below_brightness: f64,
    is_dark: bool,
    bright_with_flash: u32,
}

/// Light for one shot; dropping it switches it off.
pub struct Light<'a> {
    lit: Option<Lit<'a>>,
}

struct Lit<'a> {
    flash: &'a mut dyn Flash,
    vitals: &'a Vitals,
    now: CapturedAt,
}

impl Lighting {
    /// The light that the settings describe, switched off: nobody knows what its pin was left at.
    pub fn open(settings: &config::Flash, position: Option<Position>, now: CapturedAt, vitals: Arc<Vitals>) -> Self {
        let rule = match (settings.when, position) {
            (FlashWhen::Always, _) => Rule::Always,
            (FlashWhen::Dark, Some(position)) => Rule::Sun { position, below_deg: settings.dark_below_deg.0 },
            (FlashWhen::Dark, None) => Rule::Photos(LastPhotos::new(settings.dark_below_brightness.0.into())),
        };
        let settle = Duration::from_millis(settings.settle_ms.0.into());
        let mut lighting = Self { flash: flash::open(settings), settle, rule, wait: Box::new(thread::sleep), vitals };
        tell_failure(lighting.flash.off(), now, &lighting.vitals);
        lighting
    }

    /// The light for a shot at `now`, settled. One that cannot be switched is told of, and the photo is taken without it.
    pub fn shine(&mut self, now: CapturedAt) -> Light<'_> {
        if !self.flash.exists() || !self.rule.is_dark(now) {
            return Light { lit: None };
        }
        // From here on it is switched off again, also if switching it on seemed to fail.
        let lit = Lit { flash: self.flash.as_mut(), vitals: &self.vitals, now };
        let switched = lit.flash.on();
        if switched.is_ok() {
            (self.wait)(self.settle);
        }
        tell_failure(switched, now, &self.vitals);
        Light { lit: Some(lit) }
    }

    /// A photo was taken, with the flash or without: the next may need it, or need it no more.
    pub fn saw(&mut self, jpeg: &[u8], with_flash: bool) {
        if let Rule::Photos(photos) = &mut self.rule
            && self.flash.exists()
            && let Some(brightness) = mean_brightness(jpeg)
        {
            photos.saw(brightness, with_flash);
        }
    }
}

impl Light<'_> {
    /// Whether it shines.
    pub fn is_on(&self) -> bool {
        self.lit.is_some()
    }
}

impl Drop for Lit<'_> {
    fn drop(&mut self) {
        tell_failure(self.flash.off(), self.now, self.vitals);
    }
}

fn tell_failure(switched: Result<(), FlashError>, now: CapturedAt, vitals: &Vitals) {
    if let Err(error) = switched {
        tracing::error!("{error}");
        vitals.went_wrong(now, &error.to_string());
    }
}

impl Rule {
    fn is_dark(&self, now: CapturedAt) -> bool {
        match self {
            Self::Always => true,
            Self::Sun { position, below_deg } => sun_height_deg(now, *position) < *below_deg,
            Self::Photos(photos) => photos.wants_flash(),
        }
    }
}

impl LastPhotos {
    fn new(below_brightness: f64) -> Self {
        Self { below_brightness, is_dark: false, bright_with_flash: 0 }
    }

    /// One in a while is taken without the flash although it was dark: only that can tell the day.
    fn wants_flash(&self) -> bool {
        self.is_dark && self.bright_with_flash < BRIGHT_WITH_FLASH
    }

    /// A photo that is dark in spite of the flash was taken in the dark. One that is bright with it says nothing of the daylight.
    fn saw(&mut self, brightness: f64, with_flash: bool) {
        let photo_is_dark = brightness < self.below_brightness;
        if with_flash && !photo_is_dark {
            self.bright_with_flash += 1;
        } else {
            (self.is_dark, self.bright_with_flash) = (photo_is_dark, 0);
        }
    }
}

/// The sun's height. It is unknown for no position and no time that can be set; dark is the side on which a photo shows
/// something.
fn sun_height_deg(now: CapturedAt, position: Position) -> f64 {
    sun::height_deg(now, position.latitude, position.longitude).unwrap_or(-90.0)
}

/// The mean brightness of a JPEG, 0 to 255; `None` if it cannot be decoded.
fn mean_brightness(jpeg: &[u8]) -> Option<f64> {
    // The luminance alone, which a JPEG holds by itself.
    let options = DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::Luma);
    let pixels = JpegDecoder::new_with_options(ZCursor::new(jpeg), options).decode().ok()?;
    let sum: u64 = pixels.iter().copied().map(u64::from).sum();
    (!pixels.is_empty()).then(|| sum as f64 / pixels.len() as f64)
}

/// Lighting with the one flash of tests.
#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use crate::devices::flash::testing::{FakeFlash, Record};

    /// Always used; what it does, and that it is waited for, is noted.
    pub(crate) fn noted(record: &Record, is_broken: bool, vitals: &Arc<Vitals>) -> Lighting {
        let flash = Box::new(FakeFlash { record: record.clone(), is_broken });
        let waited = record.clone();
        let wait = Box::new(move |_| waited.note("settle"));
        Lighting { flash, settle: Duration::ZERO, rule: Rule::Always, wait, vitals: Arc::clone(vitals) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::camera::Camera;
    use crate::devices::flash::testing::Record;
    use crate::devices::synthetic::SyntheticCamera;

    fn at(text: &str) -> CapturedAt {
        text.parse().unwrap()
    }

    const CHANIA: Position = Position { latitude: 35.51, longitude: 24.02, altitude_m: None };

    #[test]
    fn the_sun_stands_where_the_almanac_has_it() {
        // NREL's own example of the algorithm (Reda and Andreas, 2008, table A5.1): a zenith angle of 50.11162 degrees with a
        // refraction of 0.0156, at 12:30:30 seven hours west.
        let golden = Position { latitude: 39.742_476, longitude: -105.178_6, altitude_m: Some(1_830.14) };
        let height = sun_height_deg(at("2003-10-17T19:30:30Z"), golden);
        assert!((height - (90.0 - 50.111_62 - 0.0156)).abs() < 0.01, "{height}");
        // The North Cape has no night in June and no day in December.
        let north_cape = Position { latitude: 71.17, longitude: 25.78, altitude_m: None };
        assert!(sun_height_deg(at("2026-06-21T00:00:00Z"), north_cape) > 0.0);
        assert!(sun_height_deg(at("2026-12-21T10:30:00Z"), north_cape) < 0.0);
    }

    fn settings(toml: &str) -> config::Flash {
        toml::from_str(&format!("when = 'dark'\n{toml}")).unwrap()
    }

    fn rule(toml: &str, position: Option<Position>) -> Rule {
        Lighting::open(&settings(toml), position, CapturedAt::EPOCH, Arc::default()).rule
    }

    #[test]
    fn with_a_position_the_suns_height_decides() {
        // The sun set at 17:47 UTC in Chania on that day, and civil twilight ended about 28 minutes later.
        for (time, by_default, at_sunset) in [
            ("2026-05-31T12:00:00Z", false, false),
            ("2026-05-31T17:50:00Z", false, true),
            ("2026-05-31T18:30:00Z", true, true),
        ] {
            assert_eq!(rule("", Some(CHANIA)).is_dark(at(time)), by_default, "{time}");
            assert_eq!(rule("dark_below_deg = 0", Some(CHANIA)).is_dark(at(time)), at_sunset, "{time}");
        }
        assert_eq!(rule("dark_below_deg = -0.5", None), Rule::Photos(LastPhotos::new(40.0)));
    }

    /// Whether the flash is used for photos of these brightnesses; the second is that with the flash.
    fn flashes(scenes: &[(f64, f64)]) -> Vec<bool> {
        let mut photos = LastPhotos::new(40.0);
        let mut shoot = |&(without, with): &(f64, f64)| {
            let with_flash = photos.wants_flash();
            photos.saw(if with_flash { with } else { without }, with_flash);
            with_flash
        };
        scenes.iter().map(&mut shoot).collect()
    }

    const DAY: (f64, f64) = (110.0, 120.0);
    const NIGHT: (f64, f64) = (5.0, 90.0);

    #[test]
    fn without_a_position_the_last_photo_decides() {
        assert_eq!(flashes(&[DAY, NIGHT, NIGHT, NIGHT]), [false, false, true, true]);
    }

    #[test]
    fn a_photo_that_the_flash_made_bright_is_no_daylight() {
        let night = flashes(&[NIGHT; 24]);
        let without: Vec<usize> = (0..24).filter(|at| !night[*at]).collect();
        assert_eq!(without, [0, 11, 22], "one in eleven looks whether it is day");
        let mut dawn = vec![NIGHT; 5];
        dawn.extend([DAY; 10]);
        let dawn = flashes(&dawn);
        assert_eq!(dawn[10..], [true, false, false, false, false], "day is found at that one");
    }

    #[test]
    fn a_flash_that_reaches_nothing_needs_no_trial() {
        let far = (5.0, 8.0);
        assert!(flashes(&[far; 30])[1..].iter().all(|with_flash| *with_flash));
    }

    #[test]
    fn day_and_night_differ_in_a_photos_brightness() {
        let brightness =
            |time| mean_brightness(&SyntheticCamera::new(320, 240).expose(at(time)).unwrap().jpeg).unwrap();
        let (noon, midnight) = (brightness("2026-05-31T12:00:00Z"), brightness("2026-05-31T00:00:00Z"));
        assert!(noon > 100.0 && midnight < 40.0, "{noon} {midnight}");
        assert_eq!(mean_brightness(b"no JPEG"), None);
    }

    #[test]
    fn photos_are_looked_at_only_where_they_decide() {
        let noon = SyntheticCamera::new(320, 240).expose(at("2026-05-31T00:00:00Z")).unwrap().jpeg;
        let mut lighting = testing::noted(&Record::default(), false, &Arc::default());
        lighting.rule = Rule::Photos(LastPhotos::new(40.0));
        lighting.saw(&noon, false);
        assert!(lighting.rule.is_dark(CapturedAt::EPOCH));
        lighting.rule = Rule::Always;
        lighting.saw(&noon, false);
        assert_eq!(lighting.rule, Rule::Always);
    }
}
