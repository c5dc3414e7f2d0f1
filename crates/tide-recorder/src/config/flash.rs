//! Settings: the light for the camera.

use serde::Deserialize;

use super::within::{Real, Whole};

/// The chip of the pins on a Pi's header.
const DEFAULT_CHIP: &str = "/dev/gpiochip0";

/// The light for the camera.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Flash {
    /// What switches it. Without it, a flash with a pin is switched by `rppal` on a Raspberry Pi and by `gpiocdev` elsewhere.
    pub driver: Option<FlashDriver>,
    /// The pin's number: the BCM one on a Pi, the line's number within its chip elsewhere.
    pub gpio: Option<Whole<0, 1_023>>,
    /// `gpiocdev`: the chip, by path or by the label that `gpiodetect` prints.
    pub chip: String,
    /// Whether a low level switches it on, as on the prototype's board.
    pub active_low: bool,
    /// How long it shines before the exposure begins, in milliseconds.
    pub settle_ms: Whole<0, 60_000>,
    /// When it is used.
    pub when: FlashWhen,
    /// `when = "dark"`, with a position: the height of the sun in degrees below which it is dark. The default is the end of civil
    /// twilight, after which artificial light is normally needed for what one does outdoors (US Naval Observatory, "Rise, Set,
    /// and Twilight Definitions").
    pub dark_below_deg: Real<-90, 90>,
    /// `when = "dark"`, without a position: the photo's mean brightness below which it is dark; 0 is black, 255 white. The
    /// default is ours: a camera that sets its own exposure brings a scene with any light to about 118 (18 % grey in sRGB), so one
    /// that remains below 40 had none left to give.
    pub dark_below_brightness: Whole<0, 255>,
}

/// What switches a flash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FlashDriver {
    /// There is none.
    Off,
    /// The Pi's registers.
    Rppal,
    /// The kernel's GPIO character device.
    Gpiocdev,
}

/// When a flash is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FlashWhen {
    /// For every photo, as the prototype did.
    #[default]
    Always,
    /// Only where daylight does not suffice.
    Dark,
}

impl Default for Flash {
    fn default() -> Self {
        Self {
            driver: None,
            gpio: None,
            // The first one: the header's on every Pi whose kernel is of 2024 or later.
            chip: DEFAULT_CHIP.to_owned(),
            active_low: true,
            // The prototype's.
            settle_ms: Whole(700),
            when: FlashWhen::Always,
            dark_below_deg: Real(-6.0),
            dark_below_brightness: Whole(40),
        }
    }
}

impl Flash {
    /// Whether these settings go together.
    ///
    /// # Errors
    /// A sentence with the key that does not fit.
    pub(super) fn check(&self) -> Result<(), String> {
        let wants_pin = matches!(self.driver, Some(FlashDriver::Rppal | FlashDriver::Gpiocdev));
        if wants_pin && self.gpio.is_none() {
            return Err("`driver` in [flash] needs `gpio`, the pin's number (or FLASH_GPIO)".to_owned());
        }
        if self.driver == Some(FlashDriver::Rppal) && self.chip != DEFAULT_CHIP {
            return Err("`chip` in [flash] is for `gpiocdev`, and the driver is `rppal`; take it out".to_owned());
        }
        Ok(())
    }

    /// What switches the flash of a machine of this model (as /proc/device-tree/model names it).
    pub fn driver_on(&self, model: &str) -> FlashDriver {
        match (self.driver, self.gpio) {
            (Some(driver), _) => driver,
            (None, None) => FlashDriver::Off,
            // A chip that is named is meant.
            (None, Some(_)) if model.starts_with("Raspberry Pi") && self.chip == DEFAULT_CHIP => FlashDriver::Rppal,
            (None, Some(_)) => FlashDriver::Gpiocdev,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flash(toml: &str) -> Flash {
        toml::from_str(toml).unwrap()
    }

    #[test]
    fn a_pin_alone_is_switched_by_what_the_machine_is() {
        let pi = "Raspberry Pi 4 Model B Rev 1.4";
        for (settings, model, driver) in [
            ("", pi, FlashDriver::Off),
            ("gpio = 5", pi, FlashDriver::Rppal),
            ("gpio = 5", "Radxa ROCK 5B", FlashDriver::Gpiocdev),
            ("gpio = 5", "", FlashDriver::Gpiocdev),
            ("gpio = 5\nchip = 'pinctrl-rp1'", pi, FlashDriver::Gpiocdev),
            ("gpio = 5\ndriver = 'gpiocdev'", pi, FlashDriver::Gpiocdev),
            ("gpio = 5\ndriver = 'off'", pi, FlashDriver::Off),
        ] {
            assert_eq!(flash(settings).driver_on(model), driver, "{settings} {model}");
        }
    }

    #[test]
    fn the_defaults_are_the_prototypes() {
        let flash = flash("gpio = 5");
        assert_eq!((flash.active_low, flash.settle_ms, flash.when), (true, Whole(700), FlashWhen::Always));
    }

    #[test]
    fn a_driver_without_its_pin_is_refused() {
        assert!(flash("driver = 'rppal'").check().unwrap_err().contains("FLASH_GPIO"));
        assert!(flash("driver = 'rppal'\ngpio = 5\nchip = 'x'").check().unwrap_err().contains("`chip`"));
        assert_eq!(flash("driver = 'off'").check(), Ok(()));
    }
}
