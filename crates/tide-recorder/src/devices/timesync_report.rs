//! The report of the program that sets the clock: a file in a folder that a restart empties.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use tide_photo::clock_report::{ClockReport, MAX_CLOCK_REPORT_BYTES};

/// The report, if there is one that can be read. There need not be one: without it the kernel's word stands alone.
pub(super) fn read(path: &Path) -> Option<ClockReport> {
    let mut json = Vec::new();
    // Its writer replaces it whole, so it is never half a report.
    File::open(path).ok()?.take(MAX_CLOCK_REPORT_BYTES).read_to_end(&mut json).ok()?;
    ClockReport::from_json(&json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_or_endless_is_no_report() {
        assert_eq!(read(Path::new("/nowhere/timesync.json")), None);
        assert_eq!(read(Path::new("/dev/zero")), None);
    }
}
