//! Where a real server and a real station meet: the programs are started as users start them, and spoken to from outside.
//! `TestServer`, `TestStation` and `Rehearsal` are the only ways in; the journeys themselves are in `tests/`.

pub mod appliance;
pub mod authority;
pub mod browser;
pub mod container;
pub mod faults;
pub mod gpsd;
pub mod guest;
pub mod hand;
pub mod mounts;
pub mod needs;
pub mod pebble;
pub mod programs;
pub mod raw;
pub mod receiver;
pub mod recordings;
pub mod rehearsal;
pub mod server;
pub mod spoken;
pub mod station;
pub mod tus;
pub mod upload;

pub use guest::Guest;
pub use needs::Need;
pub use pebble::Pebble;
pub use receiver::TestReceiver;
pub use rehearsal::Rehearsal;
pub use server::{Login, TestServer};
pub use station::TestStation;
pub use upload::Upload;
