//! What the recorder asks of a camera.

use tide_photo::CapturedAt;

/// One exposure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The JPEG, byte for byte as it will be kept.
    pub jpeg: Vec<u8>,
    /// The moment that the camera itself gives to this frame; `None` if it knows none, and the moment of the call counts.
    pub exposed_at: Option<CapturedAt>,
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

    /// Whether the pictures are made up or recorded before, so that a pretended time does no harm.
    fn is_simulated(&self) -> bool {
        false
    }
}
