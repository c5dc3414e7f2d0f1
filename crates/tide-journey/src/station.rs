//! A real station with a spool of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;
use tempfile::TempDir;

use crate::programs::{PATIENCE, Running, output, program, until};
use crate::server::files_below;

/// A station; `run` sets it to work.
pub struct TestStation {
    folder: TempDir,
    data: PathBuf,
    variables: Vec<(String, String)>,
    running: Option<Running>,
}

impl TestStation {
    /// A station with a synthetic camera of small pictures and these settings, which `tide-server station add --config` printed.
    ///
    /// # Errors
    /// If its folder cannot be made.
    pub fn new(tide_toml: &str) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("tide-station-")?;
        let camera = "\n[camera]\nkind = \"synthetic\"\nwidth = 320\nheight = 240\n";
        fs::write(folder.path().join("tide.toml"), format!("{tide_toml}{camera}"))?;
        let data = folder.path().join("data");
        Ok(Self { folder, data, variables: Vec::new(), running: None })
    }

    /// The same with a data folder elsewhere: on a disk of its own, for instance.
    #[must_use]
    pub fn with_data(mut self, data: &Path) -> Self {
        data.clone_into(&mut self.data);
        self
    }

    /// The same with one more environment variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// The same with a camera that plays a folder.
    #[must_use]
    pub fn with_replay(self, photos: &Path) -> Self {
        let photos = photos.display().to_string();
        self.with("TIDE_CAMERA", "replay").with("TIDE_CAMERA_FOLDER", photos)
    }

    /// The same with the camera of this `[camera]` table, and what follows it.
    ///
    /// # Errors
    /// If its settings cannot be changed.
    pub fn with_camera(self, table: &str) -> anyhow::Result<Self> {
        let path = self.folder.path().join("tide.toml");
        let settings = fs::read_to_string(&path)?;
        let (others, _) = settings.rsplit_once("\n[camera]\n").context("the settings have a camera")?;
        fs::write(path, format!("{others}\n[camera]\n{table}\n"))?;
        Ok(self)
    }

    /// The program with this station's settings.
    ///
    /// # Errors
    /// If it has not been built.
    pub fn command(&self) -> anyhow::Result<Command> {
        let mut command = program("tide-recorder")?;
        command
            .env("TIDE_CONFIG", self.folder.path().join("tide.toml"))
            .env("TIDE_DATA_DIR", self.data())
            // No photo on schedule while a journey lasts, unless it asks for it.
            .env("TIDE_INTERVAL_S", "86400")
            .env("TIDE_UPLOAD_MAX_PHOTOS_PER_S", "100")
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }

    /// Takes photos into the spool; what was printed for each.
    ///
    /// # Errors
    /// If one fails.
    pub fn shoot(&self, arguments: &[&str]) -> anyhow::Result<Vec<String>> {
        let printed = output(self.command()?.arg("shoot").args(arguments))?;
        Ok(printed.lines().map(str::to_owned).collect())
    }

    /// Sets it to work.
    ///
    /// # Errors
    /// If it does not start.
    pub fn run(&mut self) -> anyhow::Result<()> {
        let log = fs::File::options().create(true).append(true).open(self.log_file())?;
        self.running = Some(Running::start(self.command()?.arg("run").stdout(Stdio::null()).stderr(log))?);
        Ok(())
    }

    /// Asks it to stop.
    ///
    /// # Errors
    /// If it does not.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.running.take().context("the station is not running")?.stop()
    }

    /// The program at work.
    ///
    /// # Errors
    /// If it is not running.
    pub fn running(&self) -> anyhow::Result<&Running> {
        self.running.as_ref().context("the station is not running")
    }

    /// How many photos wait in its spool, as a person with a file manager would count them.
    ///
    /// # Errors
    /// If the spool cannot be read.
    pub fn waiting(&self) -> anyhow::Result<usize> {
        let parked = self.files("parked")?;
        Ok(self.files("json")?.iter().filter(|name| !parked.contains(&name.replace(".json", ".parked"))).count())
    }

    /// Files of a kind in its spool.
    ///
    /// # Errors
    /// If the spool cannot be read.
    pub fn files(&self, kind: &str) -> anyhow::Result<Vec<String>> {
        let mut files = files_below(&self.data().join("spool"))?;
        files.retain(|name| name.ends_with(&format!(".{kind}")));
        Ok(files)
    }

    /// Puts a folder in the place of the newest photo in its spool: there is something of that name, but it cannot be read.
    ///
    /// # Errors
    /// If there is no photo, or the spool cannot be changed.
    pub fn make_newest_unreadable(&self) -> anyhow::Result<()> {
        let newest = self.files("jpg")?.into_iter().max().context("the spool holds no photo")?;
        let image = self.data().join("spool").join(newest);
        fs::remove_file(&image)?;
        Ok(fs::create_dir(&image)?)
    }

    /// Waits until nothing waits in its spool.
    ///
    /// # Errors
    /// With its log, if that takes too long.
    pub fn until_delivered(&self) -> anyhow::Result<()> {
        // The spool changes under the hands of who counts.
        let delivered = until("the spool is empty", || Ok(self.waiting().is_ok_and(|waiting| waiting == 0)));
        delivered.with_context(|| format!("after {PATIENCE:?}; its log: {}", self.log()))
    }

    /// Everything logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Its data folder.
    pub fn data(&self) -> PathBuf {
        self.data.clone()
    }

    /// One of the numbers that its spool counts for ever: `dropped`, `incomplete`; 0 if there was none yet.
    ///
    /// # Errors
    /// If it is no number.
    pub fn counted(&self, name: &str) -> anyhow::Result<u64> {
        let text = fs::read_to_string(self.data().join("spool").join(name)).unwrap_or_else(|_| "0".to_owned());
        text.parse().with_context(|| format!("spool/{name} holds {text:?}"))
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}
