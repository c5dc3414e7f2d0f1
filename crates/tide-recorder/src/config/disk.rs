//! Settings: how much of the disk photos may take.

use serde::Deserialize;

/// How much of the disk photos may take.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Disk {}
