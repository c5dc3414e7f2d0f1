//! Settings: when photos are taken, beside the interval.

use serde::Deserialize;

/// When photos are taken, beside the interval.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Schedule {}
