//! The station's time: whether a GPS receiver's time may be trusted, and then setting the clock and the battery-backed clock
//! from it, with a report of how sure that is. Reading and judging take values and give verdicts; devices are thin adapters.

pub mod devices;
pub mod drift;
pub mod keeper;
pub mod setting;
pub mod steering;

#[cfg(test)]
mod steady_state;
