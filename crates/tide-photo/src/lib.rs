//! The words that a station and a server share, and the contract between them. No file, socket, clock or random number
//! is touched here: every decision takes its facts as arguments.

pub mod clock;
pub mod clock_report;
pub mod digest;
pub mod jpeg;
pub mod manifest;
pub mod receipt;
pub mod station;
pub mod status;
pub mod time;
pub mod wire;

pub use clock::{ClockQuality, ClockSource};
pub use digest::{Digest, Hasher};
pub use manifest::Manifest;
pub use receipt::{Holding, Receipt};
pub use station::StationName;
pub use time::CapturedAt;
