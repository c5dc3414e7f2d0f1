//! The wish to stop soon, from whoever has it to the shot in hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Set once, by the one who wants the station to stop; clones share it. From then on no program of a camera runs for long.
#[derive(Debug, Clone, Default)]
pub struct Hurry(Arc<AtomicBool>);

impl Hurry {
    /// The station is to stop.
    pub fn up(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it is.
    pub fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
