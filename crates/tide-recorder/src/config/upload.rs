//! Settings: how photos are sent.

use serde::Deserialize;

/// How photos are sent.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Upload {}
