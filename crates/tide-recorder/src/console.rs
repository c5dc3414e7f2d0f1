//! `tide-recorder status`: a running recorder answers every program that connects to the socket in its data folder with its
//! status, one JSON text.

use std::fs::{self, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tide_photo::status::{MAX_STATUS_BYTES, StationStatus};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixListener;
use tokio::time::timeout;

use crate::status::Reporter;

/// How long a recorder may take to answer, and a program to read the answer: both are on the same machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// Begins to listen in a data folder, which the caller holds alone: a socket found there is nobody's.
///
/// # Errors
/// If the socket cannot be made, for instance because the disk is read-only.
pub fn listen(data_dir: &Path) -> io::Result<UnixListener> {
    let socket = socket_in(data_dir);
    match fs::remove_file(&socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => (),
    }
    let listener = UnixListener::bind(&socket)?;
    // A status holds no secret, and who sits at the console need not be the recorder's user.
    fs::set_permissions(&socket, Permissions::from_mode(0o666))?;
    Ok(listener)
}

/// Answers one program after the other, for ever.
pub async fn answer(listener: UnixListener, reporter: Arc<Reporter>) {
    loop {
        let Ok((mut stream, _)) = listener.accept().await else {
            // Too many open files, say: they become fewer.
            tokio::time::sleep(PATIENCE).await;
            continue;
        };
        let reporter = Arc::clone(&reporter);
        let Ok(status) = tokio::task::spawn_blocking(move || reporter.status()).await else { return };
        let json = serde_json::to_vec(&status).unwrap_or_default();
        // Who hangs up, or does not read, gets no answer.
        drop(timeout(PATIENCE, stream.write_all(&json)).await);
    }
}

/// Asks the recorder that uses a data folder how it is; `None` if none does.
///
/// # Errors
/// If one does, but gives no status.
pub fn ask(data_dir: &Path) -> io::Result<Option<StationStatus>> {
    let stream = match UnixStream::connect(socket_in(data_dir)) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        stream => stream?,
    };
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut json = Vec::new();
    stream.take(MAX_STATUS_BYTES as u64).read_to_end(&mut json)?;
    Ok(Some(serde_json::from_slice(&json)?))
}

fn socket_in(data_dir: &Path) -> PathBuf {
    data_dir.join("status.sock")
}
