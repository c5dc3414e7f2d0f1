//! The station's program: photographs the water when the schedule says so, describes each photo, keeps it in the spool, and
//! offers it to the server until the server's receipt releases it. `station` is where these meet.

pub mod agenda;
pub mod backoff;
pub mod budget;
pub mod clock_quality;
pub mod commands;
pub mod config;
pub mod console;
pub mod devices;
pub mod imprint;
pub mod lighting;
pub mod repair;
pub mod schedule;
pub mod server_link;
pub mod service;
pub mod shot;
pub mod spool;
pub mod station;
pub mod status;
pub mod sun;
pub mod upkeep;
pub mod uploader;
pub mod vitals;
