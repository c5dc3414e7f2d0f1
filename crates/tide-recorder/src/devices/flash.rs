//! What the recorder asks of a flash.

#[cfg(target_os = "linux")]
mod kernel_line;
#[cfg(target_os = "linux")]
mod pi_pin;

use std::fs;

use crate::config::{self, FlashDriver};

/// A light that can be switched.
pub trait Flash: Send {
    /// On.
    ///
    /// # Errors
    /// If it could not be switched.
    fn on(&mut self) -> Result<(), FlashError>;

    /// Off; also to be called before the first use, so that it does not depend on what the pin was left at.
    ///
    /// # Errors
    /// If it could not be switched.
    fn off(&mut self) -> Result<(), FlashError>;

    /// Whether there is one. Without one nobody needs to wait for its light.
    fn exists(&self) -> bool {
        true
    }
}

/// Why a flash could not be switched: one sentence with what to do.
#[derive(Debug, thiserror::Error)]
#[error("the flash could not be switched: {0}")]
pub struct FlashError(pub String);

/// The flash that the settings describe. No device is opened before it is first switched.
pub fn open(settings: &config::Flash) -> Box<dyn Flash> {
    // Absent on what is no board.
    let model = fs::read_to_string("/proc/device-tree/model").unwrap_or_default();
    let pin = settings.gpio.map_or(0, |gpio| gpio.0);
    match settings.driver_on(model.trim_end_matches('\0')) {
        FlashDriver::Off => Box::new(NoFlash),
        #[cfg(target_os = "linux")]
        FlashDriver::Rppal => Box::new(pi_pin::PiPin::new(pin, settings.active_low)),
        #[cfg(target_os = "linux")]
        FlashDriver::Gpiocdev => Box::new(kernel_line::KernelLine::new(&settings.chip, pin, settings.active_low)),
        #[cfg(not(target_os = "linux"))]
        FlashDriver::Rppal | FlashDriver::Gpiocdev => Box::new(Unknown(pin)),
    }
}

/// No light.
struct NoFlash;

impl Flash for NoFlash {
    fn on(&mut self) -> Result<(), FlashError> {
        Ok(())
    }

    fn off(&mut self) -> Result<(), FlashError> {
        Ok(())
    }

    fn exists(&self) -> bool {
        false
    }
}

/// Only Linux has the pins of a board.
#[cfg(not(target_os = "linux"))]
struct Unknown(u32);

#[cfg(not(target_os = "linux"))]
impl Flash for Unknown {
    fn on(&mut self) -> Result<(), FlashError> {
        Err(FlashError(format!("pin {} can be switched on Linux only; set `driver = \"off\"` in [flash]", self.0)))
    }

    fn off(&mut self) -> Result<(), FlashError> {
        self.on()
    }
}

/// The one flash of tests.
#[cfg(test)]
pub(crate) mod testing {
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;

    /// What happened around a shot, in order.
    #[derive(Clone, Default)]
    pub(crate) struct Record(Arc<Mutex<Vec<String>>>);

    impl Record {
        pub(crate) fn note(&self, what: &str) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(what.to_owned());
        }

        /// Everything noted since this was last asked.
        pub(crate) fn take(&self) -> Vec<String> {
            std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
        }
    }

    /// A flash that notes what it is told, and may be broken.
    pub(crate) struct FakeFlash {
        pub(crate) record: Record,
        pub(crate) is_broken: bool,
    }

    impl Flash for FakeFlash {
        fn on(&mut self) -> Result<(), FlashError> {
            self.switch("on")
        }

        fn off(&mut self) -> Result<(), FlashError> {
            self.switch("off")
        }
    }

    impl FakeFlash {
        fn switch(&self, word: &str) -> Result<(), FlashError> {
            self.record.note(word);
            if self.is_broken { Err(FlashError("it is broken".to_owned())) } else { Ok(()) }
        }
    }
}
