//! Tells the program when it was built: no GPS time is before that.

use std::time::{SystemTime, UNIX_EPOCH};

fn main() {
    // <https://reproducible-builds.org/specs/source-date-epoch/>
    let told = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|seconds| seconds.trim().parse::<u64>().ok());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    println!("cargo:rustc-env=TIDE_BUILT_S={}", told.unwrap_or(now));
    println!("cargo:rerun-if-env-changed=SOURCE_DATE_EPOCH");
    println!("cargo:rerun-if-changed=build.rs");
}
