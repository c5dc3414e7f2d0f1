//! The station's program: photographs the water when the schedule says so, describes each photo, keeps it in the spool, and
//! offers it to the server until the server's receipt releases it.

pub mod devices;
