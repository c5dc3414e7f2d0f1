//! The folder that holds all state of a server:
//!
//! ```text
//! catalog/     the database
//! photos/      the photo store; in `.incoming`, uploads that are not whole yet, swept at start
//! thumbnails/  made from the photos; may be deleted at any time
//! tls/         certificate and key of our own making
//! lock         held by the running server
//! ```
//!
//! Only the server's own user may enter any of them.

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
