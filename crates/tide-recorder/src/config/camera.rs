//! Settings of the camera.

use std::path::PathBuf;

use serde::Deserialize;

/// For sentences. More come with a later version.
pub(super) const CAMERA_KINDS: &str = "`replay` or `synthetic`";

/// The camera.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Camera {
    /// Which kind.
    pub kind: CameraKind,
    /// Folder of JPEGs to play, for `replay`.
    pub folder: Option<PathBuf>,
    /// Width of the picture in pixels, for `synthetic`.
    #[serde(default = "default_width")]
    pub width: u32,
    /// Height of the picture in pixels, for `synthetic`.
    #[serde(default = "default_height")]
    pub height: u32,
}

/// Kinds of camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum CameraKind {
    /// Plays a folder of JPEGs.
    Replay,
    /// Renders a tide scene with a known level.
    Synthetic,
}

impl TryFrom<String> for CameraKind {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        match word.as_str() {
            "replay" => Ok(Self::Replay),
            "synthetic" => Ok(Self::Synthetic),
            _ => Err(format!("a camera is {CAMERA_KINDS}, not `{word}`")),
        }
    }
}

fn default_width() -> u32 {
    1_280
}

fn default_height() -> u32 {
    720
}
