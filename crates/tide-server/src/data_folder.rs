//! The folder that holds all state of a server. What lies where in it, and what may be deleted, is listed in `crates/README.md`
//! under "On disk". Only the server's own user may enter the folders below it.

use std::io;
use std::path::PathBuf;

use tide_durable::Durable;

/// Creates a folder below the data folder that only this server's user may enter.
///
/// # Errors
/// If it cannot be created or closed to others.
pub(crate) fn private(durable: &Durable, name: &str) -> io::Result<PathBuf> {
    let folder = durable.root().join(name);
    durable.ensure_folder(&folder)?;
    #[cfg(unix)]
    std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    Ok(folder)
}
