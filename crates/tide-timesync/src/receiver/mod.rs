//! What a GPS receiver says, from bytes to fixes. Nothing here opens a device or reads a clock: bytes come in with the moment at
//! which they were heard.

mod epochs;
mod fix;
mod framer;
pub mod gpsd;
mod sentence;
mod ubx;

pub use epochs::Epochs;
pub use fix::{Fix, Origin};
pub use framer::{Frame, Framer};
