//! What the parts of a station tell of themselves, gathered for the status. Whoever sees something go wrong, or right again,
//! says so here; nobody decides anything by it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tide_photo::CapturedAt;
use tide_photo::status::{CameraStatus, MAX_SENTENCE, Mishap, ShotStatus};

/// The gathering place; shared by all parts.
#[derive(Debug, Default)]
pub struct Vitals(Mutex<Known>);

/// What is known since the recorder started.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Known {
    /// The schedule's shots.
    pub shots: ShotStatus,
    /// The camera.
    pub camera: CameraStatus,
    /// Photos delivered.
    pub delivered: u64,
    /// When the last one was.
    pub delivered_at: Option<CapturedAt>,
    /// Why nothing is delivered at the moment.
    pub delivery_trouble: Option<String>,
    /// The last thing that went wrong.
    pub last_error: Option<Mishap>,
}

impl Vitals {
    /// Everything known at this moment.
    pub fn known(&self) -> Known {
        self.lock().clone()
    }

    /// Which camera takes the photos.
    pub fn camera_is(&self, kind: &str) {
        self.lock().camera.kind = kind.to_owned();
    }

    /// A photo is in the spool.
    pub fn took_a_photo(&self, at: CapturedAt) {
        let mut known = self.lock();
        known.shots.taken += 1;
        known.shots.last_at = Some(at);
        (known.camera.failures_in_a_row, known.camera.trouble) = (0, None);
    }

    /// The camera gave no photo; how often in a row by now.
    pub fn camera_failed(&self, at: CapturedAt, why: &str) -> u32 {
        let mut known = self.lock();
        known.shots.missed += 1;
        known.camera.failures_in_a_row += 1;
        known.camera.trouble = Some(sentence(why));
        known.last_error = Some(Mishap { at, what: sentence(why) });
        known.camera.failures_in_a_row
    }

    /// So many shots were due and nobody took them.
    pub fn missed(&self, shots: u64) {
        self.lock().shots.missed += shots;
    }

    /// The server gave a receipt.
    pub fn delivered(&self, at: CapturedAt) {
        let mut known = self.lock();
        known.delivered += 1;
        known.delivered_at = Some(at);
        known.delivery_trouble = None;
    }

    /// A photo was not delivered.
    pub fn delivery_failed(&self, why: &str) {
        self.lock().delivery_trouble = Some(sentence(why));
    }

    /// Something else went wrong.
    pub fn went_wrong(&self, at: CapturedAt, what: &str) {
        self.lock().last_error = Some(Mishap { at, what: sentence(what) });
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Counters and sentences cannot be left half changed in a way that matters.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A sentence no longer than a status may hold.
fn sentence(text: &str) -> String {
    text.chars().take(MAX_SENTENCE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_photo_ends_the_cameras_trouble_and_failures_count_up_to_it() {
        let vitals = Vitals::default();
        assert_eq!((1..=3).map(|_| vitals.camera_failed(CapturedAt::EPOCH, "no picture")).last(), Some(3));
        assert_eq!(vitals.known().camera.trouble.as_deref(), Some("no picture"));
        vitals.took_a_photo(CapturedAt::EPOCH);
        let known = vitals.known();
        assert_eq!((known.shots.taken, known.shots.missed, known.camera.failures_in_a_row), (1, 3, 0));
        assert_eq!(
            (known.camera.trouble, known.last_error.map(|mishap| mishap.what)),
            (None, Some("no picture".into()))
        );
    }

    #[test]
    fn a_receipt_ends_the_trouble_with_the_server() {
        let vitals = Vitals::default();
        vitals.delivery_failed(&"x".repeat(2_000));
        assert_eq!(vitals.known().delivery_trouble.map(|why| why.len()), Some(MAX_SENTENCE));
        vitals.delivered(CapturedAt::EPOCH);
        assert_eq!((vitals.known().delivered, vitals.known().delivery_trouble), (1, None));
    }
}
