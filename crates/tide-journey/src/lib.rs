//! Where a real server and a real station meet: the programs are started as users start them, and spoken to from outside.
//! `TestServer` and `TestStation` are the only ways in; the journeys themselves are in `tests/`.

pub mod authority;
pub mod browser;
pub mod faults;
pub mod guest;
pub mod hand;
pub mod mounts;
pub mod needs;
pub mod pebble;
pub mod programs;
pub mod raw;
pub mod server;
pub mod station;
pub mod tus;
pub mod upload;

pub use guest::Guest;
pub use needs::Need;
pub use pebble::Pebble;
pub use server::{Login, TestServer};
pub use station::TestStation;
pub use upload::Upload;
