//! Settings: the light for the camera.

use serde::Deserialize;

/// The light for the camera.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Flash {}
