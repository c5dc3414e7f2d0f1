//! Waiting for a machine, with a limit.

use std::time::{Duration, Instant};

use anyhow::bail;

/// Between two looks: an emulated machine is not hurried by more of them.
const BETWEEN: Duration = Duration::from_millis(250);

/// Waits until there is something, and how long that took.
///
/// # Errors
/// If it fails, or there is nothing after `limit`.
pub fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<(T, Duration)> {
    let began = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok((found, began.elapsed()));
        }
        if began.elapsed() > limit {
            bail!("waited in vain for {limit:?} until {what}");
        }
        std::thread::sleep(BETWEEN);
    }
}
