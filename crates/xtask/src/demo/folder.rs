//! Where a demo keeps what it makes: a temporary folder, or one that the caller names.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

/// The folder of one demo.
pub(crate) struct DemoFolder {
    path: PathBuf,
    /// Deletes the folder at the end, unless it is kept.
    temporary: Option<TempDir>,
    /// Of the first operator.
    pub(crate) password: String,
}

impl DemoFolder {
    /// The folder to keep, or a temporary one.
    ///
    /// # Errors
    /// If it cannot be made or read.
    pub(crate) fn open(keep: Option<&Path>) -> Result<Self> {
        let (path, temporary) = match keep {
            Some(folder) => {
                fs::create_dir_all(folder)
                    .with_context(|| format!("failed to make the folder {}", folder.display()))?;
                (folder.canonicalize()?, None)
            }
            None => {
                let folder = tempfile::Builder::new().prefix("tide-demo-").tempdir()?;
                (folder.path().to_owned(), Some(folder))
            }
        };
        let password = password_in(&path.join("password"))?;
        Ok(Self { path, temporary, password })
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> PathBuf {
        self.path.clone()
    }

    /// Whether it stays.
    pub(crate) fn is_kept(&self) -> bool {
        self.temporary.is_none()
    }

    /// The log of the server.
    pub(crate) fn server_log(&self) -> PathBuf {
        self.path.join("server.log")
    }

    /// The log of the station.
    pub(crate) fn station_log(&self) -> PathBuf {
        self.path.join("station.log")
    }

    /// The folder of all that a station keeps.
    pub(crate) fn station(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Deletes it, if it is temporary.
    ///
    /// # Errors
    /// If it cannot be deleted.
    pub(crate) fn delete(self) -> Result<()> {
        let Some(folder) = self.temporary else { return Ok(()) };
        folder.close().with_context(|| format!("failed to delete the folder {}", self.path.display()))
    }

    /// Leaves it for somebody to look into; the sentence that says so.
    pub(crate) fn leave(self) -> String {
        let (server, station) = (self.server_log(), self.station_log());
        let later = self.temporary.map_or("", |folder| {
            let _ = folder.keep();
            "; delete that folder when you have seen enough"
        });
        format!("The logs are {} and {}{later}", server.display(), station.display())
    }

    /// A log to go on writing.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub(crate) fn open_log(path: &Path) -> Result<File> {
        File::options()
            .create(true)
            .append(true)
            .open(path)
            .with_context(|| format!("failed to open {}", path.display()))
    }

    /// Whether an earlier demo has made this station known.
    pub(crate) fn has_station(&self, name: &str) -> bool {
        self.kept_settings(name).exists()
    }

    /// Keeps the settings that the server printed for a station.
    ///
    /// # Errors
    /// If they cannot be written.
    pub(crate) fn keep_station(&self, name: &str, settings: &str) -> Result<()> {
        Ok(fs::write(self.kept_settings(name), settings)?)
    }

    /// Makes these the settings of the station, with the address that the server has this time.
    ///
    /// # Errors
    /// If they cannot be read or written.
    pub(crate) fn use_station(&self, name: &str, url: &str) -> Result<()> {
        let settings = fs::read_to_string(self.kept_settings(name))?;
        let lines = settings.lines().map(|line| match line.strip_prefix("url = ") {
            Some(_) => format!("url = \"{url}\"\n"),
            None => format!("{line}\n"),
        });
        Ok(fs::write(self.station_settings(), lines.collect::<String>())?)
    }

    /// The station's settings.
    pub(crate) fn station_settings(&self) -> PathBuf {
        self.path.join("tide.toml")
    }

    fn kept_settings(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.toml"))
    }
}

/// The password of an earlier demo in this folder, or a new one.
fn password_in(file: &Path) -> Result<String> {
    if let Ok(password) = fs::read_to_string(file) {
        return Ok(password.trim().to_owned());
    }
    let password = format!("demo-{:08x}", rand::random::<u32>());
    fs::write(file, &password).with_context(|| format!("failed to write {}", file.display()))?;
    Ok(password)
}
