//! What a person is told of the settings that other programs judge, and what the firmware has to know of them.

use super::document::Document;
use super::env_file::EnvFile;

/// The recorder's default, the prototype's.
const INTERVAL_S: &str = "30";

/// Highest number of a pin on the header of a Pi.
const LAST_PIN: u8 = 27;

/// The settings in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// Seconds from photo to photo.
    pub interval_s: String,
    /// The server's address, without what may stand before and behind it.
    pub server: String,
    /// What takes the photos.
    pub camera: String,
    /// The light, if the firmware is to know of it.
    pub flash: Option<Flash>,
    /// How the receiver is heard.
    pub gps: String,
    /// Which battery-backed clock there is.
    pub rtc: String,
}

/// A light on a pin of the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flash {
    /// The pin's number.
    pub gpio: u8,
    /// Whether it shines while the pin is low.
    pub is_active_low: bool,
}

impl Outline {
    /// Of files that are readable; other programs judge whether they are right.
    pub(super) fn of(document: &Document<'_>, variables: &EnvFile) -> Self {
        let word = |path: &[&str], names: &[&str], default: &str| {
            let in_file = document.text(path).map(|(text, _)| text);
            variables.last(names).or(in_file).unwrap_or(default).to_owned()
        };
        let interval_s = number(document, &["interval_s"]).unwrap_or_else(|| INTERVAL_S.to_owned());
        Self {
            interval_s: variables.last(&["PHOTO_INTERVAL", "TIDE_INTERVAL_S"]).map_or(interval_s, str::to_owned),
            server: host_of(&word(&["server", "url"], &["SERVER_URL", "TIDE_SERVER_URL"], "")),
            camera: word(&["camera", "kind"], &["TIDE_CAMERA"], "none"),
            flash: flash(document, variables),
            gps: word(&["gps", "source"], &[], "auto"),
            rtc: word(&["rtc", "kind"], &[], "auto"),
        }
    }
}

fn flash(document: &Document<'_>, variables: &EnvFile) -> Option<Flash> {
    let is_header = document.text(&["flash", "chip"]).is_none_or(|(chip, _)| chip == "/dev/gpiochip0");
    let is_off = document.text(&["flash", "driver"]).is_some_and(|(driver, _)| driver == "off");
    let gpio = number(document, &["flash", "gpio"]);
    let gpio = variables.last(&["FLASH_GPIO"]).map(str::to_owned).or(gpio)?;
    let gpio: u8 = gpio.trim().parse().ok().filter(|gpio| *gpio <= LAST_PIN && is_header && !is_off)?;
    let is_active_low = document.get(&["flash", "active_low"]).and_then(|value| value.get_ref().as_bool());
    Some(Flash { gpio, is_active_low: is_active_low.unwrap_or(true) })
}

/// A whole number as it stands there, in tens.
fn number(document: &Document<'_>, path: &[&str]) -> Option<String> {
    let integer = document.get(path)?.get_ref().as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok().map(|number| number.to_string())
}

/// Scheme, host and port. What stands before an `@` may be a password.
fn host_of(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}")
}
