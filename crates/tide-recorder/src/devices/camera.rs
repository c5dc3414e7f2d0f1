//! What the recorder asks of a camera.

use tide_photo::CapturedAt;

/// One exposure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The JPEG, byte for byte as it will be kept.
    pub jpeg: Vec<u8>,
    /// When it was exposed.
    pub moment: Moment,
}

/// What a camera knows of the moment of exposure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Nothing but that it lies within the call.
    DuringCall,
    /// This moment of the station's own clock.
    ByStationClock(CapturedAt),
    /// This many microseconds on the clock that is never set (`CLOCK_BOOTTIME`), as a driver stamped the frame.
    OnMonotonic {
        /// Microseconds since the station was switched on.
        us: u64,
    },
    /// This moment, as somebody else's clock once told it.
    Told(CapturedAt),
}

/// Why there is no frame.
#[derive(Debug, thiserror::Error)]
pub enum CameraError {
    /// A recording has been played to its end; there will be no further frame.
    #[error("the replay is finished: every photo of {folder} has been taken once")]
    Finished {
        /// The folder that was played.
        folder: String,
    },
    /// This exposure failed; the next may not.
    #[error("the camera gave no photo: {reason}")]
    Failed {
        /// One sentence with what to do.
        reason: String,
    },
}

/// A camera that takes one photo at a time.
pub trait Camera: Send {
    /// Takes a photo now. `now` is the station's clock, for cameras that draw it or the light into the picture.
    ///
    /// # Errors
    /// See [`CameraError`].
    fn expose(&mut self, now: CapturedAt) -> Result<Frame, CameraError>;

    /// Called after an exposure that failed, when the light is off and there is time: whatever may help the next one.
    fn recover(&mut self) {}

    /// The word by which the settings name this kind of camera.
    fn kind(&self) -> &'static str;

    /// Whether the pictures are made up or recorded before, so that a pretended time does no harm.
    fn is_simulated(&self) -> bool {
        false
    }
}
