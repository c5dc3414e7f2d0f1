//! The data partition: made in the card's free room at the first boot, checked at every boot.

/// Makes or checks it.
///
/// # Errors
/// If the station has no place for photos.
pub fn prepare() -> anyhow::Result<()> {
    anyhow::bail!("there is no data partition")
}
