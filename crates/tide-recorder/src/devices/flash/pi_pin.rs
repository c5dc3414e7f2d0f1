//! A pin of a Raspberry Pi, by its registers (rppal): the only file that knows them.

use rppal::gpio::{Error, Gpio, Level, OutputPin};

use super::{Flash, FlashError};

/// A pin, opened when it is first switched.
pub(super) struct PiPin {
    number: u32,
    active_low: bool,
    pin: Option<OutputPin>,
}

impl PiPin {
    /// Pin `number` in the BCM's counting.
    pub(super) fn new(number: u32, active_low: bool) -> Self {
        Self { number, active_low, pin: None }
    }

    fn switch(&mut self, on: bool) -> Result<(), FlashError> {
        let level = if on == self.active_low { Level::Low } else { Level::High };
        match &mut self.pin {
            Some(pin) => pin.write(level),
            None => self.pin = Some(self.open(level)?),
        }
        Ok(())
    }

    /// The pin, already at this level when it becomes an output: no flicker in between.
    fn open(&self, level: Level) -> Result<OutputPin, FlashError> {
        let number = u8::try_from(self.number).map_err(|_| self.failed("no Pi has so many pins"))?;
        let pin = Gpio::new().and_then(|gpio| gpio.get(number)).map_err(|error| self.failed(&advice(&error)))?;
        let mut pin = if level == Level::Low { pin.into_output_low() } else { pin.into_output_high() };
        // What it is left at counts after the recorder has ended too: off, and not whatever an input floats to.
        pin.set_reset_on_drop(false);
        Ok(pin)
    }

    fn failed(&self, why: &str) -> FlashError {
        FlashError(format!("pin {} of the Pi: {why}", self.number))
    }
}

impl Flash for PiPin {
    fn on(&mut self) -> Result<(), FlashError> {
        self.switch(true)
    }

    fn off(&mut self) -> Result<(), FlashError> {
        self.switch(false)
    }
}

fn advice(error: &Error) -> String {
    match error {
        Error::UnknownModel => {
            "this is no Raspberry Pi that is known; set `driver = \"gpiocdev\"` (or \"off\") in [flash]".to_owned()
        }
        Error::PermissionDenied(path) => format!("no right to {path}; put the recorder's user into the group `gpio`"),
        Error::PinNotAvailable(_) => "it has no such pin; `gpio` in [flash] is the BCM number".to_owned(),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_is_no_pi_says_so_and_what_to_do() {
        // On a Pi this would switch something.
        if std::fs::read_to_string("/proc/device-tree/model").is_ok() {
            return;
        }
        let sentence = PiPin::new(5, true).off().unwrap_err().to_string();
        assert!(sentence.contains("pin 5") && sentence.contains("gpiocdev"), "{sentence}");
        let sentence = PiPin::new(300, true).on().unwrap_err().to_string();
        assert!(sentence.contains("pin 300"), "{sentence}");
    }
}
