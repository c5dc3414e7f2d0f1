//! The station's time: whether a GPS receiver's time may be trusted, and then setting the clock and the battery-backed clock
//! from it, with a report of how sure that is. Reading and judging take values and give verdicts; devices are thin adapters.

pub mod commands;
pub mod config;
pub mod devices;
pub mod drift;
pub mod gather;
pub mod journal;
pub mod keeper;
pub mod kept;
pub mod receiver;
pub mod rtc;
pub mod setting;
pub mod steering;
pub mod sync;
pub mod verdict;

#[cfg(test)]
mod steady_state;
