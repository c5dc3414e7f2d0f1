//! A line of the kernel's GPIO character device (gpiocdev), on any board.

use std::path::PathBuf;

use gpiocdev::Request;
use gpiocdev::chip::{Chip, chips};
use gpiocdev::line::Value;

use super::{Flash, FlashError};

/// A line, requested when it is first switched, and held from then on: nobody else can take it.
pub(super) struct KernelLine {
    chip: String,
    number: u32,
    active_low: bool,
    line: Option<Request>,
}

impl KernelLine {
    /// Line `number` of a chip, which is named by its path or by its label.
    pub(super) fn new(chip: &str, number: u32, active_low: bool) -> Self {
        Self { chip: chip.to_owned(), number, active_low, line: None }
    }

    fn switch(&mut self, value: Value) -> Result<(), FlashError> {
        match &self.line {
            Some(line) => line.set_value(self.number, value).map_err(|error| self.failed(&error.to_string())),
            None => {
                self.line = Some(self.request(value)?);
                Ok(())
            }
        }
    }

    /// The line, at this value from the moment it becomes an output.
    fn request(&self, value: Value) -> Result<Request, FlashError> {
        let mut request = Request::builder();
        request.on_chip(self.chip_path()?).with_line(self.number).with_consumer("tide-recorder").as_output(value);
        if self.active_low {
            request.as_active_low();
        }
        request.request().map_err(|error| self.failed(&error.to_string()))
    }

    fn chip_path(&self) -> Result<PathBuf, FlashError> {
        if self.chip.starts_with('/') {
            return Ok(PathBuf::from(&self.chip));
        }
        let paths = chips().map_err(|error| self.failed(&error.to_string()))?;
        let has_label = |path: &PathBuf| {
            Chip::from_path(path).and_then(|chip| chip.info()).is_ok_and(|info| info.label == self.chip)
        };
        paths.into_iter().find(has_label).ok_or_else(|| self.failed("no chip has this label"))
    }

    fn failed(&self, why: &str) -> FlashError {
        FlashError(format!(
            "line {} of {}: {why}; `gpiodetect` and `gpioinfo` list what there is (`chip` and `gpio` in [flash]), and the \
             recorder's user needs the group `gpio`",
            self.number, self.chip
        ))
    }
}

impl Flash for KernelLine {
    fn on(&mut self) -> Result<(), FlashError> {
        self.switch(Value::Active)
    }

    fn off(&mut self) -> Result<(), FlashError> {
        self.switch(Value::Inactive)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chip_that_is_not_there_is_named_by_path_or_label() {
        for chip in ["/dev/no-gpiochip", "pinctrl-of-nobody"] {
            let sentence = KernelLine::new(chip, 17, true).on().unwrap_err().to_string();
            assert!(
                sentence.contains("line 17") && sentence.contains(chip) && sentence.contains("gpioinfo"),
                "{sentence}"
            );
        }
    }
}
