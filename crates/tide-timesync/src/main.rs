//! `tide-timesync`: see `tide-timesync --help`.

fn main() {}
